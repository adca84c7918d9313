/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* define, undefine and modify on the files below --root, for who builds images: what a worker of the daemon
 * does, with the same code and in the same words, where no daemon is. Files are put in place atomically. */

#include <fcntl.h>

#include "bus/error.h"
#include "host/codec.h"
#include "host/store.h"
#include "model/modification.h"
#include "tools/configuration.h"
#include "tools/offline.h"
#include "tools/text.h"
#include "tools/verbs.h"
#include "tools/wording.h"

typedef struct Change {
        const Arguments *arguments;
        int root_fd;
        Store *store;
        char *json; /* of --jsonfile */
        Uuid uuid;
        bool has_uuid;
        char **parents; /* that have a definition of it */
} Change;

static void change_done(Change *c) {
        (void) strv_free(c->parents);
        (void) store_free(c->store);
        (void) safe_close(c->root_fd);
        free(c->json);
}

static int no_memory(void) {
        return complain(-ENOMEM, "Not enough memory");
}

static int complain_failure(int r, const Failure *f) {
        _cleanup_(freep) char *sentence = error_sentence(f), *text = NULL;

        text = sentence ? wording_translate(sentence) : NULL;
        return complain(r, "%s", text ?: "Not enough memory");
}

static bool is_flag(const Change *c, OptionId id) {
        return arguments_have(c->arguments, id);
}

static const char *get(const Change *c, OptionId id) {
        return arguments_get(c->arguments, id);
}

static bool is_defined_on(const Change *c, const char *parent) {
        for (char **p = c->parents; p && *p; p++)
                if (streq(*p, parent))
                        return true;

        return false;
}

/* A StoreFn. The same UUID may be the name of several files of a parent, in several forms: that is one
 * definition. What cannot be read may have another. */
static int add_parent(const char *parent, const char *name _unused_, const Uuid *uuid,
                const char *text _unused_, size_t size _unused_, int error, void *userdata) {
        Change *c = userdata;
        size_t n = 0;
        char **larger;

        if (!uuid)
                return error;
        if (is_defined_on(c, parent))
                return 0;
        while (c->parents && c->parents[n])
                n++;
        larger = reallocarray(c->parents, n + 2, sizeof *larger);
        if (!larger)
                return -ENOMEM;
        c->parents = larger;
        larger[n] = strdup(parent);
        larger[n + 1] = NULL;
        return larger[n] ? 0 : -ENOMEM;
}

static int begin(const Arguments *a, Change *c) {
        static const OptionId names[] = { OPTION_PARENT, OPTION_TYPE };
        const char *root = OFFLINE_ROOT(a);
        int r;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (arguments_have(a, names[i]) && isempty(arguments_get(a, names[i])))
                        return complain(-EINVAL, "The value for '%s' is empty", OPTION_TEXT(names[i]));
        if (arguments_have(a, OPTION_PARENT) && !parent_name_is_valid(arguments_get(a, OPTION_PARENT)))
                return complain(-EINVAL, "\"%s\" is not the name of a parent",
                                arguments_get(a, OPTION_PARENT));
        if (arguments_have(a, OPTION_TYPE) && !type_name_is_valid(arguments_get(a, OPTION_TYPE)))
                return complain(-EINVAL, "\"%s\" is not the name of a type", arguments_get(a, OPTION_TYPE));

        c->arguments = a;
        if (arguments_have(a, OPTION_UUID))
                c->has_uuid = uuid_from_text(arguments_get(a, OPTION_UUID), &c->uuid) >= 0;
        if (arguments_have(a, OPTION_JSONFILE)) {
                r = configuration_read_text(arguments_get(a, OPTION_JSONFILE), &c->json);
                if (r < 0)
                        return r;
        }

        c->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (c->root_fd < 0)
                return complain(-errno, "Directory %s cannot be opened: %s", root, strerror(errno));
        r = store_open(c->root_fd, &c->store);
        if (r >= 0 && c->has_uuid)
                r = store_scan(c->store, &c->uuid, add_parent, c);
        return r < 0 ? complain(r, "The definitions below %s cannot be read: %s", root, strerror(-r)) : 0;
}

/* Files */

/* @original: the text with the keys that are not ours; NULL: none */
static int write_definition(Change *c, const Definition *d, const char *original, bool replace) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        r = codec_format(d, original, original ? strlen(original) : 0, &text, &size);
        if (r < 0)
                return r == -EFBIG ? complain(r, "The definition would be too large") : no_memory();
        r = store_write(c->store, d->parent, &d->uuid, text, size, replace, &f);
        if (r < 0)
                (void) failure_set_device(&f, &d->uuid, d->parent, d->type);
        return r < 0 ? complain_failure(r, &f) : 0;
}

/* What --jsonfile says. @parent: where it is to be */
static int parse_json(Change *c, const char *parent, Definition *ret) {
        _cleanup_(freep) char *reason = NULL;
        int r;

        r = codec_parse(c->json, strlen(c->json), &c->uuid, parent, ret, &reason);
        if (r == -EBADMSG)
                return complain(r, "\"%s\": This is not a valid definition: %s", get(c, OPTION_JSONFILE),
                                reason);
        return r < 0 ? no_memory() : 0;
}

/* define */

static bool alternate_is_allowed(const Change *c) {
        return is_flag(c, OPTION_ALTERNATE) || streq(c->arguments->program, "mdevctl");
}

/* Whether it is there, under whatever form of its name, or elsewhere. */
static int refuse_second(const Change *c, const char *parent) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;

        if (is_defined_on(c, parent)) {
                (void) failure_set_device(&f, &c->uuid, parent, NULL);
                return complain_failure(failure_set(&f, FAILURE_EXISTS_DEFINED, 0, NULL, NULL), &f);
        }
        if (!c->parents || alternate_is_allowed(c))
                return 0;
        return complain(-EEXIST,
                        "Device %s is defined on parent %s already. Choose another UUID, or give "
                        "'--alternate' if it is to have a second definition",
                        UUID_TEXT(&c->uuid), c->parents[0]);
}

static int define(Change *c) {
        const char *parent = get(c, OPTION_PARENT), *type = get(c, OPTION_TYPE);
        _cleanup_(definition_done) Definition d = {};
        int r;

        if (!parent || (!c->json && !type))
                return complain(-EINVAL, "Without mdevd no %s follows from anything: give '%s'",
                                parent ? "type" : "parent",
                                OPTION_TEXT(parent ? OPTION_TYPE : OPTION_PARENT));
        r = refuse_second(c, parent);
        if (r < 0)
                return r;
        if (!c->has_uuid)
                c->uuid = uuid_random();

        if (c->json) {
                r = parse_json(c, parent, &d);
                if (r < 0)
                        return r;
        } else {
                d.uuid = c->uuid;
                d.autostart = is_flag(c, OPTION_AUTO);
                if (free_and_strdup(&d.parent, parent) < 0 || free_and_strdup(&d.type, type) < 0)
                        return no_memory();
        }

        r = write_definition(c, &d, c->json, false);
        return r < 0 || c->has_uuid ? r : output_new_uuid(UUID_TEXT(&c->uuid), "defined");
}

int verb_define_offline(const Arguments *a) {
        _cleanup_(change_done) Change c = { .root_fd = -EBADF };
        int r;

        r = begin(a, &c);
        return r < 0 ? r : define(&c);
}

/* undefine */

int verb_undefine_offline(const Arguments *a) {
        _cleanup_(change_done) Change c = { .root_fd = -EBADF };
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        const char *parent = arguments_get(a, OPTION_PARENT);
        char *only[] = { (char *) parent, NULL };
        int r;

        r = begin(a, &c);
        if (r < 0)
                return r;
        if (!c.parents)
                return complain(-ENODEV, "Device %s has no definition", UUID_TEXT(&c.uuid));
        r = store_remove(c.store, parent ? only : c.parents, &c.uuid, &f);
        if (r < 0)
                (void) failure_set_device(&f, &c.uuid, parent, NULL);
        return r < 0 ? complain_failure(r, &f) : 0;
}

/* modify */

/* The one definition that is meant. Return: 0; a negative errno, then the reason was told. */
static int pick_parent(const Change *c, const char **ret) {
        const char *parent = get(c, OPTION_PARENT);
        size_t n = 0;

        for (char **p = c->parents; p && *p; p++)
                if (!parent || streq(*p, parent)) {
                        *ret = *p;
                        n++;
                }
        if (n == 0)
                return complain(-ENODEV, "Mediated device %s%s%s is not defined", strempty(parent),
                                parent ? "/" : "", UUID_TEXT(&c->uuid));
        if (n > 1)
                return complain(-ENOTUNIQ, "Multiple definitions found for %s, specify a parent",
                                UUID_TEXT(&c->uuid));
        return 0;
}

static int get_modification(const Change *c, const Definition *d, Modification *ret) {
        const char *type = get(c, OPTION_TYPE), *name = get(c, OPTION_ADDATTR), *index = get(c, OPTION_INDEX);
        uint32_t at = ATTRIBUTES_END;

        if (index && (text_to_number(index, &at) < 0 || at == ATTRIBUTES_END))
                return complain(-ERANGE, "Attribute index %s is invalid", index);

        if (is_flag(c, OPTION_AUTO) || is_flag(c, OPTION_MANUAL))
                ret->autostart = is_flag(c, OPTION_AUTO) ? AUTOSTART_AUTO : AUTOSTART_MANUAL;
        /* There is no last one, which is fine. */
        ret->remove_attribute = is_flag(c, OPTION_DELATTR) && (index || d->attributes.n > 0);
        ret->remove_index = ret->add_index = at;
        if (free_and_strdup(&ret->type, type) < 0 || free_and_strdup(&ret->add_name, name) < 0 ||
                        free_and_strdup(&ret->add_value, get(c, OPTION_VALUE)) < 0)
                return no_memory();
        if (name && (!attribute_name_is_valid(name) || !attribute_value_is_valid(ret->add_value)))
                return complain(-EINVAL, "Attribute \"%s\" is not valid", name);
        return 0;
}

static int modify(Change *c, const char *parent) {
        _cleanup_(modification_done) Modification m = {};
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        _cleanup_(freep) char *text = NULL, *reason = NULL;
        size_t size;
        int r;

        r = store_read(c->store, parent, &c->uuid, &text, &size);
        if (r < 0)
                return complain(r, "The definition of %s on parent %s cannot be read: %s",
                                UUID_TEXT(&c->uuid), parent, strerror(-r));
        r = codec_parse(text, size, &c->uuid, parent, &d, &reason);
        if (r < 0)
                return r == -EBADMSG ? complain(r, "The definition of %s on parent %s is not valid: %s",
                                                       UUID_TEXT(&c->uuid), parent, reason)
                                     : no_memory();

        r = get_modification(c, &d, &m);
        if (r < 0)
                return r;
        r = modification_apply(&m, &d, &f);
        if (r < 0) {
                (void) failure_set_device(&f, &d.uuid, d.parent, d.type);
                return complain_failure(r, &f);
        }
        return write_definition(c, &d, text, true);
}

int verb_modify_offline(const Arguments *a) {
        _cleanup_(change_done) Change c = { .root_fd = -EBADF };
        _cleanup_(definition_done) Definition d = {};
        const char *parent = NULL;
        int r;

        if (arguments_have(a, OPTION_LIVE))
                return complain(-EINVAL, "A running device takes mdevd and the kernel, not '--root'");
        if (arguments_have(a, OPTION_JSONFILE) && !arguments_have(a, OPTION_PARENT))
                return complain(-EINVAL, "Parent device required to modify device via \"%s\"",
                                arguments_get(a, OPTION_JSONFILE));
        r = begin(a, &c);
        if (r < 0)
                return r;
        /* A file says all that there is to say, so there need not be a definition yet. */
        if (c.json && !is_defined_on(&c, get(&c, OPTION_PARENT)))
                return define(&c);
        r = pick_parent(&c, &parent);
        if (r < 0 || !c.json)
                return r < 0 ? r : modify(&c, parent);

        r = parse_json(&c, parent, &d);
        return r < 0 ? r : write_definition(&c, &d, c.json, true);
}

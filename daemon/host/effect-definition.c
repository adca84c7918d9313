/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Effects on the tree of definitions. */

#include "host/codec.h"
#include "host/effect-private.h"
#include "host/sysfs.h"

/* Puts @d in its file. @original: the text whose other keys are kept; NULL: there is none. */
static int write_definition(
                Effect *e, const Definition *d, const char *original, size_t original_size, bool replace) {
        _cleanup_(freep) char *text = NULL, *path = NULL;
        size_t size;
        int r;

        r = codec_format(d, original, original_size, &text, &size);
        if (r == -EFBIG) {
                path = store_path(d->parent, UUID_TEXT(&d->uuid));
                return failure_set(failure_of(e), FAILURE_STORE, r, path, NULL);
        }
        if (r < 0)
                return failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);
        return store_write(e->store, d->parent, &d->uuid, text, size, replace, failure_of(e));
}

/* What the file of @d's UUID and parent says now. Return: 0; -EBADMSG with a reason; an errno of reading. */
static int read_definition(Effect *e, const char *parent, Definition *ret, char **ret_text, size_t *ret_size,
                char **ret_reason) {
        const Uuid *uuid = &e->request->definition.uuid;
        int r;

        r = store_read(e->store, parent, uuid, ret_text, ret_size);
        return r < 0 ? r : codec_parse(*ret_text, *ret_size, uuid, parent, ret, ret_reason);
}

int define(Effect *e, const Definition *d) {
        const char *text = e->request->text;
        Action action;
        int r;

        r = action_begin(e, SCRIPT_DEFINE, d, e->request->force, failure_of(e), &action);
        if (r >= 0)
                r = write_definition(e, d, text, text ? strlen(text) : 0, false);
        report_definition(e, d->parent);
        action_end(&action, r >= 0);
        return r;
}

/* Return: 1; 0; -ENOMEM, then with the reason. */
static int is_active(Effect *e, const Definition *d) {
        _cleanup_(sighting_done) Sighting seen = SIGHTING_INIT;
        int r = e->sys_fd >= 0 ? sysfs_probe(e->sys_fd, &d->uuid, NULL, &seen) : -ENOENT;

        if (r == -ENOMEM)
                return failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);
        return r >= 0 && seen.presence == PRESENCE_PRESENT && streq_ptr(seen.parent, d->parent) &&
                        streq_ptr(seen.type, d->type);
}

/* An active device is defined as it is: with the attributes that a script can tell, unless some are given. */
static int define_active(Effect *e, const Definition *d) {
        _cleanup_(definition_done) Definition whole = {};
        Action action;
        int r;

        if (definition_copy(d, &whole) < 0)
                return failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);

        r = action_begin(e, SCRIPT_DEFINE, d, e->request->force, failure_of(e), &action);
        if (r >= 0)
                r = callout_get_attributes(action.callout, &whole.attributes, failure_of(e));
        if (r >= 0)
                r = write_definition(e, &whole, NULL, 0, false);
        report_definition(e, d->parent);
        action_end(&action, r >= 0);
        return r;
}

void perform_define(Effect *e) {
        const Definition *d = &e->request->definition;
        int active = !e->request->text && d->attributes.n == 0 ? is_active(e, d) : 0;

        if (active > 0)
                (void) define_active(e, d);
        else if (active == 0)
                (void) define(e, d);
}

/* Finds out what the definition is to become. @ret_text: what it is now, or came from; its other keys are
 * kept. */
static int prepare_modification(Effect *e, Definition *ret, char **ret_text, size_t *ret_size) {
        const Request *request = e->request;
        const Definition *d = &request->definition;
        _cleanup_(freep) char *reason = NULL, *path = store_path(d->parent, UUID_TEXT(&d->uuid));
        int r;

        if (request->text) {
                if (definition_copy(d, ret) < 0 || free_and_strdup(ret_text, request->text) < 0)
                        return failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);
                *ret_size = strlen(*ret_text);
                return 0;
        }

        /* The file may say more than the daemon has heard of. */
        r = read_definition(e, d->parent, ret, ret_text, ret_size, &reason);
        if (r == -ENOENT)
                return failure_set(failure_of(e), FAILURE_NO_SUCH_DEFINITION, 0, path, NULL);
        if (r == -EBADMSG && reason)
                return failure_set(failure_of(e), FAILURE_INVALID_DEFINITION, 0, path, reason);
        if (r < 0)
                return failure_set(failure_of(e), r == -ENOMEM ? FAILURE_NO_MEMORY : FAILURE_STORE, r, path,
                                NULL);
        return modification_apply(&request->modification, ret, failure_of(e));
}

static int modify_definition(Effect *e) {
        _cleanup_(definition_done) Definition changed = {};
        _cleanup_(freep) char *text = NULL;
        Action action = {};
        size_t size;
        int r;

        r = prepare_modification(e, &changed, &text, &size);
        if (r >= 0)
                r = action_begin(e, SCRIPT_MODIFY, &changed, e->request->force, failure_of(e), &action);
        if (r >= 0)
                r = write_definition(e, &changed, text, size, true);
        report_definition(e, e->request->definition.parent);
        action_end(&action, r >= 0);
        return r;
}

static int modify_device(Effect *e) {
        const Modification *m = &e->request->modification;
        _cleanup_(definition_done) Definition d = {};
        int r;

        r = definition_copy(&e->request->definition, &d);
        if (r >= 0 && !e->request->text)
                r = attributes_copy(&m->attributes, &d.attributes);
        if (r < 0)
                return failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);
        return change_live(e, &d);
}

void perform_modify(Effect *e) {
        if (!e->request->live) {
                (void) modify_definition(e);
                return;
        }

        if (modify_device(e) >= 0 && e->request->define && modify_definition(e) < 0)
                failure_of(e)->changed_live = true;
        (void) report_sighting(e, e->request->path);
}

typedef struct Undefinition {
        Definition definition; /* what goes */
        Action action;
} Undefinition;

/* Asks the scripts about each of the definitions. Return: 0; a negative errno if one does not let it go. */
static int begin_undefine(Effect *e, Undefinition *all) {
        char **parents = e->request->parents;
        Failure *f = failure_of(e);

        for (size_t i = 0; parents[i]; i++) {
                Definition *d = &all[i].definition;
                _cleanup_(freep) char *text = NULL;
                size_t size;
                int r;

                /* One that cannot be read is nobody's business, but it can go. */
                d->uuid = e->request->definition.uuid;
                r = read_definition(e, parents[i], d, &text, &size, NULL);
                if (r == -ENOMEM || (r < 0 && free_and_strdup(&d->parent, parents[i]) < 0))
                        return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);

                r = action_begin(e, SCRIPT_UNDEFINE, d, e->request->force, f, &all[i].action);
                if (r < 0) {
                        (void) failure_set_device(f, &d->uuid, d->parent, d->type);
                        return r;
                }
        }

        return 0;
}

void perform_undefine(Effect *e) {
        char **parents = e->request->parents;
        _cleanup_(freep) Undefinition *all = NULL;
        size_t n = 0;
        int r;

        while (parents[n])
                n++;
        all = calloc(n + 1, sizeof *all);
        if (!all) {
                (void) failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);
                return;
        }

        r = begin_undefine(e, all);
        if (r >= 0)
                r = store_remove(e->store, parents, &e->request->definition.uuid, failure_of(e));
        for (size_t i = 0; i < n; i++)
                report_definition(e, parents[i]);
        for (size_t i = 0; i < n; i++) {
                action_end(&all[i].action, r >= 0);
                definition_done(&all[i].definition);
        }
}

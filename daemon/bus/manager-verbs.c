/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The Manager's verbs. A handler reads its arguments, finds out what exactly is asked for, has that
 * authorized, and hands it to the manager; the reply comes from the manager's callback. It may be entered
 * twice for one message (auth.h), so it changes nothing before auth_check() has said yes. What is wrong with
 * the state of things is told after the authorization, what is wrong with the arguments themselves before.
 *
 * "force" is an option of all verbs that run call-outs: to go on although one refuses. */

#include "base/memory.h"
#include "bus/arguments.h"
#include "bus/manager-private.h"

/* Replies */

int call_new(Bus *b, sd_bus_message *message, Call **ret, sd_bus_error *error) {
        Requester who;
        Call *c;
        int r;

        r = clients_enter(b->clients, message, error);
        if (r < 0)
                return r;
        c = calloc(1, sizeof *c);
        if (!c) {
                clients_leave(b->clients, message);
                return -ENOMEM;
        }

        c->bus = b;
        c->message = sd_bus_message_ref(message);
        auth_identify(b->auth, message, &who);
        manager_requested_by(b->manager, &who);
        *ret = c;
        return 0;
}

Call *call_free(Call *c) {
        if (!c)
                return NULL;

        clients_leave(c->bus->clients, c->message);
        (void) sd_bus_message_unref(c->message);
        free(c->parent);
        free(c);
        return NULL;
}

void call_replied(const Call *c, int r) {
        if (memory_check(r) < 0)
                (void) sd_bus_reply_method_errno(c->message, r, NULL);
}

void call_fail(const Call *c, const Failure *f) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        (void) memory_check(error_set(&error, f));
        call_replied(c, sd_bus_reply_method_error(c->message, &error));
}

static void reply_nothing(const Failure *f, const Uuid *uuid _unused_, void *userdata) {
        _cleanup_(call_freep) Call *c = userdata;

        if (f)
                call_fail(c, f);
        else
                call_replied(c, sd_bus_reply_method_return(c->message, NULL));
}

static void reply_device(const Failure *f, const Uuid *uuid, void *userdata) {
        _cleanup_(freep) char *path = device_path(uuid);
        _cleanup_(call_freep) Call *c = userdata;

        if (f)
                call_fail(c, f);
        else
                call_replied(c, path ? sd_bus_reply_method_return(c->message, "o", path) : -ENOMEM);
}

static void reply_uuid_and_device(const Failure *f, const Uuid *uuid, void *userdata) {
        _cleanup_(freep) char *path = device_path(uuid);
        _cleanup_(call_freep) Call *c = userdata;

        if (f)
                call_fail(c, f);
        else
                call_replied(c,
                                path ? sd_bus_reply_method_return(c->message, "so", UUID_TEXT(uuid), path)
                                     : -ENOMEM);
}

/* What became of a request, once it was authorized: an error at once, a success at once, or a reply later.
 * Takes @c over. */
static int begun(
                int r, const Failure *f, ManagerReply reply, const Uuid *uuid, Call *c, sd_bus_error *error) {
        if (r < 0) {
                (void) call_free(c);
                return error_set(error, f);
        }
        if (r > 0)
                reply(NULL, uuid, c);

        return 1;
}

/* Return: as auth_check(), but what is wrong with the state of things (@f) is told only to who may ask. */
static int authorize(Bus *b, sd_bus_message *m, const char *action, const Definition *d, bool new_uuid,
                const Failure *f, sd_bus_error *error) {
        int r;

        r = auth_check(b->auth, m, action, new_uuid ? "" : UUID_TEXT(&d->uuid), strempty(d->parent),
                        strempty(d->type), error);
        if (r <= 0)
                return r;
        return failure_is_set(f) ? error_set(error, f) : 1;
}

/* Definitions */

static int define(Bus *b, sd_bus_message *m, Definition *d, bool new_uuid, const char *json,
                sd_bus_error *error) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        DefineOptions how = { .text = json };
        bool autostart = d->autostart;
        const Option options[] = {
                { "autostart", OPTION_BOOL, &autostart },
                { "alternate", OPTION_BOOL, &how.alternate },
                { "force", OPTION_BOOL, &how.force },
                {},
        };
        Call *c;
        int r;

        r = read_options(m, options, error);
        if (r < 0)
                return r;
        d->autostart = autostart;

        /* What it is may be the device's to say, of which no event has told yet. */
        if (!new_uuid)
                manager_recheck_one(b->manager, &d->uuid);
        (void) manager_complete_definition(b->manager, d, &f);
        r = authorize(b, m, MDEVD_ACTION_DEFINE, d, new_uuid, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = call_new(b, m, &c, error);
        if (r < 0)
                return r;
        r = manager_define(b->manager, d, &how, &f, reply_uuid_and_device, c);
        return begun(r, &f, reply_uuid_and_device, &d->uuid, c, error);
}

int method_define(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {};
        int is_new;

        is_new = read_device(m, READ_UUID_OR_NEW | READ_PARENT | READ_TYPE | READ_ATTRIBUTES, &d, error);
        return is_new < 0 ? is_new : define(userdata, m, &d, is_new, NULL, error);
}

int method_define_from_json(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {};
        const char *json;
        int is_new, r;

        is_new = read_device(m, READ_UUID_OR_NEW | READ_PARENT, &d, error);
        if (is_new < 0)
                return is_new;
        r = read_json(m, &d, &json, error);
        return r < 0 ? r : define(userdata, m, &d, is_new, json, error);
}

/* What a definition is to become. @d: is filled in if it is given as JSON. */
static int read_changes(sd_bus_message *m, Definition *d, Modification *ret, const char **ret_json,
                sd_bus_error *error) {
        const char *type = NULL, *json = NULL;
        Tristate autostart = TRISTATE_EITHER;
        const Option options[] = {
                { "type", OPTION_STRING, &type },
                { "autostart", OPTION_TRISTATE, &autostart },
                { "attributes", OPTION_ATTRIBUTES, ret },
                { "add-attribute", OPTION_ADD_ATTRIBUTE, ret },
                { "remove-attribute", OPTION_REMOVE_ATTRIBUTE, ret },
                { "json", OPTION_STRING, &json },
                {},
        };
        int r;

        r = read_options(m, options, error);
        if (r < 0)
                return r;
        if (type) {
                r = check_type(type, error);
                if (r < 0)
                        return r;
                if (free_and_strdup(&ret->type, type) < 0)
                        return -ENOMEM;
        }
        if (autostart != TRISTATE_EITHER)
                ret->autostart = autostart == TRISTATE_YES ? AUTOSTART_AUTO : AUTOSTART_MANUAL;

        *ret_json = json;
        if (json)
                return modification_is_empty(ret)
                                ? parse_json(json, d, error)
                                : refuse_option(error, "json",
                                                  "it replaces everything, so no other change can go with it");
        return modification_is_empty(ret) ? refuse_option(error, "changes", "nothing is to be changed") : 0;
}

/* Which definition or device a modification is about, and of which type it will be. */
/* @ret_was: the definition as it is now. */
static int complete_modification(Bus *b, const ModifyOptions *how, const Modification *changes, Definition *d,
                Definition *ret_was, Failure *f) {
        int r;

        if (how->live)
                return manager_complete_live(b->manager, d, how->defined, f);

        r = manager_pick_definition(b->manager, &d->uuid, strempty(d->parent), false, ret_was, f);
        if (r >= 0 && free_and_strdup(&d->parent, ret_was->parent) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        if (!how->text && free_and_strdup(&d->type, changes->type ?: ret_was->type) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        return r;
}

static int check_modification(const ModifyOptions *how, const Modification *changes, sd_bus_error *error) {
        if (!how->live && how->direct)
                return refuse_option(error, "direct", "it needs the option \"live\"");
        if (!how->live && !how->defined)
                return refuse_option(
                                error, "defined", "without \"live\" the definition is all that there is");
        if (how->live &&
                        (changes->type || changes->autostart != AUTOSTART_KEEP || changes->remove_attribute ||
                                        changes->add_name))
                return refuse_option(error, "live",
                                "an active device can be given all its attributes anew, with \"attributes\" or "
                                "\"json\", and nothing else");
        return 0;
}

int method_modify(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(modification_done) Modification changes = {};
        _cleanup_(definition_done) Definition d = {}, was = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Tristate defined = TRISTATE_EITHER;
        ModifyOptions how = {};
        const Option options[] = {
                { "live", OPTION_BOOL, &how.live },
                { "defined", OPTION_TRISTATE, &defined },
                { "direct", OPTION_BOOL, &how.direct },
                { "force", OPTION_BOOL, &how.force },
                {},
        };
        Bus *b = userdata;
        Call *c;
        int r;

        r = read_device(m, READ_UUID | READ_PARENT, &d, error);
        if (r < 0)
                return r;
        r = read_changes(m, &d, &changes, &how.text, error);
        if (r < 0)
                return r;
        r = read_options(m, options, error);
        if (r < 0)
                return r;
        how.defined = defined == TRISTATE_EITHER ? !how.live : defined == TRISTATE_YES;
        r = check_modification(&how, &changes, error);
        if (r < 0)
                return r;

        (void) complete_modification(b, &how, &changes, &d, &was, &f);
        /* The rules of polkit are about what the device is; and about what it becomes, if that is another. */
        if (was.type && !streq_ptr(was.type, d.type)) {
                r = authorize(b, m, MDEVD_ACTION_DEFINE, &was, false, &f, error);
                if (r <= 0)
                        return r < 0 ? r : 1;
        }
        if (how.defined) {
                r = authorize(b, m, MDEVD_ACTION_DEFINE, &d, false, &f, error);
                if (r <= 0)
                        return r < 0 ? r : 1;
        }
        if (how.live) {
                r = authorize(b, m, MDEVD_ACTION_START_STOP, &d, false, &f, error);
                if (r <= 0)
                        return r < 0 ? r : 1;
        }

        r = call_new(b, m, &c, error);
        if (r < 0)
                return r;
        r = manager_modify(b->manager, &d, &changes, &how, &f, reply_nothing, c);
        return begun(r, &f, reply_nothing, &d.uuid, c, error);
}

int method_undefine(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {}, only = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT, several = FAILURE_INIT;
        bool force = false;
        const Option options[] = { { "force", OPTION_BOOL, &force }, {} };
        Bus *b = userdata;
        Call *c;
        int r;

        r = read_device(m, READ_UUID | READ_PARENT, &d, error);
        if (r < 0)
                return r;
        r = read_options(m, options, error);
        if (r < 0)
                return r;

        /* The question is about the definition that goes, if it is one. */
        r = manager_pick_definition(b->manager, &d.uuid, strempty(d.parent), false, &only, &several);
        failure_done(&several);
        r = authorize(b, m, MDEVD_ACTION_DEFINE, r < 0 ? &d : &only, false, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = call_new(b, m, &c, error);
        if (r < 0)
                return r;
        r = manager_undefine(b->manager, &d.uuid, isempty(d.parent) ? NULL : d.parent, force, &f,
                        reply_nothing, c);
        return begun(r, &f, reply_nothing, &d.uuid, c, error);
}

/* Devices */

int method_start(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition asked = {}, picked = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        CreateOptions create = {};
        bool any = false;
        const Option options[] = {
                { "any", OPTION_BOOL, &any },
                { "exist-ok", OPTION_BOOL, &create.exist_ok },
                { "force", OPTION_BOOL, &create.force },
                {},
        };
        Bus *b = userdata;
        Call *c;
        int r;

        r = read_device(m, READ_UUID | READ_PARENT, &asked, error);
        if (r < 0)
                return r;
        r = read_options(m, options, error);
        if (r < 0)
                return r;

        r = manager_pick_definition(b->manager, &asked.uuid, strempty(asked.parent), any, &picked, &f);
        manager_explain_start(b->manager, &f);
        r = authorize(b, m, MDEVD_ACTION_START_STOP, r < 0 ? &asked : &picked, false, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = call_new(b, m, &c, error);
        if (r < 0)
                return r;
        r = manager_create(b->manager, &picked, &create, &f, reply_device, c);
        return begun(r, &f, reply_device, &picked.uuid, c, error);
}

static int create(Bus *b, sd_bus_message *m, Definition *d, bool new_uuid, const char *json,
                sd_bus_error *error) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        CreateOptions create = { .text = json };
        bool autostart = d->autostart;
        const Option options[] = {
                { "define", OPTION_BOOL, &create.define },
                { "autostart", OPTION_BOOL, &autostart },
                { "alternate", OPTION_BOOL, &create.alternate },
                { "exist-ok", OPTION_BOOL, &create.exist_ok },
                { "force", OPTION_BOOL, &create.force },
                {},
        };
        Call *c;
        int r;

        r = read_options(m, options, error);
        if (r < 0)
                return r;
        if (autostart && !json && !create.define)
                return refuse_option(error, "autostart", "it needs the option \"define\"");
        d->autostart = autostart;

        if (!create.exist_ok || !manager_is_active(b->manager, d))
                (void) manager_complete_creation(b->manager, d, &f);
        r = authorize(b, m, MDEVD_ACTION_START_STOP, d, new_uuid, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        /* Both rights are needed, and both questions are about the same. */
        if (create.define) {
                r = authorize(b, m, MDEVD_ACTION_DEFINE, d, new_uuid, &f, error);
                if (r <= 0)
                        return r < 0 ? r : 1;
        }

        r = call_new(b, m, &c, error);
        if (r < 0)
                return r;
        r = manager_create(b->manager, d, &create, &f, reply_uuid_and_device, c);
        return begun(r, &f, reply_uuid_and_device, &d->uuid, c, error);
}

int method_create(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {};
        int is_new;

        is_new = read_device(m, READ_UUID_OR_NEW | READ_PARENT | READ_TYPE | READ_ATTRIBUTES, &d, error);
        return is_new < 0 ? is_new : create(userdata, m, &d, is_new, NULL, error);
}

int method_create_from_json(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {};
        const char *json;
        int is_new, r;

        is_new = read_device(m, READ_UUID_OR_NEW | READ_PARENT, &d, error);
        if (is_new < 0)
                return is_new;
        r = read_json(m, &d, &json, error);
        return r < 0 ? r : create(userdata, m, &d, is_new, json, error);
}

int method_stop(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        StopOptions stop = { .timeout_usec = UINT64_MAX };
        const Option options[] = {
                { "timeout-usec", OPTION_U64, &stop.timeout_usec },
                { "wait-for-release", OPTION_BOOL, &stop.wait_for_release },
                { "force", OPTION_BOOL, &stop.force },
                {},
        };
        const Device *device;
        Bus *b = userdata;
        Call *c;
        int r;

        r = read_device(m, READ_UUID, &d, error);
        if (r < 0)
                return r;
        r = read_options(m, options, error);
        if (r < 0)
                return r;

        /* Whoever is asked is told which one it is. */
        manager_recheck_one(b->manager, &d.uuid);
        device = registry_find(manager_registry(b->manager), &d.uuid);
        if (device && device->parent &&
                        (free_and_strdup(&d.parent, device->parent->name) < 0 ||
                                        free_and_strdup(&d.type, device->type) < 0))
                return -ENOMEM;
        r = authorize(b, m, MDEVD_ACTION_START_STOP, &d, false, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = call_new(b, m, &c, error);
        if (r < 0)
                return r;
        r = manager_stop(b->manager, &d.uuid, d.parent, &stop, &f, reply_nothing, c);
        return begun(r, &f, reply_nothing, &d.uuid, c, error);
}

static void reply_attributes(const Failure *f, const Attributes *attributes, void *userdata) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(call_freep) Call *c = userdata;
        int r;

        if (f) {
                call_fail(c, f);
                return;
        }
        r = sd_bus_message_new_method_return(c->message, &reply);
        if (r >= 0)
                r = append_attributes(reply, attributes);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        call_replied(c, r);
}

/* Not free as other reading is: it runs a script. */
int method_get_attributes(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Bus *b = userdata;
        Call *c;
        int r;

        r = read_device(m, READ_UUID, &d, error);
        if (r < 0)
                return r;
        (void) manager_complete_live(b->manager, &d, false, &f);
        r = authorize(b, m, MDEVD_ACTION_RESCAN, &d, false, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = call_new(b, m, &c, error);
        if (r < 0)
                return r;
        r = manager_get_attributes(b->manager, &d, &f, reply_attributes, c);
        if (r < 0) {
                (void) call_free(c);
                return error_set(error, &f);
        }
        return 1;
}

static int append_failures(sd_bus_message *reply, const StartFailure *failures, size_t n) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        for (size_t i = 0; i < n && r >= 0; i++) {
                _cleanup_(freep) char *sentence = error_sentence(&failures[i].failure);

                r = sentence ? sd_bus_message_append(reply, "(ss)", UUID_TEXT(&failures[i].uuid), sentence)
                             : -ENOMEM;
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static void reply_failures(const StartFailure *failures, size_t n, void *userdata) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(call_freep) Call *c = userdata;
        int r;

        r = sd_bus_message_new_method_return(c->message, &reply);
        if (r >= 0)
                r = append_failures(reply, failures, n);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        call_replied(c, r);
}

int method_start_parent(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        const char *parent;
        Bus *b = userdata;
        Call *c;
        int r;

        r = read_parent(m, false, &parent, error);
        if (r < 0)
                return r;
        r = auth_check(b->auth, m, MDEVD_ACTION_START_STOP, "", parent, "", error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = call_new(b, m, &c, error);
        if (r < 0)
                return r;
        r = manager_start_parent(b->manager, parent, &f, reply_failures, c);
        if (r < 0) {
                (void) call_free(c);
                return error_set(error, &f);
        }
        return 1;
}

int method_rescan(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        static const Uuid none;
        Bus *b = userdata;
        Call *c;
        int r;

        r = auth_check(b->auth, m, MDEVD_ACTION_RESCAN, "", "", "", error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = call_new(b, m, &c, error);
        if (r < 0)
                return r;
        r = manager_rescan(b->manager, &f, reply_nothing, c);
        return begun(r, &f, reply_nothing, &none, c, error);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* /org/mdevd1: the verbs, the lists, and the daemon's own properties.
 *
 * A handler reads its arguments, finds out what exactly is asked for, has that authorized, and hands it to
 * the manager; the reply comes from the manager's callback. It may be entered twice for one message (auth.h),
 * so it changes nothing before auth_check() has said yes. What is wrong with the state of things is told
 * after the authorization, what is wrong with the arguments themselves before. */

#include "bus/arguments.h"
#include "bus/bus-private.h"

/* Replies */

static void reply_failure(sd_bus_message *call, const Failure *f) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        (void) error_set(&error, f);
        (void) sd_bus_reply_method_error(call, &error);
}

static void reply_nothing(const Failure *f, const Uuid *uuid _unused_, void *userdata) {
        sd_bus_message *call = userdata;

        if (f)
                reply_failure(call, f);
        else
                (void) sd_bus_reply_method_return(call, NULL);
        (void) sd_bus_message_unref(call);
}

static void reply_device(const Failure *f, const Uuid *uuid, void *userdata) {
        _cleanup_(freep) char *path = device_path(uuid);
        sd_bus_message *call = userdata;

        if (f)
                reply_failure(call, f);
        else
                (void) sd_bus_reply_method_return(call, "o", path);
        (void) sd_bus_message_unref(call);
}

static void reply_uuid_and_device(const Failure *f, const Uuid *uuid, void *userdata) {
        _cleanup_(freep) char *path = device_path(uuid);
        sd_bus_message *call = userdata;

        if (f)
                reply_failure(call, f);
        else
                (void) sd_bus_reply_method_return(call, "so", UUID_TEXT(uuid), path);
        (void) sd_bus_message_unref(call);
}

/* What a request begins with, once it is authorized: the manager's answer at once, or a reply later. */
static int begun(int r, sd_bus_message *call, const Failure *f, sd_bus_error *error) {
        if (r < 0) {
                (void) sd_bus_message_unref(call);
                return error_set(error, f);
        }

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

/* Verbs */

static int method_define(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        bool autostart = false, alternate = false;
        const Option options[] = {
                { "autostart", OPTION_BOOL, &autostart },
                { "alternate", OPTION_BOOL, &alternate },
                {},
        };
        Bus *b = userdata;
        int is_new, r;

        is_new = read_device(m, READ_UUID_OR_NEW | READ_PARENT | READ_TYPE | READ_ATTRIBUTES, &d, error);
        if (is_new < 0)
                return is_new;
        r = read_options(m, options, error);
        if (r < 0)
                return r;
        d.autostart = autostart;

        (void) manager_complete_definition(b->manager, &d, &f);
        r = authorize(b, m, MDEVD_ACTION_DEFINE, &d, is_new, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = manager_define(b->manager, &d, alternate, &f, reply_uuid_and_device, sd_bus_message_ref(m));
        return begun(r, m, &f, error);
}

static int method_undefine(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        const Option options[] = { {} };
        Bus *b = userdata;
        int r;

        r = read_device(m, READ_UUID | READ_PARENT, &d, error);
        if (r < 0)
                return r;
        r = read_options(m, options, error);
        if (r < 0)
                return r;

        r = authorize(b, m, MDEVD_ACTION_DEFINE, &d, false, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = manager_undefine(b->manager, &d.uuid, isempty(d.parent) ? NULL : d.parent, &f, reply_nothing,
                        sd_bus_message_ref(m));
        return begun(r, m, &f, error);
}

static int method_start(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition asked = {}, picked = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        bool any = false;
        const Option options[] = { { "any", OPTION_BOOL, &any }, {} };
        Bus *b = userdata;
        int r;

        r = read_device(m, READ_UUID | READ_PARENT, &asked, error);
        if (r < 0)
                return r;
        r = read_options(m, options, error);
        if (r < 0)
                return r;

        r = manager_pick_definition(b->manager, &asked.uuid, strempty(asked.parent), any, &picked, &f);
        r = authorize(b, m, MDEVD_ACTION_START_STOP, r < 0 ? &asked : &picked, false, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = manager_create(b->manager, &picked, false, &f, reply_device, sd_bus_message_ref(m));
        return begun(r, m, &f, error);
}

static int method_create(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        const Option options[] = { {} };
        Bus *b = userdata;
        int is_new, r;

        is_new = read_device(m, READ_UUID_OR_NEW | READ_PARENT | READ_TYPE | READ_ATTRIBUTES, &d, error);
        if (is_new < 0)
                return is_new;
        r = read_options(m, options, error);
        if (r < 0)
                return r;

        (void) manager_complete_creation(b->manager, &d, &f);
        r = authorize(b, m, MDEVD_ACTION_START_STOP, &d, is_new, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = manager_create(b->manager, &d, false, &f, reply_uuid_and_device, sd_bus_message_ref(m));
        return begun(r, m, &f, error);
}

static int method_stop(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        const Option options[] = { {} };
        const Device *device;
        Bus *b = userdata;
        int r;

        r = read_device(m, READ_UUID, &d, error);
        if (r < 0)
                return r;
        r = read_options(m, options, error);
        if (r < 0)
                return r;

        device = registry_find(manager_registry(b->manager), &d.uuid);
        if (device && device->parent &&
                        (free_and_strdup(&d.parent, device->parent->name) < 0 ||
                                        free_and_strdup(&d.type, device->type) < 0))
                return -ENOMEM;
        r = authorize(b, m, MDEVD_ACTION_START_STOP, &d, false, &f, error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = manager_stop(b->manager, &d.uuid, d.parent, &f, reply_nothing, sd_bus_message_ref(m));
        return begun(r, m, &f, error);
}

static int method_rescan(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Bus *b = userdata;
        int r;

        r = auth_check(b->auth, m, MDEVD_ACTION_RESCAN, "", "", "", error);
        if (r <= 0)
                return r < 0 ? r : 1;

        r = manager_rescan(b->manager, &f, reply_nothing, sd_bus_message_ref(m));
        return begun(r, m, &f, error);
}

/* Lookups */

static int method_get_device(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(freep) char *path = NULL;
        Bus *b = userdata;
        int r;

        r = read_device(m, READ_UUID, &d, error);
        if (r < 0)
                return r;
        if (!registry_find(manager_registry(b->manager), &d.uuid)) {
                (void) failure_set_device(&f, &d.uuid, NULL, NULL);
                (void) failure_set(&f, FAILURE_NO_SUCH_DEVICE, 0, NULL, NULL);
                return error_set(error, &f);
        }

        path = device_path(&d.uuid);
        return path ? sd_bus_reply_method_return(m, "o", path) : -ENOMEM;
}

static int method_get_parent(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        _cleanup_(freep) char *path = NULL;
        const char *name;
        Bus *b = userdata;
        int r;

        r = read_parent(m, false, &name, error);
        if (r < 0)
                return r;
        if (!registry_find_parent(manager_registry(b->manager), name)) {
                (void) failure_set_device(&f, NULL, name, NULL);
                (void) failure_set(&f, FAILURE_NO_SUCH_PARENT, 0, NULL, NULL);
                return error_set(error, &f);
        }

        path = parent_path(name);
        return path ? sd_bus_reply_method_return(m, "o", path) : -ENOMEM;
}

/* Lists */

typedef struct Filter {
        Uuid uuid;
        bool has_uuid;
        const char *parent, *type; /* NULL: any */
        Tristate defined, active;
} Filter;

static const char *state_of_row(const Device *d, bool lives_here) {
        return lives_here ? device_state_to_string(device_state(d)) : device_state_to_string(DEVICE_DEFINED);
}

/* One row: the device as it is on one parent. @definition: NULL if it has none there. */
static int append_row(sd_bus_message *reply, const Device *d, const char *parent,
                const Definition *definition, const Filter *filter) {
        bool lives_here = d->parent && streq(d->parent->name, parent);
        const char *type = lives_here && d->type ? d->type : definition ? definition->type : "";
        bool active = lives_here && device_is_active(d), defined = definition;
        int r;

        if ((filter->parent && !streq(filter->parent, parent)) ||
                        (filter->type && !streq(filter->type, type)) ||
                        !tristate_matches(filter->defined, defined) ||
                        !tristate_matches(filter->active, active))
                return 0;

        r = sd_bus_message_open_container(reply, 'r', "ssssbbba(ss)");
        if (r >= 0)
                r = sd_bus_message_append(reply, "ssssbbb", UUID_TEXT(&d->uuid), state_of_row(d, lives_here),
                                parent, type, (int) active, (int) defined,
                                (int) (definition && definition->autostart));
        if (r >= 0)
                r = append_attributes(reply, definition ? &definition->attributes : &(Attributes){});
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_device(sd_bus_message *reply, const Device *d, const Filter *filter) {
        int r;

        if (filter->has_uuid && !uuid_equal(&filter->uuid, &d->uuid))
                return 0;

        if (d->parent && !device_find_definition(d, d->parent->name)) {
                r = append_row(reply, d, d->parent->name, NULL, filter);
                if (r < 0)
                        return r;
        }
        for (uint32_t i = 0; i < d->n_definitions; i++) {
                r = append_row(reply, d, d->definitions[i].parent, &d->definitions[i], filter);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int method_list_devices(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) Device **devices = NULL;
        const char *uuid = NULL;
        Filter filter = {};
        const Option options[] = {
                { "uuid", OPTION_STRING, &uuid },
                { "parent", OPTION_STRING, &filter.parent },
                { "type", OPTION_STRING, &filter.type },
                { "defined", OPTION_TRISTATE, &filter.defined },
                { "active", OPTION_TRISTATE, &filter.active },
                {},
        };
        Bus *b = userdata;
        size_t n = 0;
        int r;

        r = read_options(m, options, error);
        if (r < 0)
                return r;
        if (uuid) {
                r = parse_uuid(uuid, &filter.uuid, error);
                if (r < 0)
                        return r;
                filter.has_uuid = true;
        }

        manager_recheck(b->manager);
        r = registry_list(manager_registry(b->manager), &devices, &n);
        if (r < 0)
                return r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(ssssbbba(ss))");
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                r = append_device(reply, devices[i], &filter);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, reply, NULL);
}

static int method_list_parents(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) Parent **parents = NULL;
        Bus *b = userdata;
        size_t n = 0;
        int r;

        r = registry_list_parents(manager_registry(b->manager), &parents, &n);
        if (r < 0)
                return r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(ssbs)");
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                const Parent *p = parents[i];

                r = sd_bus_message_append(reply, "(ssbs)", p->name, p->present ? strempty(p->path) : "",
                                (int) p->present, strempty(p->driver));
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, reply, NULL);
}

/* A question about types, while they are being read. */
typedef struct TypesCall {
        Bus *bus;
        sd_bus_message *message;
        char *parent; /* NULL: all */
} TypesCall;

static TypesCall *types_call_free(TypesCall *c) {
        if (!c)
                return NULL;

        (void) sd_bus_message_unref(c->message);
        free(c->parent);
        free(c);
        return NULL;
}

DEFINE_CLEANUP(TypesCall *, types_call_free);

static int append_types_of(sd_bus_message *reply, const Parent *p) {
        for (size_t i = 0; i < p->types.n; i++) {
                const Type *t = &p->types.types[i];
                int r;

                r = sd_bus_message_append(reply, "(sssssu)", p->name, t->name, t->label, t->device_api,
                                t->description, t->available_instances);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int send_types(const TypesCall *c) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) Parent **parents = NULL;
        size_t n = 0;
        int r;

        r = registry_list_parents(manager_registry(c->bus->manager), &parents, &n);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_return(c->message, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(sssssu)");
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                if (c->parent && !streq(c->parent, parents[i]->name))
                        continue;
                r = append_types_of(reply, parents[i]);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, reply, NULL);
}

static void reply_types(const Failure *f, const Uuid *uuid _unused_, void *userdata) {
        _cleanup_(types_call_freep) TypesCall *c = userdata;
        int r;

        if (f) {
                reply_failure(c->message, f);
                return;
        }
        r = send_types(c);
        if (r < 0)
                (void) sd_bus_reply_method_errno(c->message, r, NULL);
}

static int method_list_types(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        _cleanup_(types_call_freep) TypesCall *c = NULL;
        Bus *b = userdata;
        const char *name;
        int r;

        r = read_parent(m, true, &name, error);
        if (r < 0)
                return r;

        c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->bus = b;
        c->message = sd_bus_message_ref(m);
        if (name[0] != '\0' && free_and_strdup(&c->parent, name) < 0)
                return -ENOMEM;

        r = manager_refresh_types(b->manager, c->parent, &f, reply_types, c);
        if (r < 0)
                return error_set(error, &f);

        TAKE_PTR(c);
        return 1;
}

/* Properties */

static int get_version(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata _unused_,
                sd_bus_error *error _unused_) {
        return sd_bus_message_append(reply, "s", MDEVD_VERSION);
}

static int get_count(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        Bus *b = userdata;
        RegistryCounts c = registry_count(manager_registry(b->manager));
        size_t n = streq(property, "NDevices")       ? c.n_visible
                        : streq(property, "NActive") ? c.n_active
                                                     : c.n_operations;

        return sd_bus_message_append(reply, "u", (uint32_t) n);
}

static int get_settled(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        Bus *b = userdata;

        return sd_bus_message_append(reply, "b", (int) manager_is_settled(b->manager));
}

static int get_invalid(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        const InvalidDefinition *list;
        Bus *b = userdata;
        size_t n;
        int r;

        list = manager_invalid_definitions(b->manager, &n);
        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        for (size_t i = 0; i < n && r >= 0; i++)
                r = sd_bus_message_append(reply, "(ss)", list[i].path, list[i].reason);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

void manager_changed_names(unsigned what, const char *names[static CHANGED_NAMES_MAX]) {
        size_t n = 0;

        if (what & MANAGER_CHANGED_COUNTS) {
                names[n++] = "NDevices";
                names[n++] = "NActive";
                names[n++] = "NPending";
        }
        if (what & MANAGER_CHANGED_INVALID)
                names[n++] = "InvalidDefinitions";
        if (what & MANAGER_CHANGED_SETTLED)
                names[n++] = "Settled";
        names[n] = NULL;
}

#define DEVICE_ROW "(ssssbbba(ss))"

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),

        SD_BUS_METHOD_WITH_ARGS("Define",
                        SD_BUS_ARGS("s", uuid, "s", parent, "s", type, "a(ss)", attributes, "a{sv}", options),
                        SD_BUS_RESULT("s", uuid, "o", device), method_define, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Undefine", SD_BUS_ARGS("s", uuid, "s", parent, "a{sv}", options),
                        SD_BUS_NO_RESULT, method_undefine, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Start", SD_BUS_ARGS("s", uuid, "s", parent, "a{sv}", options),
                        SD_BUS_RESULT("o", device), method_start, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Create",
                        SD_BUS_ARGS("s", uuid, "s", parent, "s", type, "a(ss)", attributes, "a{sv}", options),
                        SD_BUS_RESULT("s", uuid, "o", device), method_create, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Stop", SD_BUS_ARGS("s", uuid, "a{sv}", options), SD_BUS_NO_RESULT,
                        method_stop, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetDevice", SD_BUS_ARGS("s", uuid), SD_BUS_RESULT("o", device),
                        method_get_device, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetParent", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", parent),
                        method_get_parent, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListDevices", SD_BUS_ARGS("a{sv}", filter),
                        SD_BUS_RESULT("a" DEVICE_ROW, devices), method_list_devices,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListParents", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ssbs)", parents),
                        method_list_parents, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListTypes", SD_BUS_ARGS("s", parent), SD_BUS_RESULT("a(sssssu)", types),
                        method_list_types, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Rescan", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_rescan,
                        SD_BUS_VTABLE_UNPRIVILEGED),

        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("NDevices", "u", get_count, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NActive", "u", get_count, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NPending", "u", get_count, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Settled", "b", get_settled, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("InvalidDefinitions", "a(ss)", get_invalid, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

int manager_object_add(Bus *b) {
        return sd_bus_add_object_vtable(b->bus, NULL, MDEVD_PATH, MDEVD_MANAGER_INTERFACE, vtable, b);
}

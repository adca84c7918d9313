/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The Manager's reading methods. Free for everybody, and answered from the registry: but what lives is
 * compared with sysfs before, and types are read anew, because an answer is to be true now. */

#include "base/memory.h"
#include "bus/arguments.h"
#include "bus/manager-private.h"

/* Lookups */

int method_get_device(sd_bus_message *m, void *userdata, sd_bus_error *error) {
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

int method_get_parent(sd_bus_message *m, void *userdata, sd_bus_error *error) {
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

#define ROW_SIZE 128U       /* of a row that has no parent, type and attributes */
#define PARENT_ROW_SIZE 32U /* of one with no text in it */
#define TYPE_ROW_SIZE 48U   /* the same */

/* Counts what goes into an answer. @advice: what to do if it gets too large. */
static int count_row(
                size_t *reply_size, size_t size, const char *what, const char *advice, sd_bus_error *error) {
        *reply_size += size;
        if (*reply_size <= REPLY_SIZE_MAX)
                return 0;
        return sd_bus_error_setf(error, MDEVD_ERROR_LIMITS_EXCEEDED,
                        "These are too many %s for one answer, which may be of %u bytes. %s", what,
                        REPLY_SIZE_MAX, advice);
}

typedef struct Filter {
        Uuid uuid, after, until;
        bool has_uuid;
        UuidRange range;                   /* of the two above */
        uint64_t limit;                    /* of devices */
        const char *parent, *type, *state; /* NULL: any */
        Tristate defined, active;
        bool has_attributes; /* what is let through has them */

        /* What was let through. */
        size_t reply_size;
        uint64_t n_devices;
} Filter;

static const char *state_of_row(const Device *d, bool lives_here) {
        return lives_here ? device_state_to_string(device_state(d)) : device_state_to_string(DEVICE_DEFINED);
}

/* What a device is, or what it is defined as if that is what was asked for. */
static const char *type_of_row(
                const Device *d, bool lives_here, const Definition *definition, const Filter *filter) {
        if (lives_here && d->type && !(definition && filter->defined == TRISTATE_YES))
                return d->type;
        return definition ? definition->type : "";
}

/* One row: the device as it is on one parent. @definition: NULL if it has none there. Return: 1; 0 if it is
 * not let through; a negative errno. */
static int append_row(sd_bus_message *reply, const Device *d, const char *parent,
                const Definition *definition, Filter *filter, sd_bus_error *error) {
        bool lives_here = d->parent && streq(d->parent->name, parent);
        const char *type = type_of_row(d, lives_here, definition, filter);
        bool active = lives_here && device_is_active(d), defined = definition;
        const Attributes *attributes =
                        definition && filter->has_attributes ? &definition->attributes : &(Attributes){};
        int r;

        if ((filter->parent && !streq(filter->parent, parent)) ||
                        (filter->type && !streq(filter->type, type)) ||
                        (filter->state && !streq(filter->state, state_of_row(d, lives_here))) ||
                        !tristate_matches(filter->defined, defined) ||
                        !tristate_matches(filter->active, active))
                return 0;

        r = count_row(&filter->reply_size,
                        ROW_SIZE + strlen(parent) + strlen(type) + attributes_reply_size(attributes),
                        "devices",
                        "Give a filter: some of them with \"limit\", and those behind with \"after\".",
                        error);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'r', "ssssbbba(ss)");
        if (r >= 0)
                r = sd_bus_message_append(reply, "ssssbbb", UUID_TEXT(&d->uuid), state_of_row(d, lives_here),
                                parent, type, (int) active, (int) defined,
                                (int) (definition && definition->autostart));
        if (r >= 0)
                r = append_attributes(reply, attributes);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : 1;
}

static int append_device(sd_bus_message *reply, const Device *d, Filter *filter, sd_bus_error *error) {
        bool has_rows = false;
        int r;

        if (d->parent && !device_find_definition(d, d->parent->name)) {
                r = append_row(reply, d, d->parent->name, NULL, filter, error);
                if (r < 0)
                        return r;
                has_rows |= r > 0;
        }
        for (uint32_t i = 0; i < d->n_definitions; i++) {
                r = append_row(reply, d, d->definitions[i].parent, &d->definitions[i], filter, error);
                if (r < 0)
                        return r;
                has_rows |= r > 0;
        }

        filter->n_devices += has_rows;
        return 0;
}

/* Those among which the filter chooses: one is looked up, and not looked for. As registry_list_range(). */
static int list_candidates(const Registry *r, const Filter *filter, Device ***ret, size_t *ret_n) {
        Device *d;

        if (!filter->has_uuid)
                return registry_list_range(r, &filter->range, ret, ret_n);

        *ret = calloc(1, sizeof **ret);
        if (!*ret)
                return -ENOMEM;
        d = registry_find(r, &filter->uuid);
        if (d && device_is_visible(d) && uuid_is_in(&d->uuid, &filter->range)) {
                **ret = d;
                *ret_n = 1;
        } else
                *ret_n = 0;
        return 0;
}

/* Each NULL if it is not given. */
static int read_filter_uuids(
                Filter *f, const char *uuid, const char *after, const char *until, sd_bus_error *error) {
        int r = 0;

        if (uuid)
                r = parse_uuid(uuid, &f->uuid, error);
        if (r >= 0 && after)
                r = parse_uuid(after, &f->after, error);
        if (r >= 0 && until)
                r = parse_uuid(until, &f->until, error);

        f->has_uuid = uuid;
        f->range = (UuidRange){ after ? &f->after : NULL, until ? &f->until : NULL };
        return r;
}

int method_list_devices(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) Device **devices = NULL;
        const char *uuid = NULL, *after = NULL, *until = NULL;
        Filter filter = { .has_attributes = true, .limit = UINT64_MAX };
        const Option options[] = {
                { "uuid", OPTION_STRING, &uuid },
                { "parent", OPTION_STRING, &filter.parent },
                { "type", OPTION_STRING, &filter.type },
                { "state", OPTION_STRING, &filter.state },
                { "defined", OPTION_TRISTATE, &filter.defined },
                { "active", OPTION_TRISTATE, &filter.active },
                { "attributes", OPTION_BOOL, &filter.has_attributes },
                { "after", OPTION_STRING, &after },
                { "until", OPTION_STRING, &until },
                { "limit", OPTION_U64, &filter.limit },
                {},
        };
        Bus *b = userdata;
        size_t n = 0;
        int r;

        r = read_options(m, options, error);
        if (r < 0)
                return r;
        if (filter.limit == 0)
                return refuse_option(error, "limit", "it is at least 1");
        r = read_filter_uuids(&filter, uuid, after, until, error);
        if (r < 0)
                return r;

        if (filter.has_uuid)
                manager_recheck_one(b->manager, &filter.uuid);
        else
                manager_recheck(b->manager, &filter.range);
        r = list_candidates(manager_registry(b->manager), &filter, &devices, &n);
        if (r < 0)
                return r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(ssssbbba(ss))");
        if (r < 0)
                return r;
        for (size_t i = 0; i < n && filter.n_devices < filter.limit; i++) {
                r = append_device(reply, devices[i], &filter, error);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, reply, NULL);
}

int method_list_parents(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) Parent **parents = NULL;
        size_t n = 0, size = 0;
        Bus *b = userdata;
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
                const char *path = p->present ? strempty(p->path) : "", *driver = strempty(p->driver);

                r = count_row(&size, PARENT_ROW_SIZE + strlen(p->name) + strlen(path) + strlen(driver),
                                "parents", "ListDevices names them with their definitions, some at a time.",
                                error);
                if (r >= 0)
                        r = sd_bus_message_append(reply, "(ssbs)", p->name, path, (int) p->present, driver);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, reply, NULL);
}

static int append_types_of(sd_bus_message *reply, const Parent *p, size_t *size, sd_bus_error *error) {
        for (size_t i = 0; i < p->types.n; i++) {
                const Type *t = &p->types.types[i];
                int r;

                r = count_row(size,
                                TYPE_ROW_SIZE + strlen(p->name) + strlen(t->name) + strlen(t->label) +
                                                strlen(t->device_api) + strlen(t->description),
                                "types", "Ask for those of one parent.", error);
                if (r < 0)
                        return r;
                r = sd_bus_message_append(reply, "(sssssu)", p->name, t->name, t->label, t->device_api,
                                t->description, t->available_instances);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int send_types(const Call *c, sd_bus_error *error) {
        _cleanup_(message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) Parent **parents = NULL;
        size_t n = 0, size = 0;
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
                r = append_types_of(reply, parents[i], &size, error);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_send(NULL, reply, NULL);
}

static void reply_types(const Failure *f, const Uuid *uuid _unused_, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(call_freep) Call *c = userdata;
        int r;

        if (f) {
                call_fail(c, f);
                return;
        }
        r = send_types(c, &error);
        if (memory_check(r) < 0)
                (void) sd_bus_reply_method_errno(c->message, r, &error);
}

int method_list_types(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        _cleanup_(call_freep) Call *c = NULL;
        Bus *b = userdata;
        const char *name;
        int r;

        r = read_parent(m, true, &name, error);
        if (r < 0)
                return r;
        r = call_new(b, m, &c, error);
        if (r < 0)
                return r;
        if (name[0] != '\0' && free_and_strdup(&c->parent, name) < 0)
                return -ENOMEM;

        r = manager_refresh_types(b->manager, c->parent, &f, reply_types, c);
        if (r < 0)
                return error_set(error, &f);
        if (r > 0)
                reply_types(NULL, NULL, c);

        TAKE_PTR(c);
        return 1;
}

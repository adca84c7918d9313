/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>

#include "host/codec.h"
#include "host/driver.h"
#include "host/store.h"
#include "host/sysfs.h"
#include "tools/locate.h"
#include "tools/offline.h"

const char *offline_root(const char *option) {
        const char *variable = getenv("MDEVCTL_ENV_ROOT");

        if (option)
                return option;
        return isempty(variable) ? "/" : variable;
}

static int no_memory(void) {
        return complain(-ENOMEM, "Not enough memory");
}

static int open_root(const char *root) {
        int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? complain(-errno, "Directory %s cannot be opened: %s", root, strerror(errno)) : fd;
}

/* Return: a descriptor; -ENOENT, not told: there is no sysfs. */
static int open_sys(const char *root) {
        _cleanup_(closep) int root_fd = open_root(root);
        int fd;

        if (root_fd < 0)
                return root_fd;
        fd = openat(root_fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 || errno == ENOENT)
                return fd < 0 ? -ENOENT : fd;
        return complain(-errno, "%s/sys cannot be opened: %s", root, strerror(errno));
}

static json_object *new_element(json_object *array) {
        json_object *element = json_object_new_object();

        return value_append(array, element) < 0 ? NULL : element;
}

/* Definitions */

static const char *reason_for(int error) {
        switch (-error) {
        case EINVAL:
                return "the file's name is not a UUID";
        case ENOTSUP:
                return "not a regular file";
        case ELOOP:
                return "a symbolic link";
        case EFBIG:
                return "too large";
        case EEXIST:
                return "the same device is defined in another file beside it, under the UUID's usual form";
        case ENOTDIR:
                return "not in the directory of a parent";
        case EILSEQ:
                return "not a name that a parent can have";
        default:
                return strerror(-error);
        }
}

static json_object *attributes_to_json(const Attributes *attributes) {
        _cleanup_(json_object_putp) json_object *array = json_object_new_array();

        if (!array)
                return NULL;
        FOREACH_ATTRIBUTE(name, value, attributes) {
                json_object *element = new_element(array);

                if (!element || value_put_string(element, "name", name) < 0 ||
                                value_put_string(element, "value", value) < 0)
                        return NULL;
        }

        return TAKE_PTR(array);
}

static int put_definition(json_object *file, const Definition *d) {
        if (value_put_string(file, "parent", d->parent) < 0 ||
                        value_put_string(file, "uuid", UUID_TEXT(&d->uuid)) < 0 ||
                        value_put_string(file, "type", d->type) < 0 ||
                        value_put(file, "autostart", json_object_new_boolean(d->autostart)) < 0)
                return -ENOMEM;
        return value_put(file, "attributes", attributes_to_json(&d->attributes));
}

static int put_problem(json_object *file, const char *message, Position p) {
        if (value_put_string(file, "message", message) < 0)
                return -ENOMEM;
        if (p.line == 0)
                return 0;
        return value_put(file, "line", json_object_new_int64((int64_t) p.line)) < 0
                        ? -ENOMEM
                        : value_put(file, "column", json_object_new_int64((int64_t) p.column));
}

/* A StoreFn. */
static int add_file(const char *parent, const char *name, const Uuid *uuid, const char *text, size_t size,
                int error, void *userdata) {
        _cleanup_(freep) char *path = store_path(parent, name), *reason = NULL;
        _cleanup_(definition_done) Definition d = {};
        json_object *file = new_element(userdata);
        const char *message;
        Position p = {};
        int r;

        if (!file || !path || value_put_string(file, "path", path) < 0 ||
                        value_put_string(file, "file_name", name) < 0)
                return -ENOMEM;
        if (error < 0)
                return put_problem(file, reason_for(error), p);

        r = codec_parse(text, size, uuid, parent, &d, &reason);
        if (r == -EBADMSG) {
                message = locate(text, size, reason, &p);
                return put_problem(file, message, p);
        }
        return r < 0 ? r : put_definition(file, &d);
}

int offline_read_definitions(const char *root, json_object **ret) {
        _cleanup_(json_object_putp) json_object *array = json_object_new_array();
        _cleanup_(closep) int root_fd = open_root(root);
        _cleanup_(store_freep) Store *store = NULL;
        int r;

        if (root_fd < 0)
                return root_fd;
        if (!array)
                return no_memory();
        r = store_open(root_fd, &store);
        if (r >= 0)
                r = store_scan(store, NULL, add_file, array);
        if (r < 0)
                return complain(r, "The definitions below %s cannot be read: %s", root, strerror(-r));

        *ret = TAKE_PTR(array);
        return 0;
}

/* Living devices */

static const char *presence_to_state(Presence presence) {
        switch (presence) {
        case PRESENCE_ARRIVING:
                return "creating";
        case PRESENCE_PRESENT:
                return "active";
        case PRESENCE_LEAVING:
                return "removing";
        case PRESENCE_ORPHAN:
                return "orphaned";
        case PRESENCE_ABSENT:
        case PRESENCE_UNKNOWN:
        case _PRESENCE_MAX:
                break;
        }

        return NULL;
}

static int add_living(json_object *array, int sys_fd, const Uuid *uuid) {
        _cleanup_(sighting_done) Sighting seen = SIGHTING_INIT;
        json_object *element;
        const char *state;

        if (sysfs_probe(sys_fd, uuid, NULL, &seen) == -ENOMEM)
                return -ENOMEM;
        state = presence_to_state(seen.presence);
        if (!state)
                return 0;

        element = new_element(array);
        if (!element || value_put_string(element, "uuid", UUID_TEXT(uuid)) < 0 ||
                        value_put_string(element, "parent", strempty(seen.parent)) < 0 ||
                        value_put_string(element, "type", strempty(seen.type)) < 0)
                return -ENOMEM;
        return value_put_string(element, "state", state);
}

int offline_read_living(const char *root, json_object **ret) {
        _cleanup_(json_object_putp) json_object *array = json_object_new_array();
        _cleanup_(closep) int sys_fd = open_sys(root);
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n = 0;
        int r = 0;

        if (sys_fd < 0 && sys_fd != -ENOENT)
                return sys_fd;
        if (!array)
                return no_memory();
        if (sys_fd >= 0)
                r = sysfs_list_devices(sys_fd, &uuids, &n);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = add_living(array, sys_fd, &uuids[i]);
        if (r < 0)
                return complain(r, "The devices in sysfs cannot be read: %s", strerror(-r));

        *ret = TAKE_PTR(array);
        return 0;
}

/* Parents */

static int add_type(json_object *array, const Type *t) {
        json_object *element = new_element(array);

        if (!element || value_put_string(element, "type", t->name) < 0 ||
                        value_put_string(element, "name", t->label) < 0 ||
                        value_put_string(element, "device_api", t->device_api) < 0 ||
                        value_put_string(element, "description", t->description) < 0)
                return -ENOMEM;
        return value_put(element, "available_instances", json_object_new_int64(t->available_instances));
}

static int add_parent(json_object *array, int sys_fd, const char *name) {
        json_object *element = new_element(array), *list = json_object_new_array();
        _cleanup_(types_done) Types types = {};
        int r;

        if (!element || !list || value_put(element, "types", list) < 0 ||
                        value_put_string(element, "parent", name) < 0)
                return -ENOMEM;
        r = driver_read_types(sys_fd, name, &types);
        for (size_t i = 0; i < types.n && r >= 0; i++)
                r = add_type(list, &types.types[i]);
        return r == -ENOENT ? 0 : r;
}

int offline_read_parents(const char *root, const char *only, json_object **ret) {
        _cleanup_(json_object_putp) json_object *array = json_object_new_array();
        _cleanup_(closep) int sys_fd = open_sys(root);
        _cleanup_(strv_freep) char **names = NULL;
        int r = 0;

        if (sys_fd < 0 && sys_fd != -ENOENT)
                return sys_fd;
        if (!array)
                return no_memory();
        if (sys_fd >= 0)
                r = sysfs_list_parents(sys_fd, &names);
        for (char **name = names; name && *name && r >= 0; name++)
                if (!only || streq(only, *name))
                        r = add_parent(array, sys_fd, *name);
        if (r < 0)
                return complain(r, "The parents in sysfs cannot be read: %s", strerror(-r));

        *ret = TAKE_PTR(array);
        return 0;
}

/* Devices, as the daemon lists them */

static json_object *find_at(json_object *list, const char *uuid, const char *parent) {
        for (size_t i = 0; i < value_count(list); i++) {
                json_object *one = json_object_array_get_idx(list, i);

                if (streq(value_string(one, "uuid"), uuid) && streq(value_string(one, "parent"), parent))
                        return one;
        }

        return NULL;
}

/* @definition, @living: what there is of it on one parent, at least one. All strings are theirs. */
static int add_device(Devices *devices, json_object *definition, json_object *living) {
        json_object *one = definition ?: living,
                    *attributes = json_object_object_get(definition, "attributes");
        const char *state = living ? value_string(living, "state") : "defined";
        Device *d;

        if (grow((void **) &devices->list, &devices->n_allocated, devices->n + 1, sizeof *devices->list) < 0)
                return -ENOMEM;

        d = &devices->list[devices->n++];
        *d = (Device){
                .uuid = value_string(one, "uuid"),
                .parent = value_string(one, "parent"),
                .state = state,
                .active = streq(state, "active") || streq(state, "orphaned"),
                .defined = definition,
                .configuration.type = value_string(living ?: definition, "type"),
                .configuration.autostart = value_bool(definition, "autostart"),
        };
        for (size_t i = 0; i < value_count(attributes); i++) {
                json_object *attribute = json_object_array_get_idx(attributes, i);

                if (configuration_add_attribute(&d->configuration, value_string(attribute, "name"),
                                    value_string(attribute, "value")) < 0)
                        return -ENOMEM;
        }
        return living && definition ? free_and_strdup(&d->defined_type, value_string(definition, "type")) : 0;
}

static bool is_wanted(json_object *one, const Uuid *uuid, const char *parent) {
        Uuid other;

        return uuid_from_text(value_string(one, "uuid"), &other) >= 0 &&
                        (!uuid || uuid_equal(uuid, &other)) &&
                        (!parent || streq(parent, value_string(one, "parent")));
}

static bool state_is_listed(json_object *living) {
        return streq(value_string(living, "state"), "active") ||
                        streq(value_string(living, "state"), "orphaned");
}

int offline_read_devices(const char *root, DevicesWhich which, const char *uuid_text, const char *parent,
                Devices *ret) {
        _cleanup_(json_object_putp) json_object *definitions = NULL, *living = NULL;
        _cleanup_(devices_done) Devices devices = { .values = json_object_new_array() };
        bool by_definition = which == DEVICES_DEFINED;
        const Uuid *uuid = NULL;
        json_object *list, *others;
        Uuid wanted;
        int r;

        if (uuid_text && uuid_from_text(uuid_text, &wanted) >= 0)
                uuid = &wanted;
        r = offline_read_definitions(root, &definitions);
        if (r >= 0)
                r = offline_read_living(root, &living);
        if (r < 0)
                return r;
        if (value_append(devices.values, json_object_get(definitions)) < 0 ||
                        value_append(devices.values, json_object_get(living)) < 0)
                return no_memory();

        list = by_definition ? definitions : living;
        others = by_definition ? living : definitions;
        for (size_t i = 0; i < value_count(list); i++) {
                json_object *one = json_object_array_get_idx(list, i), *other;

                if (!is_wanted(one, uuid, parent) || (!by_definition && !state_is_listed(one)))
                        continue;
                other = find_at(others, value_string(one, "uuid"), value_string(one, "parent"));
                r = by_definition ? add_device(&devices, one, other) : add_device(&devices, other, one);
                if (r < 0)
                        return no_memory();
        }
        devices_sort(&devices);

        *ret = devices;
        devices = (Devices){};
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* /org/mdevd1/device/<uuid>: what a device is. Properties only; the verbs are the Manager's. */

#include <stdio.h>

#include "bus/bus-private.h"

/* The definition that speaks for the device: that of the parent it lives on, or else the first. */
static const Definition *main_definition(const Device *d) {
        const Definition *definition = d->parent ? device_find_definition(d, d->parent->name) : NULL;

        return definition ?: device_find_definition(d, NULL);
}

static const char *parent_name(const Device *d) {
        return d->parent ? d->parent->name : d->n_definitions > 0 ? d->definitions[0].parent : "";
}

static int get_string(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        const Definition *definition;
        const Device *d = userdata;
        const char *value = NULL;

        definition = main_definition(d);
        if (streq(property, "UUID"))
                return sd_bus_message_append(reply, "s", UUID_TEXT(&d->uuid));
        if (streq(property, "State"))
                value = device_state_to_string(device_state(d));
        else if (streq(property, "Parent"))
                value = parent_name(d);
        else if (streq(property, "Type"))
                value = d->type ?: definition ? definition->type : NULL;
        else if (streq(property, "Origin"))
                value = origin_to_string(d->origin);
        else if (streq(property, "SysfsPath"))
                value = d->path;
        else if (streq(property, "Pending"))
                value = waiting_to_string(d->waiting);

        return sd_bus_message_append(reply, "s", strempty(value));
}

static int get_parent_path(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        _cleanup_(freep) char *parent = parent_path(parent_name(userdata));

        return parent ? sd_bus_message_append(reply, "o", parent) : -ENOMEM;
}

static int get_bool(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        const Device *d = userdata;
        const Definition *definition = main_definition(d);
        bool value = false;

        if (streq(property, "Active"))
                value = device_is_active(d);
        else if (streq(property, "Defined"))
                value = definition;
        else if (streq(property, "AutoStart"))
                value = definition && definition->autostart;

        return sd_bus_message_append(reply, "b", (int) value);
}

static int get_attributes(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        const Definition *definition = main_definition(userdata);

        return append_attributes(reply, definition ? &definition->attributes : &(Attributes){});
}

static int get_definitions(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        const Device *d = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ssba(ss))");
        for (uint32_t i = 0; i < d->n_definitions && r >= 0; i++) {
                const Definition *definition = &d->definitions[i];

                r = sd_bus_message_open_container(reply, 'r', "ssba(ss)");
                if (r >= 0)
                        r = sd_bus_message_append(reply, "ssb", definition->parent, definition->type,
                                        (int) definition->autostart);
                if (r >= 0)
                        r = append_attributes(reply, &definition->attributes);
                if (r >= 0)
                        r = sd_bus_message_close_container(reply);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_iommu_group(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        const Device *d = userdata;

        return sd_bus_message_append(reply, "i", d->iommu_group);
}

static int get_device_node(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        const Device *d = userdata;
        char node[32] = "";

        if (d->iommu_group >= 0)
                (void) snprintf(node, sizeof node, "/dev/vfio/%d", d->iommu_group);
        return sd_bus_message_append(reply, "s", node);
}

static int get_last_error(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        const Device *d = userdata;
        _cleanup_(freep) char *sentence = d->error ? error_sentence(d->error) : NULL;

        return sd_bus_message_append(reply, "(ss)", d->error ? error_name(d->error) : "", strempty(sentence));
}

/* What a change touches. */
static const struct {
        const char *property;
        unsigned by;
} touched[] = {
        { "State", CHANGED_STATE },
        { "Active", CHANGED_STATE },
        { "Parent", CHANGED_LIVE | CHANGED_DEFINITIONS },
        { "ParentPath", CHANGED_LIVE | CHANGED_DEFINITIONS },
        { "Type", CHANGED_LIVE | CHANGED_DEFINITIONS },
        { "Origin", CHANGED_LIVE },
        { "SysfsPath", CHANGED_LIVE },
        { "IOMMUGroup", CHANGED_LIVE },
        { "DeviceNode", CHANGED_LIVE },
        { "Defined", CHANGED_DEFINITIONS },
        { "AutoStart", CHANGED_LIVE | CHANGED_DEFINITIONS },
        { "Attributes", CHANGED_LIVE | CHANGED_DEFINITIONS },
        { "Definitions", CHANGED_DEFINITIONS },
        { "LastError", CHANGED_ERROR },
        { "Pending", CHANGED_WAITING },
};

_Static_assert(ELEMENTSOF(touched) < CHANGED_NAMES_MAX, "the vector of names is too short");

void device_changed_names(unsigned what, const char *names[static CHANGED_NAMES_MAX]) {
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(touched); i++)
                if (touched[i].by & what)
                        names[n++] = touched[i].property;
        names[n] = NULL;
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("UUID", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Parent", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ParentPath", "o", get_parent_path, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Type", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Active", "b", get_bool, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Defined", "b", get_bool, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("AutoStart", "b", get_bool, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Attributes", "a(ss)", get_attributes, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Definitions", "a(ssba(ss))", get_definitions, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Origin", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("SysfsPath", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("IOMMUGroup", "i", get_iommu_group, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("DeviceNode", "s", get_device_node, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Pending", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("LastError", "(ss)", get_last_error, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

static int find(sd_bus *bus _unused_, const char *path, const char *interface _unused_, void *userdata,
                void **ret_found, sd_bus_error *error _unused_) {
        const char *name = startswith(path, MDEVD_DEVICE_PATH "/");
        char text[UUID_TEXT_SIZE];
        Bus *b = userdata;
        Device *d;
        Uuid uuid;

        if (!name || strlen(name) != UUID_TEXT_SIZE - 1 || strchr(name, '-'))
                return 0;
        for (size_t i = 0; i < UUID_TEXT_SIZE; i++)
                text[i] = name[i] == '_' ? '-' : name[i];
        if (uuid_from_canonical(text, &uuid) < 0)
                return 0;

        d = registry_find(manager_registry(b->manager), &uuid);
        if (!d)
                return 0;
        *ret_found = d;
        return 1;
}

/* What a device takes in the answer of GetManagedObjects: names of interfaces and properties, what is never
 * long, and all strings, of which some are there several times. */
static size_t device_reply_size(const Device *d) {
        _cleanup_(freep) char *sentence = d->error ? error_sentence(d->error) : NULL;
        const Definition *definition = main_definition(d);
        size_t size = 1024;

        size += 4 * strlen(parent_name(d)) + strlen(strempty(d->path)) + strlen(strempty(sentence));
        size += strlen(strempty(d->type ?: definition ? definition->type : NULL));
        if (definition)
                size += attributes_reply_size(&definition->attributes);
        for (uint32_t i = 0; i < d->n_definitions; i++)
                size += 40 + strlen(d->definitions[i].parent) + strlen(d->definitions[i].type) +
                                attributes_reply_size(&d->definitions[i].attributes);
        return size;
}

/* sd-bus makes that answer by itself, but asks for the nodes first. (It also does to tell only their names.)
 */
static int check_reply_size(Bus *b, Device *const *devices, size_t n_devices, sd_bus_error *error) {
        sd_bus_message *call = sd_bus_get_current_message(b->bus);
        _cleanup_(freep) Parent **parents = NULL;
        size_t n_parents = 0, size = 0;
        int r;

        if (!call || !sd_bus_message_is_method_call(call, NULL, "GetManagedObjects"))
                return 0;

        r = registry_list_parents(manager_registry(b->manager), &parents, &n_parents);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_parents; i++)
                size += parent_reply_size(parents[i]);
        for (size_t i = 0; i < n_devices && size <= REPLY_SIZE_MAX; i++)
                size += device_reply_size(devices[i]);
        if (size > REPLY_SIZE_MAX)
                return sd_bus_error_setf(error, MDEVD_ERROR_LIMITS_EXCEEDED,
                                "These are too many devices for one answer, which may be of %u bytes. ListDevices with "
                                "a filter, such as a \"limit\", shows some of them at a time.",
                                REPLY_SIZE_MAX);
        return 0;
}

static int enumerate(sd_bus *bus _unused_, const char *prefix _unused_, void *userdata, char ***ret_nodes,
                sd_bus_error *error) {
        _cleanup_(strv_freep) char **nodes = NULL;
        _cleanup_(freep) Device **devices = NULL;
        Bus *b = userdata;
        size_t n = 0;
        int r;

        r = registry_list(manager_registry(b->manager), &devices, &n);
        if (r < 0)
                return r;
        r = check_reply_size(b, devices, n, error);
        if (r < 0)
                return r;
        nodes = calloc(n + 1, sizeof *nodes);
        if (!nodes)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                nodes[i] = device_path(&devices[i]->uuid);
                if (!nodes[i])
                        return -ENOMEM;
        }

        *ret_nodes = TAKE_PTR(nodes);
        return 1;
}

int device_object_add(Bus *b) {
        int r;

        r = sd_bus_add_fallback_vtable(
                        b->bus, NULL, MDEVD_DEVICE_PATH, MDEVD_DEVICE_INTERFACE, vtable, find, b);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(b->bus, NULL, MDEVD_DEVICE_PATH, enumerate, b);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* /org/mdevd1/parent/<name>: a parent device, there or only named by a definition, and what it offers. */

#include "bus/bus-private.h"

static int get_string(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_) {
        const Parent *p = userdata;
        const char *value = NULL;

        if (streq(property, "Name"))
                value = p->name;
        else if (streq(property, "SysfsPath"))
                value = p->present ? p->path : NULL;
        else if (streq(property, "Driver"))
                value = p->driver;

        return sd_bus_message_append(reply, "s", strempty(value));
}

static int get_present(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        const Parent *p = userdata;

        return sd_bus_message_append(reply, "b", (int) p->present);
}

static int get_numa_node(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        const Parent *p = userdata;

        return sd_bus_message_append(reply, "i", p->numa_node);
}

static int get_types(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        const Parent *p = userdata;

        return append_types(reply, &p->types);
}

void parent_changed_names(unsigned what, const char *names[static CHANGED_NAMES_MAX]) {
        size_t n = 0;

        if (what & CHANGED_PARENT) {
                names[n++] = "SysfsPath";
                names[n++] = "Driver";
                names[n++] = "Present";
                names[n++] = "NUMANode";
        }
        if (what & CHANGED_TYPES)
                names[n++] = "Types";
        names[n] = NULL;
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("SysfsPath", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Driver", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Present", "b", get_present, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NUMANode", "i", get_numa_node, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Types", "a(ssssu)", get_types, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

static int find(sd_bus *bus _unused_, const char *path, const char *interface _unused_, void *userdata,
                void **ret_found, sd_bus_error *error _unused_) {
        _cleanup_(freep) char *name = NULL;
        Bus *b = userdata;
        Parent *p;
        int r;

        r = sd_bus_path_decode(path, MDEVD_PARENT_PATH, &name);
        if (r <= 0)
                return r;

        p = registry_find_parent(manager_registry(b->manager), name);
        if (!p)
                return 0;
        *ret_found = p;
        return 1;
}

size_t parent_reply_size(const Parent *p) {
        size_t size = 640;

        size += 4 * strlen(p->name) + strlen(strempty(p->path)) + strlen(strempty(p->driver));
        for (size_t i = 0; i < p->types.n; i++) {
                const Type *t = &p->types.types[i];

                size += 48 + strlen(t->name) + strlen(t->label) + strlen(t->device_api) +
                                strlen(t->description);
        }
        return size;
}

static int enumerate(sd_bus *bus _unused_, const char *prefix _unused_, void *userdata, char ***ret_nodes,
                sd_bus_error *error _unused_) {
        _cleanup_(strv_freep) char **nodes = NULL;
        _cleanup_(freep) Parent **parents = NULL;
        Bus *b = userdata;
        size_t n = 0;
        int r;

        r = registry_list_parents(manager_registry(b->manager), &parents, &n);
        if (r < 0)
                return r;
        nodes = calloc(n + 1, sizeof *nodes);
        if (!nodes)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                nodes[i] = parent_path(parents[i]->name);
                if (!nodes[i])
                        return -ENOMEM;
        }

        *ret_nodes = TAKE_PTR(nodes);
        return 1;
}

int parent_object_add(Bus *b) {
        int r;

        r = sd_bus_add_fallback_vtable(
                        b->bus, NULL, MDEVD_PARENT_PATH, MDEVD_PARENT_INTERFACE, vtable, find, b);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(b->bus, NULL, MDEVD_PARENT_PATH, enumerate, b);
}

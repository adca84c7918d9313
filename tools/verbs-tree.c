/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* tree: parents, their types, and the devices of each, defined or living. */

#include "tools/picture.h"
#include "tools/terminal.h"
#include "tools/verbs.h"

/* One device at one place: where it lives, or where it is defined. */
static int add_device(json_object *place, json_object *device, bool defined, bool lives) {
        _cleanup_(json_object_putp) json_object *row = json_object_new_object();
        const char *state = lives ? value_string(device, "state") : "defined";

        if (!row || value_put_string(row, "uuid", value_string(device, "uuid")) < 0 ||
                        value_put_string(row, "state", state) < 0 ||
                        value_put(row, "defined", json_object_new_boolean(defined)) < 0)
                return -ENOMEM;
        return value_append(place, json_object_get(row));
}

static int add_devices(json_object *place, json_object *const *devices, size_t n, const char *parent,
                const char *type) {
        for (size_t i = 0; i < n; i++) {
                json_object *definitions = json_object_object_get(devices[i], "definitions");
                bool defined = false, lives;

                for (size_t k = 0; k < value_count(definitions); k++) {
                        json_object *d = json_object_array_get_idx(definitions, k);

                        defined |= streq(value_string(d, "parent"), parent) &&
                                        streq(value_string(d, "type"), type);
                }
                lives = !streq(value_string(devices[i], "state"), "defined") &&
                                streq(value_string(devices[i], "parent"), parent) &&
                                streq(value_string(devices[i], "type"), type);
                if ((defined || lives) && add_device(place, devices[i], defined, lives) < 0)
                        return -ENOMEM;
        }

        return 0;
}

static json_object *find_type(json_object *types, const char *name) {
        for (size_t i = 0; i < value_count(types); i++) {
                json_object *type = json_object_array_get_idx(types, i);

                if (streq(value_string(type, "type"), name))
                        return type;
        }

        return NULL;
}

/* @left: NULL: the parent does not offer it */
static int add_type(json_object *types, const char *name, json_object *left, const char *parent,
                json_object *const *devices, size_t n) {
        json_object *type, *place;

        if (find_type(types, name))
                return 0;
        type = json_object_new_object();
        if (value_append(types, type) < 0 || value_put_string(type, "type", name) < 0 ||
                        value_put_any(type, "available_instances", json_object_get(left)) < 0 ||
                        value_put(type, "devices", place = json_object_new_array()) < 0)
                return -ENOMEM;
        return add_devices(place, devices, n, parent, name);
}

/* What it offers, and then what devices have of it all the same. */
static int add_types(json_object *types, json_object *parent, json_object *const *devices, size_t n) {
        json_object *offered = json_object_object_get(parent, "types");
        const char *name = value_string(parent, "parent");
        int r = 0;

        for (size_t i = 0; i < value_count(offered) && r >= 0; i++) {
                json_object *type = json_object_array_get_idx(offered, i);

                r = add_type(types, value_string(type, "type"),
                                json_object_object_get(type, "available_instances"), name, devices, n);
        }
        for (size_t i = 0; i < n && r >= 0; i++) {
                json_object *definitions = json_object_object_get(devices[i], "definitions");

                if (streq(value_string(devices[i], "parent"), name))
                        r = add_type(types, value_string(devices[i], "type"), NULL, name, devices, n);
                for (size_t k = 0; k < value_count(definitions) && r >= 0; k++) {
                        json_object *d = json_object_array_get_idx(definitions, k);

                        if (streq(value_string(d, "parent"), name))
                                r = add_type(types, value_string(d, "type"), NULL, name, devices, n);
                }
        }

        return r;
}

static int make_tree(const Picture *p, json_object *tree) {
        _cleanup_(freep) json_object **parents = NULL, **devices = NULL;
        size_t n_parents, n_devices;
        int r;

        r = picture_sort(p->parents, &parents, &n_parents);
        if (r >= 0)
                r = picture_sort(p->devices, &devices, &n_devices);
        for (size_t i = 0; i < n_parents && r >= 0; i++) {
                json_object *parent = json_object_new_object(), *types;

                if (value_append(tree, parent) < 0 ||
                                value_put_string(parent, "parent", value_string(parents[i], "parent")) < 0 ||
                                value_put(parent, "present",
                                                json_object_new_boolean(value_bool(parents[i], "present"))) <
                                                0 ||
                                value_put(parent, "types", types = json_object_new_array()) < 0)
                        return -ENOMEM;
                r = add_types(types, parents[i], devices, n_devices);
        }
        return r;
}

/* Drawing: plain indentation where lines cannot be drawn. */

static const char *branch(bool is_last) {
        return !terminal_can_draw() ? "  " : is_last ? "└─" : "├─";
}

static const char *trunk(bool is_last) {
        return !terminal_can_draw() || is_last ? "  " : "│ ";
}

static void draw_device(json_object *device, const char *indent, bool is_last) {
        const char *state = value_string(device, "state");

        printf("%s%s%s ", indent, branch(is_last), value_string(device, "uuid"));
        terminal_write(state, terminal_state_colour(state), 0, SIZE_MAX);
        printf("%s\n", value_bool(device, "defined") && !streq(state, "defined") ? " (defined)" : "");
}

static void draw_type(json_object *type, bool is_last) {
        json_object *devices = json_object_object_get(type, "devices");
        int64_t left = value_number(type, "available_instances");
        size_t n = value_count(devices);

        fputs(branch(is_last), stdout);
        terminal_write(value_string(type, "type"), COLOUR_NONE, 0, SIZE_MAX);
        fputs(", ", stdout);
        if (left < 0)
                terminal_write("not offered", COLOUR_BUSY, 0, SIZE_MAX);
        else
                printf("%lld left", (long long) left);
        fputc('\n', stdout);
        for (size_t i = 0; i < n; i++)
                draw_device(json_object_array_get_idx(devices, i), trunk(is_last), i + 1 == n);
}

static void draw_parent(json_object *parent) {
        json_object *types = json_object_object_get(parent, "types");
        size_t n = value_count(types);

        terminal_write(value_string(parent, "parent"), COLOUR_NONE, 0, SIZE_MAX);
        if (!value_bool(parent, "present")) {
                fputs(", ", stdout);
                terminal_write("absent", COLOUR_BUSY, 0, SIZE_MAX);
        }
        fputc('\n', stdout);
        for (size_t i = 0; i < n; i++)
                draw_type(json_object_array_get_idx(types, i), i + 1 == n);
}

int verb_tree(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(json_object_putp) json_object *tree = json_object_new_array();
        _cleanup_(picture_done) Picture p = {};
        int r;

        r = client_open(&bus);
        if (r < 0)
                return r;
        picture_refresh_types(bus, "");
        r = picture_read(bus, &p);
        if (r < 0)
                return r;
        if (!tree || make_tree(&p, tree) < 0)
                return complain(-ENOMEM, "Not enough memory");

        if (arguments_have(a, OPTION_JSON))
                return value_write(tree);
        for (size_t i = 0; i < value_count(tree); i++)
                draw_parent(json_object_array_get_idx(tree, i));
        return 0;
}

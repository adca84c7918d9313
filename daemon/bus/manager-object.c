/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* /org/mdevd1: the verbs, the lists, and the daemon's own properties. */

#include "base/memory.h"
#include "bus/manager-private.h"

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

static int append_trouble(const Trouble *t, void *userdata) {
        return sd_bus_message_append(userdata, "(sst)", t->name, t->sentence, t->since_usec);
}

static int get_troubles(sd_bus *bus _unused_, const char *path _unused_, const char *interface _unused_,
                const char *property _unused_, sd_bus_message *reply, void *userdata,
                sd_bus_error *error _unused_) {
        Bus *b = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sst)");
        if (r >= 0)
                r = auth_list_troubles(b->auth, append_trouble, reply);
        if (r >= 0)
                r = manager_list_troubles(b->manager, append_trouble, reply);
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

/* A method that remembers if there was no memory for it. */
#define CALL(method) method##_remembered
#define REMEMBER(method)                                                                   \
        static int CALL(method)(sd_bus_message * m, void *userdata, sd_bus_error *error) { \
                return memory_check(method(m, userdata, error));                           \
        }                                                                                  \
        struct _semicolon_wanted_

REMEMBER(method_define);
REMEMBER(method_define_from_json);
REMEMBER(method_modify);
REMEMBER(method_undefine);
REMEMBER(method_start);
REMEMBER(method_create);
REMEMBER(method_create_from_json);
REMEMBER(method_stop);
REMEMBER(method_start_parent);
REMEMBER(method_get_device);
REMEMBER(method_get_parent);
REMEMBER(method_get_attributes);
REMEMBER(method_list_devices);
REMEMBER(method_list_parents);
REMEMBER(method_list_types);
REMEMBER(method_rescan);

#define DEVICE_ROW "(ssssbbba(ss))"

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),

        SD_BUS_METHOD_WITH_ARGS("Define",
                        SD_BUS_ARGS("s", uuid, "s", parent, "s", type, "a(ss)", attributes, "a{sv}", options),
                        SD_BUS_RESULT("s", uuid, "o", device), CALL(method_define),
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("DefineFromJSON",
                        SD_BUS_ARGS("s", uuid, "s", parent, "s", json, "a{sv}", options),
                        SD_BUS_RESULT("s", uuid, "o", device), CALL(method_define_from_json),
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Modify",
                        SD_BUS_ARGS("s", uuid, "s", parent, "a{sv}", changes, "a{sv}", options),
                        SD_BUS_NO_RESULT, CALL(method_modify), SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Undefine", SD_BUS_ARGS("s", uuid, "s", parent, "a{sv}", options),
                        SD_BUS_NO_RESULT, CALL(method_undefine), SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Start", SD_BUS_ARGS("s", uuid, "s", parent, "a{sv}", options),
                        SD_BUS_RESULT("o", device), CALL(method_start), SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Create",
                        SD_BUS_ARGS("s", uuid, "s", parent, "s", type, "a(ss)", attributes, "a{sv}", options),
                        SD_BUS_RESULT("s", uuid, "o", device), CALL(method_create),
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("CreateFromJSON",
                        SD_BUS_ARGS("s", uuid, "s", parent, "s", json, "a{sv}", options),
                        SD_BUS_RESULT("s", uuid, "o", device), CALL(method_create_from_json),
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Stop", SD_BUS_ARGS("s", uuid, "a{sv}", options), SD_BUS_NO_RESULT,
                        CALL(method_stop), SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("StartParent", SD_BUS_ARGS("s", parent), SD_BUS_RESULT("a(ss)", failures),
                        CALL(method_start_parent), SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetDevice", SD_BUS_ARGS("s", uuid), SD_BUS_RESULT("o", device),
                        CALL(method_get_device), SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetParent", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", parent),
                        CALL(method_get_parent), SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetAttributes", SD_BUS_ARGS("s", uuid), SD_BUS_RESULT("a(ss)", attributes),
                        CALL(method_get_attributes), SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListDevices", SD_BUS_ARGS("a{sv}", filter),
                        SD_BUS_RESULT("a" DEVICE_ROW, devices), CALL(method_list_devices),
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListParents", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ssbs)", parents),
                        CALL(method_list_parents), SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListTypes", SD_BUS_ARGS("s", parent), SD_BUS_RESULT("a(sssssu)", types),
                        CALL(method_list_types), SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Rescan", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, CALL(method_rescan),
                        SD_BUS_VTABLE_UNPRIVILEGED),

        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("NDevices", "u", get_count, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NActive", "u", get_count, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NPending", "u", get_count, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Settled", "b", get_settled, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("InvalidDefinitions", "a(ss)", get_invalid, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Troubles", "a(sst)", get_troubles, 0, 0),
        SD_BUS_VTABLE_END,
};

int manager_object_add(Bus *b) {
        return sd_bus_add_object_vtable(b->bus, NULL, MDEVD_PATH, MDEVD_MANAGER_INTERFACE, vtable, b);
}

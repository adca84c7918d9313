/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "api/mdevd-names.h"
#include "tools/output.h"
#include "tools/value.h"

/* How a structure's members are called. */
typedef struct Shape {
        const char *const *names;
        size_t n_names;
        const struct Shape *member; /* of the structures within */
} Shape;

static const char *const attribute_names[] = { "name", "value" };
static const char *const definition_names[] = { "parent", "type", "autostart", "attributes" };
static const char *const error_names[] = { "name", "message" };
static const char *const type_names[] = { "type", "name", "device_api", "description",
        "available_instances" };
static const char *const invalid_names[] = { "path", "reason" };
static const char *const trouble_names[] = { "name", "message", "since_usec" };

static const Shape attribute_shape = { attribute_names, ELEMENTSOF(attribute_names), NULL };
static const Shape definition_shape = { definition_names, ELEMENTSOF(definition_names), &attribute_shape };
static const Shape error_shape = { error_names, ELEMENTSOF(error_names), NULL };
static const Shape type_shape = { type_names, ELEMENTSOF(type_names), NULL };
static const Shape invalid_shape = { invalid_names, ELEMENTSOF(invalid_names), NULL };
static const Shape trouble_shape = { trouble_names, ELEMENTSOF(trouble_names), NULL };

typedef struct Property {
        const char *name, *key;
        const Shape *shape;
        bool nothing_is_null; /* "", -1 and an error without a name mean that there is none */
} Property;

static const Property manager_properties[] = {
        { "Version", "version" },
        { "Settled", "settled" },
        { "NDevices", "devices_total" },
        { "NActive", "devices_active" },
        { "NPending", "operations" },
        { "InvalidDefinitions", "invalid_definitions", &invalid_shape },
        { "Troubles", "troubles", &trouble_shape },
        {},
};

static const Property parent_properties[] = {
        { "Name", "parent" },
        { "Present", "present" },
        { "Driver", "driver", .nothing_is_null = true },
        { "NUMANode", "numa_node", .nothing_is_null = true },
        { "SysfsPath", "sysfs_path", .nothing_is_null = true },
        { "Types", "types", &type_shape },
        {},
};

static const Property device_properties[] = {
        { "UUID", "uuid" },
        { "State", "state" },
        { "Parent", "parent" },
        { "Type", "type" },
        { "Active", "active" },
        { "Defined", "defined" },
        { "AutoStart", "autostart" },
        { "Pending", "pending", .nothing_is_null = true },
        { "LastError", "last_error", &error_shape, true },
        { "Origin", "origin" },
        { "SysfsPath", "sysfs_path", .nothing_is_null = true },
        { "IOMMUGroup", "iommu_group", .nothing_is_null = true },
        { "DeviceNode", "device_node", .nothing_is_null = true },
        { "Attributes", "attributes", &attribute_shape },
        { "Definitions", "definitions", &definition_shape },
        {},
};

static const struct {
        const char *interface, *name;
        const Property *properties;
} objects[_VALUE_OBJECT_MAX] = {
        [VALUE_MANAGER] = { MDEVD_MANAGER_INTERFACE, "daemon", manager_properties },
        [VALUE_PARENT] = { MDEVD_PARENT_INTERFACE, "parent", parent_properties },
        [VALUE_DEVICE] = { MDEVD_DEVICE_INTERFACE, "device", device_properties },
};

int value_object_of(const char *interface) {
        for (int i = 0; i < _VALUE_OBJECT_MAX; i++)
                if (streq(objects[i].interface, interface))
                        return i;

        return -EINVAL;
}

const char *value_object_name(ValueObject object) {
        return objects[object].name;
}

json_object *value_new(ValueObject object) {
        _cleanup_(json_object_putp) json_object *value = json_object_new_object();

        for (const Property *p = objects[object].properties; value && p->name; p++)
                if (json_object_object_add(value, p->key, NULL) < 0)
                        return NULL;

        return TAKE_PTR(value);
}

/* Reading */

static int read_value(sd_bus_message *m, const Shape *shape, json_object **ret);

static int read_string(sd_bus_message *m, char type, json_object **ret) {
        const char *s;
        int r;

        r = sd_bus_message_read_basic(m, type, &s);
        if (r < 0)
                return r;

        *ret = json_object_new_string(s);
        return *ret ? 0 : -ENOMEM;
}

static int read_number(sd_bus_message *m, char type, json_object **ret) {
        union {
                int32_t i;
                uint32_t u;
                uint64_t t;
                int b;
        } n;
        int r;

        r = sd_bus_message_read_basic(m, type, &n);
        if (r < 0)
                return r;

        *ret = type == 'b'                           ? json_object_new_boolean(n.b)
                        : type == SD_BUS_TYPE_INT32  ? json_object_new_int64(n.i)
                        : type == SD_BUS_TYPE_UINT64 ? json_object_new_uint64(n.t)
                                                     : json_object_new_int64(n.u);
        return *ret ? 0 : -ENOMEM;
}

static int read_list(sd_bus_message *m, const char *contents, const Shape *shape, json_object **ret) {
        _cleanup_(json_object_putp) json_object *list = json_object_new_array();
        int r;

        if (!list)
                return -ENOMEM;
        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, contents);
        if (r < 0)
                return r;
        while ((r = sd_bus_message_at_end(m, false)) == 0) {
                json_object *element = NULL;

                r = read_value(m, shape, &element);
                if (r >= 0)
                        r = value_append(list, element);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(list);
        return 0;
}

static int read_structure(sd_bus_message *m, const char *contents, const Shape *shape, json_object **ret) {
        _cleanup_(json_object_putp) json_object *object = json_object_new_object();
        int r;

        if (!object)
                return -ENOMEM;
        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_STRUCT, contents);
        if (r < 0)
                return r;
        for (size_t i = 0; (r = sd_bus_message_at_end(m, false)) == 0; i++) {
                json_object *member = NULL;

                if (i == shape->n_names)
                        return -EBADMSG;
                r = read_value(m, shape->member, &member);
                if (r >= 0)
                        r = value_put(object, shape->names[i], member);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(object);
        return 0;
}

static int read_value(sd_bus_message *m, const Shape *shape, json_object **ret) {
        const char *contents;
        char type;
        int r;

        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r <= 0)
                return r < 0 ? r : -EBADMSG;

        switch (type) {
        case SD_BUS_TYPE_STRING:
        case SD_BUS_TYPE_OBJECT_PATH:
                return read_string(m, type, ret);
        case SD_BUS_TYPE_BOOLEAN:
        case SD_BUS_TYPE_INT32:
        case SD_BUS_TYPE_UINT32:
        case SD_BUS_TYPE_UINT64:
                return read_number(m, type, ret);
        case SD_BUS_TYPE_ARRAY:
                return read_list(m, contents, shape, ret);
        case SD_BUS_TYPE_STRUCT:
                return shape ? read_structure(m, contents, shape, ret) : -EBADMSG;
        default:
                return -EBADMSG;
        }
}

static bool value_is_nothing(json_object *value) {
        switch (json_object_get_type(value)) {
        case json_type_string:
                return json_object_get_string_len(value) == 0;
        case json_type_int:
                return json_object_get_int64(value) < 0;
        case json_type_object:
                return isempty(value_string(value, "name"));
        case json_type_null:
        case json_type_boolean:
        case json_type_double:
        case json_type_array:
                break;
        }

        return false;
}

static const Property *find_property(ValueObject object, const char *name) {
        for (const Property *p = objects[object].properties; p->name; p++)
                if (streq(p->name, name))
                        return p;

        return NULL;
}

/* @m: at a variant. */
static int read_property(sd_bus_message *m, const Property *p, json_object *value, json_object *changes) {
        _cleanup_(json_object_putp) json_object *new = NULL;
        const char *contents;
        int r;

        r = sd_bus_message_peek_type(m, NULL, &contents);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_VARIANT, contents);
        if (r < 0)
                return r;
        r = read_value(m, p->shape, &new);
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;

        if (p->nothing_is_null && value_is_nothing(new)) {
                (void) json_object_put(new);
                new = NULL;
        }
        if (json_object_equal(json_object_object_get(value, p->key), new))
                return 0;
        r = value_put_any(value, p->key, json_object_get(new));
        return r < 0 || !changes ? r : value_put_any(changes, p->key, json_object_get(new));
}

int value_update(sd_bus_message *m, ValueObject object, json_object *value, json_object *changes) {
        int r;

        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
                const Property *p;
                const char *name;

                r = sd_bus_message_read_basic(m, SD_BUS_TYPE_STRING, &name);
                if (r < 0)
                        return r;
                p = find_property(object, name);
                r = p ? read_property(m, p, value, changes) : sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* Looking */

const char *value_string(json_object *value, const char *key) {
        json_object *s = json_object_object_get(value, key);

        return json_object_is_type(s, json_type_string) ? json_object_get_string(s) : "";
}

bool value_bool(json_object *value, const char *key) {
        return json_object_get_boolean(json_object_object_get(value, key));
}

int64_t value_number(json_object *value, const char *key) {
        json_object *n = json_object_object_get(value, key);

        return json_object_is_type(n, json_type_int) ? json_object_get_int64(n) : -1;
}

size_t value_count(json_object *list) {
        return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* Writing */

static void write_element(Json *j, json_object *value) {
        char number[32];

        switch (json_object_get_type(value)) {
        case json_type_object:
                json_open(j, '{');
                json_object_object_foreach(value, key, member) {
                        json_key(j, key);
                        write_element(j, member);
                }
                json_close(j, '}');
                break;

        case json_type_array:
                json_open(j, '[');
                for (size_t i = 0; i < json_object_array_length(value); i++)
                        write_element(j, json_object_array_get_idx(value, i));
                json_close(j, ']');
                break;

        case json_type_string:
                json_string(j, json_object_get_string(value));
                break;

        case json_type_int:
                (void) snprintf(number, sizeof number, "%" PRId64, json_object_get_int64(value));
                json_word(j, number);
                break;

        case json_type_boolean:
                json_word(j, json_object_get_boolean(value) ? "true" : "false");
                break;

        case json_type_null:
        case json_type_double: /* there are none */
                json_word(j, "null");
                break;
        }
}

int value_write(json_object *value) {
        Json j = { .file = stdout };

        write_element(&j, value);
        fputc('\n', stdout);

        /* What fails is told at the end, by output_finish(). */
        return ferror(stdout) ? -EIO : 0;
}

int value_write_line(json_object *value) {
        const char *text = json_object_to_json_string_ext(
                        value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

        if (!text)
                return complain(-ENOMEM, "Not enough memory");
        return printf("%s\n", text) < 0 || fflush(stdout) != 0 ? -EIO : 0;
}

int value_append(json_object *array, json_object *member) {
        if (array && member && json_object_array_add(array, member) >= 0)
                return 0;

        (void) json_object_put(member);
        return -ENOMEM;
}

int value_put_any(json_object *object, const char *key, json_object *member) {
        if (object && json_object_object_add(object, key, member) >= 0)
                return 0;

        (void) json_object_put(member);
        return -ENOMEM;
}

int value_put(json_object *object, const char *key, json_object *member) {
        return member ? value_put_any(object, key, member) : -ENOMEM;
}

int value_put_string(json_object *object, const char *key, const char *s) {
        return value_put(object, key, json_object_new_string(s));
}

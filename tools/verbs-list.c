/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verbs that list something, in mdevctl's formats to the byte: libvirt and scripts parse them. */

#include "api/mdevd-names.h"
#include "tools/devices.h"
#include "tools/live.h"
#include "tools/offline.h"
#include "tools/rows.h"
#include "tools/text.h"
#include "tools/verbs.h"

/* list */

/* What is listed of a device: its definition, or what it is now. */
static Configuration listed_configuration(const Device *d, DevicesWhich which) {
        Configuration c = d->configuration;

        if (which == DEVICES_DEFINED)
                c.type = device_defined_type(d);
        return c;
}

/* Behind a line: that it is the other thing, too. */
static const char *remark(const Device *d, DevicesWhich which) {
        switch (which) {
        case DEVICES_ACTIVE:
                return d->defined ? " (defined)" : "";

        case DEVICES_DEFINED:
                return d->active && streq(device_defined_type(d), d->configuration.type) ? " (active)" : "";
        }

        return "";
}

static void write_device_line(const Device *d, DevicesWhich which, bool verbose) {
        const Configuration c = listed_configuration(d, which);
        const char *words[] = {
                d->uuid,
                " ",
                d->parent,
                " ",
                c.type,
                c.autostart ? " auto" : " manual",
                remark(d, which),
                "\n",
        };

        /* With thousands of lines printf(), and the lock that it takes, show. */
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                fputs_unlocked(words[i], stdout);
        if (!verbose || c.n_attributes == 0)
                return;

        printf("  Attrs:\n");
        for (size_t i = 0; i < c.n_attributes; i++)
                printf("    @{%zu}: {\"%s\":\"%s\"}\n", i, c.attributes[i].name, c.attributes[i].value);
}

static void write_devices_json(const Devices *devices, DevicesWhich which) {
        Json j = { .file = stdout };
        const char *parent = NULL;

        json_open(&j, '[');
        for (size_t i = 0; i < devices->n; i++) {
                const Device *d = &devices->list[i];
                const Configuration c = listed_configuration(d, which);

                if (!parent)
                        json_open(&j, '{');
                if (!streq_ptr(parent, d->parent)) {
                        if (parent)
                                json_close(&j, ']');
                        json_key(&j, d->parent);
                        json_open(&j, '[');
                        parent = d->parent;
                }
                json_open(&j, '{');
                json_key(&j, d->uuid);
                configuration_write(&c, &j);
                json_close(&j, '}');
        }
        if (parent) {
                json_close(&j, ']');
                json_close(&j, '}');
        }
        json_close(&j, ']');
}

/* The only device that was asked for: what can be used as a file to define it again. */
static void write_device_json(const Device *d, DevicesWhich which) {
        const Configuration c = listed_configuration(d, which);
        Json j = { .file = stdout };

        configuration_write(&c, &j);
}

/* A bad file is no reason not to list the others, but one to say so. */
static int warn_of_file(const Arguments *a, const char *path, const char *reason) {
        const char *uuid = arguments_get(a, OPTION_UUID), *parent = arguments_get(a, OPTION_PARENT);
        _cleanup_(freep) char *copy = strdup(path);
        char *name, *directory;

        if (!copy)
                return -ENOMEM;

        name = basename(copy);
        if (name > copy)
                name[-1] = '\0';
        directory = basename(copy);
        if ((parent && !streq(parent, directory)) || (uuid && !text_is_same_uuid(uuid, name)))
                return 0;

        fprintf(stderr, "Warning: %s is not a valid definition: %s\n", path, reason);
        return 0;
}

/* @answer: NULL: there is none */
static int warn_of_files(sd_bus_message *answer, const Arguments *a) {
        const char *path, *reason;
        int r;

        r = answer ? sd_bus_message_enter_container(answer, 'v', "a(ss)") : -ENODATA;
        if (r >= 0)
                r = sd_bus_message_enter_container(answer, 'a', "(ss)");
        while (r >= 0 && (r = sd_bus_message_read(answer, "(ss)", &path, &reason)) > 0)
                r = warn_of_file(a, path, reason);
        return r;
}

/* The same, if they were read here. */
static int warn_of_offline_files(const Arguments *a) {
        _cleanup_(json_object_putp) json_object *files = NULL;
        int r;

        r = offline_read_definitions(OFFLINE_ROOT(a), &files);
        for (size_t i = 0; i < value_count(files) && r >= 0; i++) {
                json_object *file = json_object_array_get_idx(files, i);
                const char *message = value_string(file, "message");

                if (!isempty(message))
                        r = warn_of_file(a, value_string(file, "path"), message);
        }
        return r;
}

int verb_list(const Arguments *a) {
        DevicesWhich which = arguments_have(a, OPTION_DEFINED) ? DEVICES_DEFINED : DEVICES_ACTIVE;
        _cleanup_(client_reader_done) ClientReader reader = {};
        _cleanup_(devices_question_done) DevicesQuestion question = {};
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *invalid = NULL;
        _cleanup_(devices_done) Devices devices = {};
        const char *uuid = arguments_get(a, OPTION_UUID), *parent = arguments_get(a, OPTION_PARENT);
        bool whole = arguments_have(a, OPTION_VERBOSE) || arguments_have(a, OPTION_DUMPJSON) ||
                        arguments_have(a, OPTION_JSON);
        int r = 0;

        if (!arguments_have(a, OPTION_ROOT))
                r = client_begin_reader(&reader, which == DEVICES_DEFINED ? "InvalidDefinitions" : NULL);
        if (r >= 0 && reader.bus)
                r = devices_begin(reader.bus, which, whole ? DEVICES_WHOLE : DEVICES_WITHOUT_ATTRIBUTES, uuid,
                                parent, &question);
        if (r >= 0 && !arguments_have(a, OPTION_ROOT))
                r = client_finish_reader(&reader, &invalid);
        if (r >= 0)
                r = reader.bus ? devices_finish(&question, &devices)
                               : offline_read_devices(OFFLINE_ROOT(a), which, uuid, parent, &devices);
        if (r < 0)
                return r;
        if (which == DEVICES_DEFINED &&
                        (reader.bus ? warn_of_files(invalid, a) : warn_of_offline_files(a)) < 0)
                fputs("Warning: there may be files that are not valid definitions\n", stderr);

        if (arguments_have(a, OPTION_JSON))
                return rows_write(&devices, which);
        /* What an active device was started with says nothing of what it has now. */
        if (which == DEVICES_ACTIVE &&
                        (arguments_have(a, OPTION_VERBOSE) || arguments_have(a, OPTION_DUMPJSON)))
                live_set_attributes(reader.bus, &devices);
        if (!arguments_have(a, OPTION_DUMPJSON))
                for (size_t i = 0; i < devices.n; i++)
                        write_device_line(&devices.list[i], which, arguments_have(a, OPTION_VERBOSE));
        else if (uuid && devices.n == 1)
                write_device_json(&devices.list[0], which);
        else
                write_devices_json(&devices, which);
        return 0;
}

/* types */

typedef struct Type {
        const char *parent, *name, *label, *device_api, *description;
        uint32_t available;
} Type;

/* All strings are borrowed from the answers. */
typedef struct Types {
        sd_bus_message *parents_answer, *types_answer;
        json_object *values; /* in their place, if nobody was asked */
        const char **parents;
        Type *types;
        size_t n_parents, n_parents_allocated, n_types, n_types_allocated;
} Types;

static void types_done(Types *t) {
        free(t->parents);
        free(t->types);
        (void) sd_bus_message_unref(t->parents_answer);
        (void) sd_bus_message_unref(t->types_answer);
        (void) json_object_put(t->values);
}

static int name_order(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int type_order(const void *a, const void *b) {
        const Type *left = a, *right = b;

        return strcmp(left->name, right->name);
}

/* Parents that are there, be it without types. @only: NULL: all */
static int read_parents(Types *t, const char *only) {
        const char *name;
        int r, present;

        r = sd_bus_message_enter_container(t->parents_answer, 'a', "(ssbs)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(t->parents_answer, "(ssbs)", &name, NULL, &present, NULL)) > 0) {
                if (!present || (only && !streq(only, name)))
                        continue;
                if (grow((void **) &t->parents, &t->n_parents_allocated, t->n_parents + 1, sizeof name) < 0)
                        return -ENOMEM;
                t->parents[t->n_parents++] = name;
        }
        if (t->n_parents > 0)
                qsort(t->parents, t->n_parents, sizeof *t->parents, name_order);
        return r;
}

static int take_type(Types *t, const Type *type) {
        if (grow((void **) &t->types, &t->n_types_allocated, t->n_types + 1, sizeof *type) < 0)
                return -ENOMEM;

        t->types[t->n_types++] = *type;
        return 0;
}

static int read_types(Types *t) {
        Type type;
        int r;

        r = sd_bus_message_enter_container(t->types_answer, 'a', "(sssssu)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(t->types_answer, "(sssssu)", &type.parent, &type.name, &type.label,
                                &type.device_api, &type.description, &type.available)) > 0) {
                if (take_type(t, &type) < 0)
                        return -ENOMEM;
        }
        if (t->n_types > 0)
                qsort(t->types, t->n_types, sizeof *t->types, type_order);
        return r;
}

static int take_parent(Types *t, json_object *parent) {
        json_object *list = json_object_object_get(parent, "types");
        const char *name = value_string(parent, "parent");

        if (grow((void **) &t->parents, &t->n_parents_allocated, t->n_parents + 1, sizeof name) < 0)
                return -ENOMEM;
        t->parents[t->n_parents++] = name;
        for (size_t i = 0; i < value_count(list); i++) {
                json_object *type = json_object_array_get_idx(list, i);
                const Type one = {
                        .parent = name,
                        .name = value_string(type, "type"),
                        .label = value_string(type, "name"),
                        .device_api = value_string(type, "device_api"),
                        .description = value_string(type, "description"),
                        .available = (uint32_t) value_number(type, "available_instances"),
                };

                if (take_type(t, &one) < 0)
                        return -ENOMEM;
        }

        return 0;
}

/* What sysfs says, without a daemon. */
static int read_offline(const Arguments *a, Types *t) {
        int r;

        r = offline_read_parents(OFFLINE_ROOT(a), arguments_get(a, OPTION_PARENT), &t->values);
        if (r < 0)
                return r;
        for (size_t i = 0; i < value_count(t->values); i++)
                if (take_parent(t, json_object_array_get_idx(t->values, i)) < 0)
                        return complain(-ENOMEM, "Not enough memory");
        if (t->n_parents > 0)
                qsort(t->parents, t->n_parents, sizeof *t->parents, name_order);
        return 0;
}

/* A parent that is not there has no types, which is not an error, and so need not be asked for them. */
static int ask_for_types(sd_bus *bus, const char *parent, Types *t) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *parents_call = NULL, *types_call = NULL;
        int r;

        r = client_new_question(bus, "ListParents", &parents_call);
        r = client_call(bus, parents_call, r, &t->parents_answer);
        if (r < 0)
                return r;
        r = read_parents(t, parent);
        if (r < 0)
                return client_bad_answer(r);
        if (t->n_parents == 0)
                return 0;

        r = client_new_question(bus, "ListTypes", &types_call);
        if (r >= 0)
                r = sd_bus_message_append(types_call, "s", strempty(parent));
        r = client_call(bus, types_call, r, &t->types_answer);
        if (r < 0)
                return r;
        r = read_types(t);
        return r < 0 ? client_bad_answer(r) : 0;
}

/* A description has lines, but is shown on one. */
static char *join_lines(const char *text) {
        char *line = malloc(2 * strlen(text) + 1), *p = line;

        for (; line && *text; text++)
                if (*text == '\n')
                        p = stpcpy(p, ", ");
                else
                        *p++ = *text;
        if (line)
                *p = '\0';
        return line;
}

static void write_type_text(const Type *t, const char *description) {
        printf("  %s\n    Available instances: %u\n    Device API: %s\n", t->name, t->available,
                        t->device_api);
        if (!isempty(t->label))
                printf("    Name: %s\n", t->label);
        if (!isempty(description))
                printf("    Description: %s\n", description);
}

static void write_type_json(Json *j, const Type *t, const char *description) {
        json_open(j, '{');
        json_key(j, t->name);
        json_open(j, '{');
        json_key(j, "available_instances");
        json_number(j, t->available);
        json_pair(j, "device_api", t->device_api);
        if (!isempty(t->label))
                json_pair(j, "name", t->label);
        if (!isempty(description))
                json_pair(j, "description", description);
        json_close(j, '}');
        json_close(j, '}');
}

/* @j: NULL: as text */
static int write_types_of(const Types *types, const char *parent, Json *j) {
        for (size_t i = 0; i < types->n_types; i++) {
                const Type *t = &types->types[i];
                _cleanup_(freep) char *description = NULL;

                if (!streq(t->parent, parent))
                        continue;
                description = join_lines(t->description);
                if (!description)
                        return complain(-ENOMEM, "Not enough memory");
                if (j)
                        write_type_json(j, t, description);
                else
                        write_type_text(t, description);
        }

        return 0;
}

static int write_types_text(const Types *types) {
        int r = 0;

        for (size_t i = 0; i < types->n_parents && r >= 0; i++) {
                printf("%s\n", types->parents[i]);
                r = write_types_of(types, types->parents[i], NULL);
        }

        return r;
}

static int write_types_json(const Types *types) {
        Json j = { .file = stdout };
        int r = 0;

        json_open(&j, '[');
        if (types->n_parents > 0)
                json_open(&j, '{');
        for (size_t i = 0; i < types->n_parents && r >= 0; i++) {
                json_key(&j, types->parents[i]);
                json_open(&j, '[');
                r = write_types_of(types, types->parents[i], &j);
                json_close(&j, ']');
        }
        if (types->n_parents > 0)
                json_close(&j, '}');
        json_close(&j, ']');
        return r;
}

static int write_rows(const Types *types) {
        _cleanup_(json_object_putp) json_object *rows = json_object_new_array();

        for (size_t i = 0; i < types->n_parents; i++)
                for (size_t k = 0; k < types->n_types; k++) {
                        const Type *t = &types->types[k];
                        json_object *row;

                        if (!streq(t->parent, types->parents[i]))
                                continue;
                        row = json_object_new_object();
                        if (value_append(rows, row) < 0 || value_put_string(row, "parent", t->parent) < 0 ||
                                        value_put_string(row, "type", t->name) < 0 ||
                                        value_put_string(row, "name", t->label) < 0 ||
                                        value_put_string(row, "device_api", t->device_api) < 0 ||
                                        value_put_string(row, "description", t->description) < 0 ||
                                        value_put(row, "available_instances",
                                                        json_object_new_int64(t->available)) < 0)
                                return complain(-ENOMEM, "Not enough memory");
                }

        return rows ? value_write(rows) : complain(-ENOMEM, "Not enough memory");
}

int verb_types(const Arguments *a) {
        _cleanup_(client_reader_done) ClientReader reader = {};
        _cleanup_(types_done) Types types = {};
        int r;

        r = arguments_have(a, OPTION_ROOT) ? 0 : client_open_reader(&reader);
        if (r < 0)
                return r;
        r = reader.bus ? ask_for_types(reader.bus, arguments_get(a, OPTION_PARENT), &types)
                       : read_offline(a, &types);
        if (r < 0)
                return r;

        if (arguments_have(a, OPTION_JSON))
                return write_rows(&types);
        return arguments_have(a, OPTION_DUMPJSON) ? write_types_json(&types) : write_types_text(&types);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* list: devices, in mdevctl's formats to the byte: libvirt and scripts parse them. */

#include "model/uuid.h"
#include "tools/devices.h"
#include "tools/live.h"
#include "tools/offline.h"
#include "tools/rows.h"
#include "tools/verbs.h"

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

static bool is_same_uuid(const char *a, const char *b) {
        Uuid left, right;

        return uuid_from_text(a, &left) >= 0 && uuid_from_text(b, &right) >= 0 && uuid_equal(&left, &right);
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
        if ((parent && !streq(parent, directory)) || (uuid && !is_same_uuid(uuid, name)))
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

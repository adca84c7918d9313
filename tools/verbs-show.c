/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* show: everything about a device, what the daemon knows and what can be seen beside it. */

#include "tools/identity.h"
#include "tools/journal.h"
#include "tools/offline.h"
#include "tools/picture.h"
#include "tools/sentence.h"
#include "tools/terminal.h"
#include "tools/usage.h"
#include "tools/verbs.h"

#define JOURNAL_LINES 10
#define LABEL_WIDTH 12

/* What is not the daemon's to tell, and of this host only. */
static int add_surroundings(json_object *device, const char *root) {
        const char *uuid = value_string(device, "uuid");
        json_object *holder = NULL;

        if (!client_is_elsewhere() && usage_find(root, uuid, &holder) < 0)
                return -ENOMEM;
        if (value_put_any(device, "holder", holder) < 0)
                return -ENOMEM;
        return value_put(device, "journal",
                        client_is_elsewhere() ? json_object_new_array() : journal_read(uuid, JOURNAL_LINES));
}

static void write_label(const char *label) {
        printf("%*s: ", LABEL_WIDTH, label);
}

static void write_line(const char *label, const char *text, Colour colour) {
        if (isempty(text))
                return;

        write_label(label);
        terminal_write(text, colour, 0, SIZE_MAX);
        fputc('\n', stdout);
}

static void write_state(json_object *device) {
        const char *state = value_string(device, "state");

        write_label("State");
        terminal_write(state, terminal_state_colour(state), 0, SIZE_MAX);
        if (!streq(state, "defined") && streq(value_string(device, "origin"), "external"))
                fputs(", not created by this mdevd", stdout);
        fputc('\n', stdout);
}

static void write_definitions(json_object *device) {
        json_object *definitions = json_object_object_get(device, "definitions");

        for (size_t i = 0; i < value_count(definitions); i++) {
                json_object *d = json_object_array_get_idx(definitions, i),
                            *attributes = json_object_object_get(d, "attributes");

                write_label("Definition");
                fputs("/etc/mdevctl.d/", stdout);
                terminal_write(value_string(d, "parent"), COLOUR_NONE, 0, SIZE_MAX);
                printf("/%s: ", value_string(device, "uuid"));
                terminal_write(value_string(d, "type"), COLOUR_NONE, 0, SIZE_MAX);
                printf(", %s\n", value_bool(d, "autostart") ? "auto" : "manual");
                for (size_t k = 0; k < value_count(attributes); k++) {
                        json_object *attribute = json_object_array_get_idx(attributes, k);

                        printf("%*s", LABEL_WIDTH + 4, "");
                        terminal_write(value_string(attribute, "name"), COLOUR_NONE, 0, SIZE_MAX);
                        fputs(" = ", stdout);
                        terminal_write(value_string(attribute, "value"), COLOUR_NONE, 0, SIZE_MAX);
                        fputc('\n', stdout);
                }
        }
}

static void write_holder(json_object *device) {
        json_object *holder = json_object_object_get(device, "holder");

        if (!holder)
                return;
        write_label("In use by");
        terminal_write(value_string(holder, "command"), COLOUR_NONE, 0, SIZE_MAX);
        printf(" (process %lld)\n", (long long) value_number(holder, "pid"));
}

static void write_journal(json_object *device) {
        json_object *journal = json_object_object_get(device, "journal");

        for (size_t i = 0; i < value_count(journal); i++) {
                json_object *entry = json_object_array_get_idx(journal, i);

                if (i == 0)
                        fputc('\n', stdout);
                terminal_write(value_string(entry, "time"), COLOUR_FAINT, 0, SIZE_MAX);
                fputs("  ", stdout);
                terminal_write(value_string(entry, "message"),
                                value_number(entry, "priority") <= 4 ? COLOUR_BAD : COLOUR_NONE, 0, SIZE_MAX);
                fputc('\n', stdout);
        }
}

static int write_device(json_object *device) {
        _cleanup_(freep) char *trouble = NULL;
        char group[32] = "";

        if (sentence_trouble(device, &trouble) < 0)
                return complain(-ENOMEM, "Not enough memory");
        if (value_number(device, "iommu_group") >= 0)
                (void) snprintf(group, sizeof group, "%lld", (long long) value_number(device, "iommu_group"));

        printf("%s\n", value_string(device, "uuid"));
        write_state(device);
        write_line("Parent", value_string(device, "parent"), COLOUR_NONE);
        write_line("Type", value_string(device, "type"), COLOUR_NONE);
        write_line("Start", sentence_start(device), COLOUR_NONE);
        write_definitions(device);
        write_line("Sysfs", value_string(device, "sysfs_path"), COLOUR_NONE);
        write_line("IOMMU group", group, COLOUR_NONE);
        write_line("Node", value_string(device, "device_node"), COLOUR_NONE);
        write_holder(device);
        write_line("Trouble", trouble, COLOUR_BAD);
        write_journal(device);
        return 0;
}

/* All or none: what is asked for is looked up before anything is written. */
static int find_devices(const Arguments *a, const Picture *p, json_object *list) {
        for (size_t i = 0; i < arguments_n_uuids(a); i++) {
                const char *uuid = IDENTITY(arguments_nth_uuid(a, i));
                json_object *device = picture_find_device(p, uuid);

                if (!device)
                        return complain(-ENODEV, "There is no device %s, neither defined nor active", uuid);
                if (value_append(list, json_object_get(device)) < 0 ||
                                add_surroundings(device, OFFLINE_ROOT(a)) < 0)
                        return complain(-ENOMEM, "Not enough memory");
        }

        return 0;
}

int verb_show(const Arguments *a) {
        _cleanup_(json_object_putp) json_object *list = json_object_new_array();
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(picture_done) Picture p = {};
        int r;

        r = client_open(&bus);
        if (r >= 0)
                r = picture_read(bus, &p);
        if (r >= 0 && !list)
                r = complain(-ENOMEM, "Not enough memory");
        if (r >= 0)
                r = find_devices(a, &p, list);
        if (r < 0)
                return r;

        if (arguments_have(a, OPTION_JSON))
                return value_write(list);
        for (size_t i = 0; i < value_count(list) && r >= 0; i++) {
                if (i > 0)
                        fputc('\n', stdout);
                r = write_device(json_object_array_get_idx(list, i));
        }
        return r;
}

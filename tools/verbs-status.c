/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* status: the daemon, what can be had, what there is, and what waits or went wrong and why. */

#include <time.h>

#include "tools/picture.h"
#include "tools/sentence.h"
#include "tools/table.h"
#include "tools/verbs.h"

#define BAR_CELLS 10

static int write_json(const Picture *p) {
        _cleanup_(json_object_putp) json_object *status = json_object_new_object();

        if (!status || value_put(status, "daemon", json_object_get(p->daemon)) < 0 ||
                        value_put(status, "parents", picture_to_array(p->parents)) < 0 ||
                        value_put(status, "devices", picture_to_array(p->devices)) < 0)
                return complain(-ENOMEM, "Not enough memory");
        return value_write(status);
}

static void write_daemon(const Picture *p) {
        bool settled = value_bool(p->daemon, "settled");

        printf("mdevd %s: running, ", value_string(p->daemon, "version"));
        terminal_write(settled ? "settled" : "not settled yet", settled ? COLOUR_GOOD : COLOUR_BUSY, 0,
                        SIZE_MAX);
        printf("\n%d devices, %d active; %d operations under way\n",
                        (int) value_number(p->daemon, "devices_total"),
                        (int) value_number(p->daemon, "devices_active"),
                        (int) value_number(p->daemon, "operations"));
}

/* A person wants the magnitude. */
static void write_age(int64_t since_usec) {
        int64_t age = (int64_t) time(NULL) - since_usec / 1000 / 1000;

        age = MAX(age, INT64_C(0));
        if (age < 120)
                printf(" (for %d s)", (int) age);
        else if (age < 2 * 3600)
                printf(" (for %d min)", (int) (age / 60));
        else
                printf(" (for %lld h)", (long long) (age / 3600));
}

static void write_troubles(const Picture *p) {
        json_object *list = json_object_object_get(p->daemon, "troubles");

        for (size_t i = 0; i < value_count(list); i++) {
                json_object *trouble = json_object_array_get_idx(list, i);

                if (i == 0)
                        printf("\nStuck:\n");
                fputs("  ", stdout);
                terminal_write(value_string(trouble, "message"), COLOUR_BAD, 0, SIZE_MAX);
                write_age(value_number(trouble, "since_usec"));
                fputc('\n', stdout);
        }
}

/* Parents */

static int64_t count_living(const Picture *p, const char *parent, const char *type) {
        int64_t n = 0;

        json_object_object_foreach(p->devices, path, device) {
                (void) path;
                n += streq(value_string(device, "parent"), parent) &&
                                streq(value_string(device, "type"), type) &&
                                !streq(value_string(device, "state"), "defined");
        }
        return n;
}

/* What is left may be less than a type's own share, because types share: so this is used against left. */
static void add_bar(Table *t, int64_t used, int64_t left) {
        bool draws = terminal_can_draw();
        char bar[BAR_CELLS * 3 + 3] = "", *p = bar;
        int64_t sum = used + left, full = sum > 0 ? (used * BAR_CELLS + sum / 2) / sum : BAR_CELLS;

        /* Neither empty nor full before it is. */
        if (used > 0 && full == 0)
                full = 1;
        if (left > 0 && full == BAR_CELLS)
                full--;
        if (!draws)
                p = stpcpy(p, "[");
        for (int i = 0; i < BAR_CELLS; i++)
                p = stpcpy(p, i < full ? draws ? "█" : "#" : draws ? "░" : ".");
        if (!draws)
                (void) stpcpy(p, "]");
        table_add(t, bar, left == 0 ? COLOUR_BAD : COLOUR_GOOD);
}

static void add_type(Table *t, const Picture *p, const char *parent, json_object *type) {
        const char *name = value_string(type, "type");
        int64_t left = value_number(type, "available_instances"), used = count_living(p, parent, name);

        table_add(t, name, COLOUR_NONE);
        table_addf(t, COLOUR_NONE, "%lld", (long long) used);
        table_addf(t, left == 0 ? COLOUR_BAD : COLOUR_NONE, "%lld", (long long) left);
        add_bar(t, used, left);
}

static void add_parent(Table *t, const Picture *p, json_object *parent) {
        json_object *types = json_object_object_get(parent, "types");
        const char *name = value_string(parent, "parent"), *driver = value_string(parent, "driver");
        size_t n = value_count(types);

        for (size_t i = 0; i < MAX(n, (size_t) 1); i++) {
                table_add(t, i == 0 ? name : "", COLOUR_NONE);
                if (!value_bool(parent, "present"))
                        table_add(t, "absent", COLOUR_BUSY);
                else
                        table_add(t, i > 0 ? "" : isempty(driver) ? "-" : driver, COLOUR_NONE);
                if (n > 0)
                        add_type(t, p, name, json_object_array_get_idx(types, i));
                else
                        for (int c = 0; c < 4; c++)
                                table_add(t, "-", COLOUR_FAINT);
        }
}

static int write_parents(const Picture *p) {
        static const char *const headers[] = { "PARENT", "DRIVER", "TYPE", "USED", "LEFT", "CAPACITY", NULL };
        _cleanup_(table_done) Table t = { .headers = headers };
        _cleanup_(freep) json_object **parents = NULL;
        size_t n;
        int r;

        r = picture_sort(p->parents, &parents, &n);
        if (r < 0 || n == 0)
                return r;
        for (size_t i = 0; i < n; i++)
                add_parent(&t, p, parents[i]);
        fputc('\n', stdout);
        return table_write(&t);
}

/* Devices */

static int write_devices(json_object *const *devices, size_t n) {
        static const char *const headers[] = { "UUID", "PARENT", "TYPE", "STATE", "START", NULL };
        _cleanup_(table_done) Table t = { .headers = headers };

        if (n == 0)
                return 0;
        for (size_t i = 0; i < n; i++) {
                const char *state = value_string(devices[i], "state");

                table_add(&t, value_string(devices[i], "uuid"), COLOUR_NONE);
                table_add(&t, value_string(devices[i], "parent"), COLOUR_NONE);
                table_add(&t, value_string(devices[i], "type"), COLOUR_NONE);
                table_add(&t, state, terminal_state_colour(state));
                table_add(&t, sentence_start(devices[i]), COLOUR_NONE);
        }
        fputc('\n', stdout);
        return table_write(&t);
}

static int write_waiting(json_object *const *devices, size_t n) {
        bool begun = false;

        for (size_t i = 0; i < n; i++) {
                _cleanup_(freep) char *why = NULL;

                if (sentence_trouble(devices[i], &why) < 0)
                        return complain(-ENOMEM, "Not enough memory");
                if (!why)
                        continue;
                if (!begun)
                        printf("\nWaiting or failed:\n");
                begun = true;
                printf("  %s  ", value_string(devices[i], "uuid"));
                terminal_write(why, COLOUR_BUSY, 0, SIZE_MAX);
                fputc('\n', stdout);
        }

        return 0;
}

static void write_invalid(const Picture *p) {
        json_object *list = json_object_object_get(p->daemon, "invalid_definitions");

        for (size_t i = 0; i < value_count(list); i++) {
                json_object *file = json_object_array_get_idx(list, i);

                if (i == 0)
                        printf("\nNot valid definitions (\"verify\" says more):\n");
                fputs("  ", stdout);
                terminal_write(value_string(file, "path"), COLOUR_NONE, 0, SIZE_MAX);
                fputs(": ", stdout);
                terminal_write(value_string(file, "reason"), COLOUR_BAD, 0, SIZE_MAX);
                fputc('\n', stdout);
        }
}

int verb_status(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(picture_done) Picture p = {};
        _cleanup_(freep) json_object **devices = NULL;
        size_t n;
        int r;

        r = client_open(&bus);
        if (r < 0)
                return r;
        picture_refresh_types(bus, "");
        r = picture_read(bus, &p);
        if (r < 0)
                return r;
        if (arguments_have(a, OPTION_JSON))
                return write_json(&p);

        write_daemon(&p);
        write_troubles(&p);
        r = write_parents(&p);
        if (r >= 0)
                r = picture_sort(p.devices, &devices, &n);
        if (r >= 0)
                r = write_devices(devices, n);
        if (r >= 0)
                r = write_waiting(devices, n);
        if (r >= 0)
                write_invalid(&p);
        return r;
}

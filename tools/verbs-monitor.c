/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* monitor: every change, as it happens, on a line that is written out at once. */

#include <time.h>

#include "tools/picture.h"
#include "tools/terminal.h"
#include "tools/verbs.h"

#define TIME_SIZE 64

static const char *const events[_CHANGE_MAX] = {
        [CHANGE_PICTURE] = "picture",
        [CHANGE_ADDED] = "added",
        [CHANGE_CHANGED] = "changed",
        [CHANGE_REMOVED] = "removed",
        [CHANGE_LOST] = "lost",
};

static void now_to_text(bool whole, char text[static TIME_SIZE]) {
        time_t now = time(NULL);
        struct tm tm;

        text[0] = '\0';
        if (localtime_r(&now, &tm))
                (void) (whole ? strftime(text, TIME_SIZE, "%Y-%m-%dT%H:%M:%S%z", &tm)
                              : strftime(text, TIME_SIZE, "%H:%M:%S", &tm));
}

/* As JSON */

static int put_picture(json_object *line, const Picture *p) {
        if (value_put(line, "daemon", json_object_get(p->daemon)) < 0 ||
                        value_put(line, "parents", picture_to_array(p->parents)) < 0)
                return -ENOMEM;
        return value_put(line, "devices", picture_to_array(p->devices));
}

static int put_change(json_object *line, const Change *c) {
        const char *key = c->object == VALUE_DEVICE ? "uuid" : c->object == VALUE_PARENT ? "parent" : NULL;

        if (value_put_string(line, "object", value_object_name(c->object)) < 0)
                return -ENOMEM;
        if (key && value_put_string(line, key, value_string(c->value, key)) < 0)
                return -ENOMEM;
        if (c->kind == CHANGE_CHANGED)
                return value_put(line, "changes", json_object_get(c->changes));
        return value_put(line, "value", json_object_get(c->value));
}

static int write_json(const Picture *p, const Change *c) {
        _cleanup_(json_object_putp) json_object *line = json_object_new_object();
        char when[TIME_SIZE];
        int r;

        now_to_text(true, when);
        if (!line || value_put_string(line, "event", events[c->kind]) < 0 ||
                        value_put_string(line, "time", when) < 0)
                return complain(-ENOMEM, "Not enough memory");

        r = c->kind == CHANGE_PICTURE            ? put_picture(line, p)
                        : c->kind == CHANGE_LOST ? 0
                                                 : put_change(line, c);
        return r < 0 ? complain(r, "Not enough memory") : value_write_line(line);
}

/* As text: a line for each thing that is another now. */

static void begin_line(const Change *c) {
        char when[TIME_SIZE];

        now_to_text(false, when);
        terminal_write(when, COLOUR_FAINT, 0, SIZE_MAX);
        printf(" %s ", value_object_name(c->object));
        if (c->object != VALUE_MANAGER)
                printf("%s ", value_string(c->value, c->object == VALUE_DEVICE ? "uuid" : "parent"));
}

static void write_state(const Change *c) {
        const char *state = value_string(c->value, "state");

        if (c->kind == CHANGE_CHANGED)
                printf("%s → ", value_string(c->before, "state"));
        terminal_write(state, terminal_state_colour(state), 0, SIZE_MAX);
        printf(", parent %s, type %s\n", value_string(c->value, "parent"), value_string(c->value, "type"));
}

static int64_t left_of(json_object *types, const char *name) {
        for (size_t i = 0; i < value_count(types); i++) {
                json_object *type = json_object_array_get_idx(types, i);

                if (streq(value_string(type, "type"), name))
                        return value_number(type, "available_instances");
        }

        return -1;
}

static void write_capacity(const Change *c) {
        json_object *types = json_object_object_get(c->value, "types"),
                    *before = json_object_object_get(c->before, "types");

        for (size_t i = 0; i < value_count(types); i++) {
                json_object *type = json_object_array_get_idx(types, i);
                const char *name = value_string(type, "type");
                int64_t left = value_number(type, "available_instances"), was = left_of(before, name);

                if (left == was)
                        continue;
                begin_line(c);
                printf("%s: %lld left", name, (long long) left);
                if (was >= 0)
                        printf(", were %lld", (long long) was);
                fputc('\n', stdout);
        }
}

/* A value with a message is told by that, which is a sentence. */
static void write_value(const Change *c, const char *key, json_object *value) {
        json_object *message = json_object_object_get(value, "message");
        const char *text = "none";

        begin_line(c);
        printf("%s: ", key);
        if (!message && value)
                text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_NOSLASHESCAPE)
                                ?: "(not enough memory)";
        terminal_write(message ? json_object_get_string(message) : text, message ? COLOUR_BAD : COLOUR_NONE,
                        0, SIZE_MAX);
        fputc('\n', stdout);
}

static void write_definitions(const Change *c, json_object *definitions) {
        begin_line(c);
        if (value_count(definitions) == 0)
                fputs("is not defined any more", stdout);
        for (size_t i = 0; i < value_count(definitions); i++) {
                json_object *d = json_object_array_get_idx(definitions, i);

                printf("%s %s, type %s, %s, %zu attributes", i == 0 ? "is defined on parent" : "; on",
                                value_string(d, "parent"), value_string(d, "type"),
                                value_bool(d, "autostart") ? "auto" : "manual",
                                value_count(json_object_object_get(d, "attributes")));
        }
        fputc('\n', stdout);
}

static void write_changes(const Change *c) {
        /* What follows from another change, or is said by it. */
        static const char *const implied[] = { "state", "active", "parent", "type", "types", "sysfs_path",
                "iommu_group", "device_node", "origin", "defined", "autostart", "attributes", "devices_total",
                "devices_active", "operations" };

        if (json_object_object_get(c->changes, "state")) {
                begin_line(c);
                write_state(c);
        }
        if (c->object == VALUE_PARENT)
                write_capacity(c);
        json_object_object_foreach(c->changes, key, value) {
                bool is_implied = false;

                for (size_t i = 0; i < ELEMENTSOF(implied); i++)
                        is_implied |= streq(key, implied[i]);
                if (streq(key, "definitions"))
                        write_definitions(c, value);
                else if (!is_implied)
                        write_value(c, key, value);
        }
}

static int write_text(const Change *c) {
        switch (c->kind) {
        case CHANGE_PICTURE:
                begin_line(c);
                fputs("is running\n", stdout);
                break;

        case CHANGE_LOST:
                begin_line(c);
                fputs("is gone\n", stdout);
                break;

        case CHANGE_ADDED:
                begin_line(c);
                fputs("added", stdout);
                if (c->object == VALUE_DEVICE) {
                        fputs(": ", stdout);
                        write_state(c);
                } else
                        fputc('\n', stdout);
                break;

        case CHANGE_REMOVED:
                begin_line(c);
                fputs("removed\n", stdout);
                break;

        case CHANGE_CHANGED:
                write_changes(c);
                break;

        case CHANGE_AGAIN:
        case _CHANGE_MAX:
                break;
        }

        return fflush(stdout) == 0 ? 0 : -EIO;
}

static int on_change(const Picture *p, const Change *c, void *userdata) {
        const Arguments *a = userdata;

        return arguments_have(a, OPTION_JSON) ? write_json(p, c) : write_text(c);
}

int verb_monitor(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = client_open(&bus);
        return r < 0 ? r : picture_follow(bus, UINT64_MAX, STDOUT_FILENO, on_change, (void *) a);
}

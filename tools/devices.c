/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <json-c/json.h>

#include <search.h>

#include "tools/asking.h"

void devices_done(Devices *devices) {
        for (size_t i = 0; i < devices->n; i++) {
                configuration_done(&devices->list[i].configuration);
                free(devices->list[i].defined_type);
        }
        free(devices->list);
        for (size_t i = 0; i < devices->n_answers; i++)
                (void) sd_bus_message_unref(devices->answers[i]);
        free(devices->answers);
        (void) json_object_put(devices->values);
        *devices = (Devices){};
}

/* Reading a row */

int devices_read_attributes(sd_bus_message *m, Configuration *c) {
        const char *name, *value;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(ss)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_at_end(m, false)) == 0) {
                r = sd_bus_message_read(m, "(ss)", &name, &value);
                if (r >= 0)
                        r = configuration_add_attribute(c, name, value);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int devices_keep(Devices *devices, sd_bus_message *answer) {
        if (grow((void **) &devices->answers, &devices->n_answers_allocated, devices->n_answers + 1,
                            sizeof *devices->answers) < 0)
                return -ENOMEM;

        devices->answers[devices->n_answers++] = answer;
        return 0;
}

/* Order */

static int device_order(const void *a, const void *b) {
        const Device *left = a, *right = b;
        int order = strcmp(left->parent, right->parent);

        return order != 0 ? order : strcmp(left->uuid, right->uuid);
}

static bool are_in_order(const Devices *devices) {
        for (size_t i = 1; i < devices->n; i++)
                if (device_order(&devices->list[i - 1], &devices->list[i]) > 0)
                        return false;

        return true;
}

/* A parent, and where the next device on it goes. */
typedef struct Group {
        const char *parent;
        size_t n, place;
} Group;

static int group_order(const void *a, const void *b) {
        return strcmp(((const Group *) a)->parent, ((const Group *) b)->parent);
}

/* Counts a device. Return: 0; -ENOMEM. */
static int count_device(void **groups, const char *parent) {
        const Group key = { .parent = parent };
        void *node = tfind(&key, groups, group_order);
        Group *g = node ? *(Group **) node : calloc(1, sizeof *g);

        if (!g)
                return -ENOMEM;
        if (!node) {
                g->parent = parent;
                if (!tsearch(g, groups, group_order)) {
                        free(g);
                        return -ENOMEM;
                }
        }
        g->n++;
        return 0;
}

static void place_group(const void *node, VISIT visit, void *userdata) {
        Group *g = *(Group *const *) node;
        size_t *place = userdata;

        if (visit == postorder || visit == leaf) {
                g->place = *place;
                *place += g->n;
        }
}

/* Puts those of each parent together, in the order that they had. Return: 0; -ENOMEM, then nothing changed.
 */
static int group_by_parent(Devices *devices) {
        Device *list = calloc(devices->n, sizeof *list);
        void *groups = NULL;
        size_t place = 0;
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; i < devices->n && r >= 0; i++)
                r = count_device(&groups, devices->list[i].parent);
        if (r >= 0) {
                twalk_r(groups, place_group, &place);
                for (size_t i = 0; i < devices->n; i++) {
                        const Group key = { .parent = devices->list[i].parent };
                        Group *g = *(Group **) tfind(&key, &groups, group_order);

                        list[g->place++] = devices->list[i];
                }
                free(devices->list);
                devices->list = TAKE_PTR(list);
                devices->n_allocated = devices->n;
        }

        tdestroy(groups, free);
        free(list);
        return r;
}

/* The daemon tells them in the order of the UUIDs, so that with many there is little left to compare. */
void devices_sort(Devices *devices) {
        if (are_in_order(devices))
                return;
        if (group_by_parent(devices) < 0 || !are_in_order(devices))
                qsort(devices->list, devices->n, sizeof *devices->list, device_order);
}

/* The row of a definition has its type; that of the device itself, if it differs, is in another row. */
static int set_live_type(Device *definition, const Device *live) {
        if (streq(definition->configuration.type, live->configuration.type))
                return 0;
        if (free_and_strdup(&definition->defined_type, definition->configuration.type) < 0)
                return complain(-ENOMEM, "Not enough memory");

        definition->configuration.type = live->configuration.type;
        return 0;
}

/* Behind the first @n there are rows of active devices: they are used and dropped. */
static int take_live_types(Devices *devices, size_t n) {
        int r = 0;

        while (devices->n > n) {
                Device *live = &devices->list[--devices->n];
                Device *definition = bsearch(live, devices->list, n, sizeof *live, device_order);

                if (definition && r >= 0)
                        r = set_live_type(definition, live);
                configuration_done(&live->configuration);
        }

        return r;
}

/* Asking */

void devices_question_done(DevicesQuestion *q) {
        q->first = asking_free(q->first);
        q->second = asking_free(q->second);
}

int devices_begin(sd_bus *bus, DevicesWhich which, DevicesHow how, const char *uuid, const char *parent,
                DevicesQuestion *q) {
        const AskingFilter filter = {
                .uuid = uuid,
                .parent = parent,
                .active = which == DEVICES_ACTIVE,
                .defined = which == DEVICES_DEFINED,
                .how = how,
        };

        q->bus = bus;
        q->which = which;
        q->how = how;
        q->uuid = uuid;
        q->parent = parent;
        return asking_begin(bus, &filter, &q->first);
}

static int ask_also(DevicesQuestion *q, const AskingFilter *filter, Devices *devices) {
        int r;

        q->second = asking_free(q->second);
        r = asking_begin(q->bus, filter, &q->second);
        return r < 0 ? r : asking_finish(q->second, devices);
}

/* To the daemon these are not active. They are asked for when it has told the active ones, so that one that
 * becomes orphaned meanwhile is not in neither answer. */
static int ask_for_orphaned(DevicesQuestion *q, DevicesHow how, Devices *devices) {
        const AskingFilter orphaned = {
                .uuid = q->uuid, .parent = q->parent, .state = "orphaned", .how = how
        };

        return ask_also(q, &orphaned, devices);
}

/* Of the definitions of active devices, the types of these are asked for. */
static int ask_for_live_types(DevicesQuestion *q, Devices *devices) {
        const AskingFilter active = {
                .uuid = q->uuid, .parent = q->parent, .active = true, .how = DEVICES_WITHOUT_ATTRIBUTES
        };
        size_t n = devices->n;
        bool any_active = false, any_orphaned = false;
        int r = 0;

        for (size_t i = 0; i < n; i++) {
                bool is_orphaned = streq(devices->list[i].state, "orphaned");

                any_orphaned |= is_orphaned;
                any_active |= devices->list[i].active && !is_orphaned;
        }

        if (any_active)
                r = ask_also(q, &active, devices);
        if (r >= 0 && any_orphaned)
                r = ask_for_orphaned(q, DEVICES_WITHOUT_ATTRIBUTES, devices);
        return r < 0 ? r : take_live_types(devices, n);
}

int devices_finish(DevicesQuestion *q, Devices *ret) {
        _cleanup_(devices_done) Devices devices = {};
        int r;

        r = asking_finish(q->first, &devices);
        if (r >= 0 && q->which == DEVICES_ACTIVE)
                r = ask_for_orphaned(q, q->how, &devices);
        if (r >= 0)
                devices_sort(&devices);
        if (r >= 0 && q->which == DEVICES_DEFINED)
                r = ask_for_live_types(q, &devices);
        if (r < 0)
                return r;

        *ret = devices;
        devices = (Devices){};
        return 0;
}

int devices_read(sd_bus *bus, DevicesWhich which, DevicesHow how, const char *uuid, const char *parent,
                Devices *ret) {
        _cleanup_(devices_question_done) DevicesQuestion q = {};
        int r;

        r = devices_begin(bus, which, how, uuid, parent, &q);
        return r < 0 ? r : devices_finish(&q, ret);
}

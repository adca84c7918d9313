/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <json-c/json.h>

#include "api/mdevd-names.h"
#include "tools/devices.h"

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
        while ((r = sd_bus_message_read(m, "(ss)", &name, &value)) > 0) {
                r = configuration_add_attribute(c, name, value);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_device(sd_bus_message *m, Device *d) {
        int r, active, defined, autostart;

        r = sd_bus_message_read(m, "ssssbbb", &d->uuid, &d->state, &d->parent, &d->configuration.type,
                        &active, &defined, &autostart);
        if (r < 0)
                return r;
        d->active = active || streq(d->state, "orphaned");
        d->defined = defined;
        d->configuration.autostart = autostart;

        r = devices_read_attributes(m, &d->configuration);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_devices(sd_bus_message *m, Devices *devices) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(ssssbbba(ss))");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'r', "ssssbbba(ss)")) > 0) {
                if (grow((void **) &devices->list, &devices->n_allocated, devices->n + 1,
                                    sizeof *devices->list) < 0)
                        return -ENOMEM;
                devices->list[devices->n] = (Device){};
                r = read_device(m, &devices->list[devices->n++]);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int device_order(const void *a, const void *b) {
        const Device *left = a, *right = b;
        int order = strcmp(left->parent, right->parent);

        return order != 0 ? order : strcmp(left->uuid, right->uuid);
}

/* Asking */

typedef struct Filter {
        const char *uuid, *parent, *state; /* NULL: any */
        bool active, defined;              /* false: those that are not, too */
        DevicesHow how;
} Filter;

static int append_filter(sd_bus_message *m, const Filter *filter) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && filter->uuid)
                r = client_append_string(m, "uuid", filter->uuid);
        if (r >= 0 && filter->parent)
                r = client_append_string(m, "parent", filter->parent);
        if (r >= 0 && filter->state)
                r = client_append_string(m, "state", filter->state);
        if (r >= 0 && filter->active)
                r = client_append_bool(m, "active", true);
        if (r >= 0 && filter->defined)
                r = client_append_bool(m, "defined", true);
        if (r >= 0 && filter->how == DEVICES_WITHOUT_ATTRIBUTES)
                r = client_append_bool(m, "attributes", false);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int devices_keep(Devices *devices, sd_bus_message *answer) {
        if (grow((void **) &devices->answers, &devices->n_answers_allocated, devices->n_answers + 1,
                            sizeof *devices->answers) < 0)
                return -ENOMEM;

        devices->answers[devices->n_answers++] = answer;
        return 0;
}

static int ask_once(sd_bus *bus, const Filter *filter, sd_bus_error *error, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_new_question(bus, "ListDevices", &m);
        if (r >= 0)
                r = append_filter(m, filter);
        return client_try(bus, m, r, error, ret);
}

static int ask(sd_bus *bus, const Filter *filter, Devices *devices);

static int ask_each_parent(sd_bus *bus, const Filter *filter, Devices *devices) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *parents = NULL;
        Filter one = *filter;
        int r;

        r = client_new_question(bus, "ListParents", &m);
        r = client_call(bus, m, r, &parents);
        if (r < 0)
                return r;

        r = sd_bus_message_enter_container(parents, 'a', "(ssbs)");
        while (r >= 0 && (r = sd_bus_message_read(parents, "(ssbs)", &one.parent, NULL, NULL, NULL)) > 0) {
                r = ask(bus, &one, devices);
                if (r < 0)
                        return r;
        }
        return r < 0 ? client_bad_answer(r) : 0;
}

/* Adds what the daemon answers to those there are. What is too much for one answer comes in several. */
static int ask(sd_bus *bus, const Filter *filter, Devices *devices) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
        int r;

        r = ask_once(bus, filter, &error, &answer);
        if (r < 0 && !filter->parent && sd_bus_error_has_name(&error, MDEVD_ERROR_LIMITS_EXCEEDED))
                return ask_each_parent(bus, filter, devices);
        if (r < 0)
                return client_complain(r, &error, NULL);

        if (devices_keep(devices, answer) < 0)
                return complain(-ENOMEM, "Not enough memory");
        r = read_devices(TAKE_PTR(answer), devices);
        return r < 0 ? client_bad_answer(r) : 0;
}

void devices_sort(Devices *devices) {
        if (devices->n > 0)
                qsort(devices->list, devices->n, sizeof *devices->list, device_order);
}

/* What is in the kernel: to the daemon orphaned devices are not active. */
static int ask_for_active(
                sd_bus *bus, DevicesHow how, const char *uuid, const char *parent, Devices *devices) {
        const Filter active = { .uuid = uuid, .parent = parent, .active = true, .how = how },
                     orphaned = { .uuid = uuid, .parent = parent, .state = "orphaned", .how = how };
        int r;

        r = ask(bus, &active, devices);
        if (r >= 0)
                r = ask(bus, &orphaned, devices);
        if (r >= 0)
                devices_sort(devices);
        return r;
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

static int ask_for_defined(
                sd_bus *bus, DevicesHow how, const char *uuid, const char *parent, Devices *devices) {
        const Filter defined = { .uuid = uuid, .parent = parent, .defined = true, .how = how },
                     active = {
                             .uuid = uuid, .parent = parent, .active = true, .how = DEVICES_WITHOUT_ATTRIBUTES
                     };
        bool any_active = false;
        size_t n;
        int r;

        r = ask(bus, &defined, devices);
        if (r < 0)
                return r;
        devices_sort(devices);
        n = devices->n;
        for (size_t i = 0; i < n; i++)
                any_active |= devices->list[i].active;
        if (!any_active)
                return 0;

        r = ask(bus, &active, devices);
        return r < 0 ? r : take_live_types(devices, n);
}

int devices_read(sd_bus *bus, DevicesWhich which, DevicesHow how, const char *uuid, const char *parent,
                Devices *ret) {
        _cleanup_(devices_done) Devices devices = {};
        int r;

        r = which == DEVICES_ACTIVE ? ask_for_active(bus, how, uuid, parent, &devices)
                                    : ask_for_defined(bus, how, uuid, parent, &devices);
        if (r < 0)
                return r;

        *ret = devices;
        devices = (Devices){};
        return 0;
}

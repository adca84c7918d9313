/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/mdevd-names.h"
#include "tools/devices.h"

void devices_done(Devices *devices) {
        for (size_t i = 0; i < devices->n; i++) {
                configuration_done(&devices->list[i].configuration);
                free(devices->list[i].defined_type);
        }
        free(devices->list);
        (void) sd_bus_message_unref(devices->answer);
        *devices = (Devices){};
}

/* Reading a row */

static int read_attributes(sd_bus_message *m, Configuration *c) {
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

        r = read_attributes(m, &d->configuration);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_devices(Devices *devices, DevicesWhich which) {
        int r;

        r = sd_bus_message_enter_container(devices->answer, 'a', "(ssssbbba(ss))");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(devices->answer, 'r', "ssssbbba(ss)")) > 0) {
                if (grow((void **) &devices->list, &devices->n_allocated, devices->n + 1,
                                    sizeof *devices->list) < 0)
                        return -ENOMEM;
                devices->list[devices->n] = (Device){};
                r = read_device(devices->answer, &devices->list[devices->n++]);
                if (r < 0)
                        return r;
                if (which == DEVICES_ACTIVE && !devices->list[devices->n - 1].active)
                        configuration_done(&devices->list[--devices->n].configuration);
        }
        return r < 0 ? r : sd_bus_message_exit_container(devices->answer);
}

static int device_order(const void *a, const void *b) {
        const Device *left = a, *right = b;
        int order = strcmp(left->parent, right->parent);

        return order != 0 ? order : strcmp(left->uuid, right->uuid);
}

/* The type of a definition whose device is active: a row has room for one of the two. */

static int read_defined_type(sd_bus_message *m, Device *d) {
        const char *parent, *type;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(ssba(ss))");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'r', "ssba(ss)")) > 0) {
                r = sd_bus_message_read(m, "ss", &parent, &type);
                if (r >= 0)
                        r = sd_bus_message_skip(m, "ba(ss)");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
                if (streq(parent, d->parent))
                        return free_and_strdup(&d->defined_type, type);
        }
        return r;
}

static int ask_for_definitions(sd_bus *bus, const Device *d, sd_bus_message **ret) {
        char path[sizeof MDEVD_DEVICE_PATH "/" + 36];

        (void) snprintf(path, sizeof path, MDEVD_DEVICE_PATH "/%.36s", d->uuid);
        for (char *p = path; *p; p++)
                if (*p == '-')
                        *p = '_';

        return sd_bus_get_property(bus, MDEVD_BUS_NAME, path, MDEVD_DEVICE_INTERFACE, "Definitions", NULL,
                        ret, "a(ssba(ss))");
}

static int complete_defined_types(sd_bus *bus, Devices *devices) {
        for (size_t i = 0; i < devices->n; i++) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
                Device *d = &devices->list[i];
                int r;

                /* One that has gone since: what the row says was true when it was asked for. */
                if (!d->active || ask_for_definitions(bus, d, &answer) < 0)
                        continue;
                r = read_defined_type(answer, d);
                if (r < 0)
                        return client_bad_answer(r);
        }

        return 0;
}

int devices_read(sd_bus *bus, DevicesWhich which, const char *uuid, const char *parent, Devices *ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(devices_done) Devices devices = {};
        int r;

        r = client_new_question(bus, "ListDevices", &m);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        /* For what is in the kernel there is no filter: to the daemon orphaned devices are not active. */
        if (r >= 0 && which == DEVICES_DEFINED)
                r = client_append_bool(m, "defined", true);
        if (r >= 0 && uuid)
                r = client_append_string(m, "uuid", uuid);
        if (r >= 0 && parent)
                r = client_append_string(m, "parent", parent);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        r = client_call(bus, m, r, &devices.answer);
        if (r < 0)
                return r;

        r = read_devices(&devices, which);
        if (r < 0)
                return client_bad_answer(r);
        if (devices.n > 0)
                qsort(devices.list, devices.n, sizeof *devices.list, device_order);
        if (which == DEVICES_DEFINED) {
                r = complete_defined_types(bus, &devices);
                if (r < 0)
                        return r;
        }

        *ret = devices;
        devices = (Devices){};
        return 0;
}

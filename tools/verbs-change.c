/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verbs that change something. The daemon decides; what is refused here already is what mdevctl refuses
 * and the daemon would understand differently: to it an empty name means "choose one" or "all of them". */

#include "tools/devices.h"
#include "tools/verbs.h"

static int refuse_empty(const Arguments *a) {
        static const OptionId names[] = { OPTION_PARENT, OPTION_TYPE };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (arguments_have(a, names[i]) && isempty(arguments_get(a, names[i])))
                        return complain(-EINVAL, "The value for '%s' is empty", OPTION_TEXT(names[i]));

        return 0;
}

/* What a file, or else the command line, says of the device. */
static int get_configuration(const Arguments *a, const char *what, Configuration *ret) {
        const char *path = arguments_get(a, OPTION_JSONFILE);

        if (!path) {
                *ret = (Configuration){
                        .type = strempty(arguments_get(a, OPTION_TYPE)),
                        .autostart = arguments_have(a, OPTION_AUTO),
                };
                return 0;
        }

        if (!arguments_have(a, OPTION_PARENT))
                return complain(-EINVAL, "Parent device required to %s device via \"%s\"", what, path);
        return configuration_read(path, ret);
}

static int append_attributes(sd_bus_message *m, const Configuration *c) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(ss)");
        for (size_t i = 0; i < c->n_attributes && r >= 0; i++)
                r = sd_bus_message_append(m, "(ss)", c->attributes[i].name, c->attributes[i].value);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* What Define and Create begin with: UUID, parent, type, attributes. */
static int append_device(sd_bus_message *m, const Arguments *a, const Configuration *c) {
        int r;

        r = sd_bus_message_append(m, "sss", strempty(arguments_get(a, OPTION_UUID)),
                        strempty(arguments_get(a, OPTION_PARENT)), c->type);
        return r < 0 ? r : append_attributes(m, c);
}

static int append_no_options(sd_bus_message *m) {
        return sd_bus_message_append(m, "a{sv}", 0);
}

/* Sends what makes a device; the UUID is told if it was not given. */
static int call_for_uuid(sd_bus *bus, const Arguments *a, sd_bus_message *m, int r, const char *done) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
        const char *uuid;

        r = client_call(bus, m, r, &answer);
        if (r < 0 || arguments_have(a, OPTION_UUID))
                return r;

        r = sd_bus_message_read(answer, "s", &uuid);
        return r < 0 ? client_bad_answer(r) : output_new_uuid(uuid, done);
}

/* define */

/* mdevctl has no objection to a second definition elsewhere, so under its name there is none either. */
static bool alternate_is_allowed(const Arguments *a) {
        return arguments_have(a, OPTION_ALTERNATE) || streq(a->program, "mdevctl");
}

static int append_define_options(sd_bus_message *m, const Arguments *a, const Configuration *c) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = client_append_bool(m, "autostart", c->autostart);
        if (r >= 0 && alternate_is_allowed(a))
                r = client_append_bool(m, "alternate", true);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int verb_define(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(configuration_done) Configuration c = {};
        int r;

        r = refuse_empty(a);
        if (r >= 0)
                r = get_configuration(a, "define", &c);
        if (r >= 0)
                r = client_open(&bus);
        if (r < 0)
                return r;

        r = client_new_request(bus, "Define", &m);
        if (r >= 0)
                r = append_device(m, a, &c);
        if (r >= 0)
                r = append_define_options(m, a, &c);
        return call_for_uuid(bus, a, m, r, "defined");
}

/* undefine */

int verb_undefine(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = refuse_empty(a);
        if (r >= 0)
                r = client_open(&bus);
        if (r < 0)
                return r;

        r = client_new_request(bus, "Undefine", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", arguments_get(a, OPTION_UUID),
                                strempty(arguments_get(a, OPTION_PARENT)));
        if (r >= 0)
                r = append_no_options(m);
        return client_call(bus, m, r, NULL);
}

/* start */

/* Starts a device that lasts until it is stopped. */
static int create(sd_bus *bus, const Arguments *a, const Configuration *c) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        if (!isempty(c->type) && !arguments_have(a, OPTION_PARENT))
                return complain(-EINVAL, "A type was given without a parent: give '--parent', too");
        if (isempty(c->type))
                return complain(-EINVAL,
                                "The device is insufficiently specified: give '--type', or the UUID of a device "
                                "that is defined");

        r = client_new_request(bus, "Create", &m);
        if (r >= 0)
                r = append_device(m, a, c);
        if (r >= 0)
                r = append_no_options(m);
        return call_for_uuid(bus, a, m, r, "started");
}

/* Starts a device that is defined. @parent: "": the only one */
static int start(sd_bus *bus, const char *uuid, const char *parent) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_new_request(bus, "Start", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", uuid, parent);
        if (r >= 0)
                r = append_no_options(m);
        return client_call(bus, m, r, NULL);
}

/* With a UUID it depends on what is defined which of the two is meant. */
static int start_or_create(sd_bus *bus, const Arguments *a, const Configuration *c) {
        const char *uuid = arguments_get(a, OPTION_UUID), *parent = arguments_get(a, OPTION_PARENT),
                   *type = arguments_get(a, OPTION_TYPE);
        _cleanup_(devices_done) Devices devices = {};
        const Device *d;
        int r;

        r = devices_read(bus, DEVICES_DEFINED, uuid, parent, &devices);
        if (r < 0)
                return r;

        /* If there is none, or which one is not clear, the daemon says so better. */
        if (devices.n == 0 && (parent || type))
                return create(bus, a, c);
        if (devices.n != 1)
                return start(bus, uuid, strempty(parent));

        d = &devices.list[0];
        if (type && !streq(type, device_defined_type(d)))
                return complain(-EEXIST, "Device %s already exists on parent %s with type %s", d->uuid,
                                d->parent, device_defined_type(d));
        return start(bus, uuid, d->parent);
}

int verb_start(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(configuration_done) Configuration c = {};
        int r;

        r = refuse_empty(a);
        if (r >= 0)
                r = get_configuration(a, "start", &c);
        if (r >= 0)
                r = client_open(&bus);
        if (r < 0)
                return r;

        if (arguments_have(a, OPTION_UUID) && !arguments_have(a, OPTION_JSONFILE))
                return start_or_create(bus, a, &c);
        return create(bus, a, &c);
}

/* stop */

int verb_stop(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_open(&bus);
        if (r < 0)
                return r;

        r = client_new_request(bus, "Stop", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", arguments_get(a, OPTION_UUID));
        if (r >= 0)
                r = append_no_options(m);
        return client_call(bus, m, r, NULL);
}

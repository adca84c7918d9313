/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verbs that change something. The daemon decides; what is refused here already is what mdevctl refuses
 * and the daemon would understand differently: to it an empty name means "choose one" or "all of them". */

#include "api/mdevd-names.h"
#include "tools/devices.h"
#include "tools/many.h"
#include "tools/text.h"
#include "tools/verbs.h"

#define AT_THE_END UINT32_MAX /* an index, to the daemon */

static int refuse_empty(const Arguments *a) {
        static const OptionId names[] = { OPTION_PARENT, OPTION_TYPE };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (arguments_have(a, names[i]) && isempty(arguments_get(a, names[i])))
                        return complain(-EINVAL, "The value for '%s' is empty", OPTION_TEXT(names[i]));

        return 0;
}

/* The text of the file that the command line names. @ret: NULL if it names none */
static int read_json(const Arguments *a, const char *what, char **ret) {
        const char *path = arguments_get(a, OPTION_JSONFILE);

        if (!path)
                return 0;
        if (!arguments_have(a, OPTION_PARENT) && !arguments_have(a, OPTION_LIVE))
                return complain(-EINVAL, "Parent device required to %s device via \"%s\"", what, path);
        return configuration_read_text(path, ret);
}

/* Messages */

static bool option_is_on(const Arguments *a, OptionId id) {
        /* mdevctl has no objection to a second definition elsewhere, so under its name there is none either.
         */
        return arguments_have(a, id) || (id == OPTION_ALTERNATE && streq(a->program, "mdevctl"));
}

/* The last argument of a method: those of the flags that are on. To the daemon all but one have their name
 * from the command line. */
static int append_flags(sd_bus_message *m, const Arguments *a, uint64_t flags) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        for (OptionId id = 0; id < _OPTION_MAX && r >= 0; id++)
                if ((flags & OPTION_BIT(id)) && option_is_on(a, id))
                        r = client_append_bool(m, id == OPTION_AUTO ? "autostart" : options[id].name, true);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* What a device is to be, for one of two methods: its UUID, parent and type, or with @json UUID, parent and
 * text.
 */
static int new_device_request(sd_bus *bus, const Arguments *a, const char *method, const char *type,
                const char *json, uint64_t flags, sd_bus_message **ret) {
        const char *uuid = strempty(arguments_get(a, OPTION_UUID)),
                   *parent = strempty(arguments_get(a, OPTION_PARENT));
        char from_json[32];
        int r;

        (void) snprintf(from_json, sizeof from_json, "%sFromJSON", method);
        r = client_new_request(bus, json ? from_json : method, ret);
        if (r >= 0)
                r = json ? sd_bus_message_append(*ret, "sss", uuid, parent, json)
                         : sd_bus_message_append(*ret, "sssa(ss)", uuid, parent, type, 0);
        return r < 0 ? r : append_flags(*ret, a, flags);
}

/* Sends what may have a file in it, by whose name it is to be called if that is at fault. */
static int call_with_file(
                sd_bus *bus, const Arguments *a, sd_bus_message *m, int r, sd_bus_message **ret_answer) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(freep) char *subject = NULL;
        const char *path = arguments_get(a, OPTION_JSONFILE);

        r = client_try(bus, m, r, &error, ret_answer);
        if (r >= 0)
                return r;

        if (path && sd_bus_error_has_name(&error, MDEVD_ERROR_INVALID_DEFINITION) &&
                        asprintf(&subject, "\"%s\"", path) < 0)
                subject = NULL;
        return client_complain(r, &error, subject);
}

/* Sends what makes a device; the UUID is told if it was not given. */
static int call_for_uuid(sd_bus *bus, const Arguments *a, sd_bus_message *m, int r, const char *done) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
        const char *uuid;

        r = call_with_file(bus, a, m, r, &answer);
        if (r < 0 || arguments_have(a, OPTION_UUID))
                return r;

        r = sd_bus_message_read(answer, "s", &uuid);
        return r < 0 ? client_bad_answer(r) : output_new_uuid(uuid, done);
}

/* define */

/* With a parent but no type, that of the active device is meant; and the parent may be another. */
static int read_active_device(sd_bus *bus, const Arguments *a, Devices *ret) {
        if (!arguments_have(a, OPTION_UUID) || !arguments_have(a, OPTION_PARENT) ||
                        arguments_have(a, OPTION_TYPE))
                return 0;

        return devices_read(bus, DEVICES_ACTIVE, DEVICES_WHOLE, arguments_get(a, OPTION_UUID), NULL, ret);
}

/* @json: NULL: what the command line says is all */
static int define(sd_bus *bus, const Arguments *a, const char *json) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(devices_done) Devices active = {};
        const char *type = arguments_get(a, OPTION_TYPE);
        int r;

        if (!json) {
                r = read_active_device(bus, a, &active);
                if (r < 0)
                        return r;
                if (active.n > 0)
                        type = active.list[0].configuration.type;
        }

        r = new_device_request(bus, a, "Define", strempty(type), json,
                        OPTION_BIT(OPTION_AUTO) | OPTION_BIT(OPTION_ALTERNATE) | OPTION_BIT(OPTION_FORCE),
                        &m);
        return call_for_uuid(bus, a, m, r, "defined");
}

int verb_define(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(freep) char *json = NULL;
        int r;

        r = refuse_empty(a);
        if (r >= 0)
                r = read_json(a, "define", &json);
        if (r >= 0)
                r = client_open(&bus);
        return r < 0 ? r : define(bus, a, json);
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
                r = append_flags(m, a, OPTION_BIT(OPTION_FORCE));
        return client_call(bus, m, r, NULL);
}

/* modify */

/* Without a file nothing of a running device can be changed. */
static int refuse_live(const Arguments *a) {
        if (!arguments_have(a, OPTION_LIVE) || arguments_have(a, OPTION_JSONFILE))
                return 0;
        if (arguments_have(a, OPTION_AUTO) || arguments_have(a, OPTION_MANUAL))
                return complain(-EINVAL, "'auto' cannot be changed on active mdev");
        return complain(-EINVAL, "'live' option must be used with 'jsonfile' option");
}

/* @index: as given, or NULL. Return: as the daemon has it; complains of one that only it knows. */
static int get_index(const char *index, uint32_t *ret) {
        *ret = AT_THE_END;
        if (!index)
                return 0;
        if (text_to_number(index, ret) < 0 || *ret == AT_THE_END)
                return complain(-ERANGE, "Attribute index %s is invalid", index);
        return 0;
}

/* The changes to a definition. There must be one: if it comes to that, the type, though it stays; then the
 * file is written anew, as mdevctl 1.2 does. */
static int append_changes(sd_bus_message *m, const Arguments *a, const Device *d, uint32_t index) {
        const char *type = arguments_get(a, OPTION_TYPE), *name = arguments_get(a, OPTION_ADDATTR);
        bool removes = arguments_have(a, OPTION_DELATTR), is_auto = arguments_have(a, OPTION_AUTO),
             is_manual = arguments_have(a, OPTION_MANUAL);
        int r;

        /* There is no last one, which is fine. */
        if (removes && index == AT_THE_END && d && d->configuration.n_attributes == 0)
                removes = false;
        if (!type && !name && !removes && !is_auto && !is_manual)
                type = device_defined_type(d);

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && type)
                r = client_append_string(m, "type", type);
        if (r >= 0 && (is_auto || is_manual))
                r = client_append_bool(m, "autostart", is_auto);
        if (r >= 0 && removes)
                r = sd_bus_message_append(m, "{sv}", "remove-attribute", "u", index);
        if (r >= 0 && name)
                r = sd_bus_message_append(m, "{sv}", "add-attribute", "(uss)", index, name,
                                arguments_get(a, OPTION_VALUE));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* Which of the two is changed: what is defined is unless only what is live is to be. */
static int append_modify_options(sd_bus_message *m, const Arguments *a) {
        int r;

        if (!arguments_have(a, OPTION_LIVE))
                return append_flags(m, a, OPTION_BIT(OPTION_FORCE));

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = client_append_bool(m, "live", true);
        if (r >= 0)
                r = client_append_bool(m, "defined", arguments_have(a, OPTION_DEFINED));
        if (r >= 0 && arguments_have(a, OPTION_DIRECT))
                r = client_append_bool(m, "direct", true);
        if (r >= 0 && arguments_have(a, OPTION_FORCE))
                r = client_append_bool(m, "force", true);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* Which definition is meant. Return: 0; a negative errno, then the reason was told. */
static int pick_definition(const Arguments *a, const Devices *devices, const Device **ret) {
        const char *uuid = arguments_get(a, OPTION_UUID), *parent = arguments_get(a, OPTION_PARENT);

        if (devices->n == 0)
                return complain(-ENODEV, "Mediated device %s%s%s is not defined", strempty(parent),
                                parent ? "/" : "", uuid);
        if (devices->n > 1)
                return complain(-ENOTUNIQ, "Multiple definitions found for %s, specify a parent", uuid);

        *ret = &devices->list[0];
        return 0;
}

/* @d: the definition that is meant; NULL if it is what is live, which @json describes then */
static int modify(sd_bus *bus, const Arguments *a, const Device *d, const char *json) {
        const char *parent = d ? d->parent : strempty(arguments_get(a, OPTION_PARENT));
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        uint32_t index;
        int r;

        r = get_index(arguments_get(a, OPTION_INDEX), &index);
        if (r < 0)
                return r;

        r = client_new_request(bus, "Modify", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", arguments_get(a, OPTION_UUID), parent);
        if (r >= 0)
                r = json ? sd_bus_message_append(m, "a{sv}", 1, "json", "s", json)
                         : append_changes(m, a, d, index);
        if (r >= 0)
                r = append_modify_options(m, a);
        return call_with_file(bus, a, m, r, NULL);
}

/* A file says all that there is to say, so there need not be a definition yet. */
static int modify_definition(sd_bus *bus, const Arguments *a, const char *json) {
        _cleanup_(devices_done) Devices devices = {};
        const Device *d = NULL;
        int r;

        r = devices_read(bus, DEVICES_DEFINED, DEVICES_WHOLE, arguments_get(a, OPTION_UUID),
                        arguments_get(a, OPTION_PARENT), &devices);
        if (r < 0)
                return r;
        if (json && devices.n == 0)
                return define(bus, a, json);

        r = pick_definition(a, &devices, &d);
        return r < 0 ? r : modify(bus, a, d, json);
}

int verb_modify(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(freep) char *json = NULL;
        int r;

        r = refuse_empty(a);
        if (r >= 0)
                r = refuse_live(a);
        if (r >= 0)
                r = read_json(a, "modify", &json);
        if (r >= 0)
                r = client_open(&bus);
        if (r < 0)
                return r;

        return arguments_have(a, OPTION_LIVE) ? modify(bus, a, NULL, json) : modify_definition(bus, a, json);
}

/* start */

/* Starts a device that lasts until it is stopped. */
static int create(sd_bus *bus, const Arguments *a, const char *json) {
        const char *type = arguments_get(a, OPTION_TYPE);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        if (type && !arguments_have(a, OPTION_PARENT))
                return complain(-EINVAL, "A type was given without a parent: give '--parent', too");
        if (!type && !json)
                return complain(-EINVAL,
                                "The device is insufficiently specified: give '--type', or the UUID of a device "
                                "that is defined");

        r = new_device_request(bus, a, "Create", type, json, OPTION_BIT(OPTION_FORCE), &m);
        return call_for_uuid(bus, a, m, r, "started");
}

/* Starts a device that is defined. @parent: "": the only one */
static int start(sd_bus *bus, const Arguments *a, const char *parent) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_new_request(bus, "Start", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", arguments_get(a, OPTION_UUID), parent);
        if (r >= 0)
                r = append_flags(m, a, OPTION_BIT(OPTION_FORCE));
        return client_call(bus, m, r, NULL);
}

/* With a UUID it depends on what is defined which of the two is meant. */
static int start_or_create(sd_bus *bus, const Arguments *a) {
        const char *parent = arguments_get(a, OPTION_PARENT), *type = arguments_get(a, OPTION_TYPE);
        _cleanup_(devices_done) Devices devices = {};
        const Device *d;
        int r;

        /* By itself it is a definition's. */
        if (!parent && !type)
                return start(bus, a, "");

        r = devices_read(
                        bus, DEVICES_DEFINED, DEVICES_WHOLE, arguments_get(a, OPTION_UUID), parent, &devices);
        if (r < 0)
                return r;

        /* If there is none, or which one is not clear, the daemon says so better. */
        if (devices.n == 0 && (parent || type))
                return create(bus, a, NULL);
        if (devices.n != 1)
                return start(bus, a, strempty(parent));

        d = &devices.list[0];
        if (type && !streq(type, device_defined_type(d)))
                return complain(-EEXIST, "Device %s already exists on parent %s with type %s", d->uuid,
                                d->parent, device_defined_type(d));
        return start(bus, a, d->parent);
}

int verb_start(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(freep) char *json = NULL;
        int r;

        r = refuse_empty(a);
        if (r >= 0 && many_are_meant(a))
                return many_call(a, "Start");
        if (r >= 0)
                r = read_json(a, "start", &json);
        if (r >= 0)
                r = client_open(&bus);
        if (r < 0)
                return r;

        if (arguments_have(a, OPTION_UUID) && !json)
                return start_or_create(bus, a);
        return create(bus, a, json);
}

/* start-parent-mdevs */

/* What could not be started is told, and is no failure of the program: udev rules run it. */
static int tell_failures(sd_bus_message *answer) {
        const char *uuid, *sentence;
        int r;

        r = sd_bus_message_enter_container(answer, 'a', "(ss)");
        if (r < 0)
                return client_bad_answer(r);
        while ((r = sd_bus_message_read(answer, "(ss)", &uuid, &sentence)) > 0)
                client_warn(uuid, sentence);
        return r < 0 ? client_bad_answer(r) : 0;
}

int verb_start_parent_mdevs(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *answer = NULL;
        const char *parent = arguments_get(a, OPTION_PARENT_WORD);
        int r;

        r = client_open(&bus);
        if (r < 0)
                return r;

        r = client_new_request(bus, "StartParent", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", parent);
        r = client_try(bus, m, r, &error, &answer);
        if (r >= 0)
                return tell_failures(answer);

        /* Where nothing is defined, or nothing can be, there is nothing to do. */
        if (sd_bus_error_has_name(&error, MDEVD_ERROR_NOT_FOUND) ||
                        sd_bus_error_has_name(&error, SD_BUS_ERROR_INVALID_ARGS))
                return 0;
        if (sd_bus_error_has_name(&error, MDEVD_ERROR_PARENT_ABSENT)) {
                client_warn(parent, error.message);
                return 0;
        }
        return client_complain(r, &error, NULL);
}

/* stop */

int verb_stop(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        if (many_are_meant(a)) {
                r = refuse_empty(a);
                return r < 0 ? r : many_call(a, "Stop");
        }

        r = client_open(&bus);
        if (r < 0)
                return r;

        r = client_new_request(bus, "Stop", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", arguments_get(a, OPTION_UUID));
        if (r >= 0)
                r = append_flags(m, a, OPTION_BIT(OPTION_WAIT_FOR_RELEASE) | OPTION_BIT(OPTION_FORCE));
        return client_call(bus, m, r, NULL);
}

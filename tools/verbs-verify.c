/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* verify: the definitions' files, sysfs and the daemon, each against the others. What is wrong is an error
 * and the exit status; what is only odd, such as a parent that is not there yet, is a note. */

#include <stdarg.h>

#include "tools/offline.h"
#include "tools/picture.h"
#include "tools/terminal.h"
#include "tools/verbs.h"

typedef struct Verification {
        json_object *definitions, *living, *parents; /* read here */
        Picture picture;                             /* the daemon's; empty if it was not asked */
        json_object *findings;
        size_t n_errors;
} Verification;

static void verification_done(Verification *v) {
        (void) json_object_put(v->definitions);
        (void) json_object_put(v->living);
        (void) json_object_put(v->parents);
        (void) json_object_put(v->findings);
        picture_done(&v->picture);
}

/* Findings */

static int add_finding(Verification *v, const char *severity, json_object *file, json_object *device,
                const char *format, ...) _printf_(5, 6);

/* @file, @device: what it is about, the one or the other; NULL: the host */
static int add_finding(Verification *v, const char *severity, json_object *file, json_object *device,
                const char *format, ...) {
        json_object *finding = json_object_new_object(), *about = file ?: device;
        static const char *const keys[] = { "path", "line", "column", "uuid", "parent" };
        _cleanup_(freep) char *message = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&message, format, ap);
        va_end(ap);
        if (n < 0) {
                message = NULL;
                return -ENOMEM;
        }

        if (value_append(v->findings, finding) < 0 || value_put_string(finding, "severity", severity) < 0 ||
                        value_put_string(finding, "message", message) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (value_put_any(finding, keys[i], json_object_get(json_object_object_get(about, keys[i]))) <
                                0)
                        return -ENOMEM;
        v->n_errors += streq(severity, "error");
        return 0;
}

#define wrong(v, file, device, ...) add_finding((v), "error", (file), (device), __VA_ARGS__)
#define odd(v, file, device, ...) add_finding((v), "note", (file), (device), __VA_ARGS__)

/* Looking */

static bool is_valid(json_object *file) {
        return !json_object_object_get(file, "message");
}

static bool same(json_object *a, json_object *b, const char *key) {
        return json_object_equal(json_object_object_get(a, key), json_object_object_get(b, key));
}

/* Both may be "", as long as the driver that creates the device has not come to it. */
static bool types_differ(const char *a, const char *b) {
        return !isempty(a) && !isempty(b) && !streq(a, b);
}

static json_object *find_one(json_object *list, const char *key, const char *wanted) {
        for (size_t i = 0; i < value_count(list); i++) {
                json_object *one = json_object_array_get_idx(list, i);

                if (streq(value_string(one, key), wanted))
                        return one;
        }

        return NULL;
}

/* The first valid file of a UUID on a parent. @parent: NULL: any */
static json_object *find_definition(const Verification *v, const char *uuid, const char *parent) {
        for (size_t i = 0; i < value_count(v->definitions); i++) {
                json_object *file = json_object_array_get_idx(v->definitions, i);

                if (is_valid(file) && streq(value_string(file, "uuid"), uuid) &&
                                (!parent || streq(value_string(file, "parent"), parent)))
                        return file;
        }

        return NULL;
}

/* Files by themselves, and among each other */

static int check_other_files(Verification *v, json_object *file) {
        const char *uuid = value_string(file, "uuid"), *parent = value_string(file, "parent");
        int r = 0;

        for (size_t i = 0; i < value_count(v->definitions) && r >= 0; i++) {
                json_object *other = json_object_array_get_idx(v->definitions, i);

                /* Of two the second is told. */
                if (other == file)
                        break;
                if (!is_valid(other) || !streq(value_string(other, "uuid"), uuid))
                        continue;
                if (streq(value_string(other, "parent"), parent))
                        r = wrong(v, file, NULL, "the same device is defined in %s, too",
                                        value_string(other, "path"));
                else if (value_bool(file, "autostart") && value_bool(other, "autostart"))
                        r = odd(v, file, NULL,
                                        "marked for autostart, and so is %s: the first of them whose parent has room is started",
                                        value_string(other, "path"));
        }

        return r;
}

static int check_files(Verification *v) {
        int r = 0;

        for (size_t i = 0; i < value_count(v->definitions) && r >= 0; i++) {
                json_object *file = json_object_array_get_idx(v->definitions, i);

                if (!is_valid(file))
                        r = wrong(v, file, NULL, "%s", value_string(file, "message"));
                else
                        r = check_other_files(v, file);
                if (r >= 0 && is_valid(file) && isempty(value_string(file, "type")))
                        r = wrong(v, file, NULL, "the type is empty, so that nothing can be started from it");
        }

        return r;
}

/* Files and sysfs */

static int check_against_sysfs(Verification *v, json_object *file) {
        const char *uuid = value_string(file, "uuid"), *parent = value_string(file, "parent"),
                   *type = value_string(file, "type");
        json_object *device = find_one(v->living, "uuid", uuid),
                    *offers = find_one(v->parents, "parent", parent);

        if (device && !streq(value_string(device, "parent"), parent))
                return find_definition(v, uuid, value_string(device, "parent"))
                                ? 0
                                : odd(v, file, NULL, "the device is %s on another parent, %s",
                                                  value_string(device, "state"),
                                                  value_string(device, "parent"));
        if (device && types_differ(value_string(device, "type"), type))
                return wrong(v, file, NULL, "the device is %s with another type, %s, than is defined, %s",
                                value_string(device, "state"), value_string(device, "type"), type);
        if (!offers)
                return odd(v, file, NULL, "parent %s is not there", parent);
        if (!isempty(type) && !find_one(json_object_object_get(offers, "types"), "type", type))
                return wrong(v, file, NULL, "parent %s does not offer type %s", parent, type);
        return 0;
}

static int check_sysfs(Verification *v, const char *root) {
        int r = 0;

        /* An image is no host: it has definitions and no devices. */
        for (size_t i = 0; i < value_count(v->definitions) && r >= 0; i++) {
                json_object *file = json_object_array_get_idx(v->definitions, i);

                if (is_valid(file) && (!root || value_count(v->parents) > 0))
                        r = check_against_sysfs(v, file);
        }
        for (size_t i = 0; i < value_count(v->living) && r >= 0; i++) {
                json_object *device = json_object_array_get_idx(v->living, i);

                if (streq(value_string(device, "state"), "orphaned"))
                        r = wrong(v, NULL, device,
                                        "the device is orphaned: only its parent's driver can free it, by being "
                                        "unbound or unloaded");
        }

        return r;
}

/* The daemon */

static json_object *known_definition(const Verification *v, const char *uuid, const char *parent) {
        json_object *device = picture_find_device(&v->picture, uuid);

        return find_one(json_object_object_get(device, "definitions"), "parent", parent);
}

static int check_daemon_knows_files(Verification *v) {
        int r = 0;

        for (size_t i = 0; i < value_count(v->definitions) && r >= 0; i++) {
                json_object *file = json_object_array_get_idx(v->definitions, i), *known;

                if (!is_valid(file))
                        continue;
                known = known_definition(v, value_string(file, "uuid"), value_string(file, "parent"));
                if (!known)
                        r = wrong(v, file, NULL,
                                        "mdevd does not know this definition; \"systemctl reload mdevd\" makes it look");
                else if (!same(file, known, "type") || !same(file, known, "autostart") ||
                                !same(file, known, "attributes"))
                        r = wrong(v, file, NULL,
                                        "mdevd knows another content of this file; \"systemctl reload mdevd\" makes it look");
        }

        return r;
}

static int check_daemon_has_files(Verification *v, json_object *device) {
        json_object *definitions = json_object_object_get(device, "definitions");
        const char *uuid = value_string(device, "uuid");
        int r = 0;

        for (size_t i = 0; i < value_count(definitions) && r >= 0; i++) {
                json_object *d = json_object_array_get_idx(definitions, i);

                if (!find_definition(v, uuid, value_string(d, "parent")))
                        r = wrong(v, NULL, device, "mdevd knows a definition on parent %s that has no file",
                                        value_string(d, "parent"));
        }

        return r;
}

static int check_daemon_sees_devices(Verification *v) {
        int r = 0;

        for (size_t i = 0; i < value_count(v->living) && r >= 0; i++) {
                json_object *device = json_object_array_get_idx(v->living, i),
                            *known = picture_find_device(&v->picture, value_string(device, "uuid"));

                if (!known || streq(value_string(known, "state"), "defined"))
                        r = wrong(v, NULL, device, "sysfs has the device %s, and mdevd has it not",
                                        value_string(device, "state"));
                else if (!same(device, known, "parent") ||
                                types_differ(value_string(device, "type"), value_string(known, "type")))
                        r = wrong(v, NULL, device,
                                        "sysfs has the device on parent %s with type %s, mdevd on %s with %s",
                                        value_string(device, "parent"), value_string(device, "type"),
                                        value_string(known, "parent"), value_string(known, "type"));
        }

        return r;
}

static int check_daemon(Verification *v) {
        _cleanup_(freep) json_object **devices = NULL;
        size_t n;
        int r;

        r = picture_sort(v->picture.devices, &devices, &n);
        if (r >= 0)
                r = check_daemon_knows_files(v);
        for (size_t i = 0; i < n && r >= 0; i++) {
                r = check_daemon_has_files(v, devices[i]);
                if (r >= 0 && streq(value_string(devices[i], "state"), "active") &&
                                !find_one(v->living, "uuid", value_string(devices[i], "uuid")))
                        r = wrong(v, NULL, devices[i], "mdevd has the device active, and sysfs has it not");
        }
        return r < 0 ? r : check_daemon_sees_devices(v);
}

/* Telling */

static void write_finding(json_object *finding) {
        const char *path = value_string(finding, "path");
        bool is_error = streq(value_string(finding, "severity"), "error");

        if (!isempty(path))
                terminal_write(path, COLOUR_NONE, 0, SIZE_MAX);
        else if (!isempty(value_string(finding, "uuid")))
                printf("%s", value_string(finding, "uuid"));
        else
                fputs("mdevd", stdout);
        if (value_number(finding, "line") > 0)
                printf(":%lld:%lld", (long long) value_number(finding, "line"),
                                (long long) value_number(finding, "column"));
        fputs(": ", stdout);
        terminal_write(value_string(finding, "severity"), is_error ? COLOUR_BAD : COLOUR_BUSY, 0, SIZE_MAX);
        fputs(": ", stdout);
        terminal_write(value_string(finding, "message"), COLOUR_NONE, 0, SIZE_MAX);
        fputc('\n', stdout);
}

static int tell(const Verification *v, const Arguments *a) {
        size_t n = value_count(v->findings);

        if (arguments_have(a, OPTION_JSON))
                return value_write(v->findings);

        for (size_t i = 0; i < n; i++)
                write_finding(json_object_array_get_idx(v->findings, i));
        if (isatty(STDERR_FILENO))
                fprintf(stderr, "%zu definitions, %zu devices: %zu errors, %zu notes\n",
                                value_count(v->definitions), value_count(v->living), v->n_errors,
                                n - v->n_errors);
        return 0;
}

static int look(Verification *v, const Arguments *a) {
        _cleanup_(client_reader_done) ClientReader reader = {};
        const char *root = OFFLINE_ROOT(a);
        int r = 0;

        if (!arguments_have(a, OPTION_ROOT))
                r = client_open_reader(&reader);
        if (r >= 0 && reader.bus)
                r = picture_read(reader.bus, &v->picture);
        if (r >= 0)
                r = offline_read_definitions(root, &v->definitions);
        if (r >= 0)
                r = offline_read_living(root, &v->living);
        return r < 0 ? r : offline_read_parents(root, NULL, &v->parents);
}

static int check(Verification *v, const Arguments *a) {
        int r;

        v->findings = json_object_new_array();
        r = v->findings ? check_files(v) : -ENOMEM;
        if (r >= 0)
                r = check_sysfs(v, arguments_get(a, OPTION_ROOT));
        if (r >= 0 && v->picture.devices)
                r = check_daemon(v);
        else if (r >= 0 && !arguments_have(a, OPTION_ROOT))
                r = odd(v, NULL, NULL, "the daemon is not running, and was not compared");
        return r < 0 ? complain(r, "Not enough memory") : 0;
}

static int look_and_check(Verification *v, const Arguments *a) {
        int r = look(v, a);

        return r < 0 ? r : check(v, a);
}

int verb_verify(const Arguments *a) {
        _cleanup_(verification_done) Verification v = {};
        int r;

        if (client_is_elsewhere())
                return complain(-EOPNOTSUPP,
                                "verify reads the files of this host: run it over there, by ssh or machinectl shell");
        r = look_and_check(&v, a);
        /* What has changed between the one look and the other is nothing wrong; so it is looked at again. */
        if (r >= 0 && v.n_errors > 0 && v.picture.devices) {
                verification_done(&v);
                v = (Verification){};
                r = look_and_check(&v, a);
        }
        if (r >= 0)
                r = tell(&v, a);
        return r < 0 ? r : v.n_errors > 0 ? -EBADMSG : 0;
}

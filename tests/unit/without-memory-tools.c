/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linked into mdevdctl itself: whatever its objects ask memory for, of libc, libsystemd or json-c, can be
 * made to fail. $MDEVDCTL_MEMORY is the file that says when. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "memory-counter.h"

static void __attribute__((constructor)) find_counter(void) {
        const char *path = getenv("MDEVDCTL_MEMORY");

        if (path)
                use_counter(path);
}

/* Hooks */

int __wrap_sd_bus_message_append(sd_bus_message *m, const char *last, ...);

int __wrap_sd_bus_message_append(sd_bus_message *m, const char *last, ...) {
        return fails() ? -ENOMEM : VARIADIC(sd_bus_message_appendv(m, last, ap));
}

/* As for want of memory within: a negative errno and an error by name. */
int __real_sd_bus_call(sd_bus *bus, sd_bus_message *m, uint64_t usec, sd_bus_error *e, sd_bus_message **ret);
int __wrap_sd_bus_call(sd_bus *bus, sd_bus_message *m, uint64_t usec, sd_bus_error *e, sd_bus_message **ret);

int __wrap_sd_bus_call(sd_bus *bus, sd_bus_message *m, uint64_t usec, sd_bus_error *e, sd_bus_message **ret) {
        return fails() ? sd_bus_error_set_errno(e, ENOMEM) : __real_sd_bus_call(bus, m, usec, e, ret);
}

MEMORY_HOOK(char *, strndup, NULL, (const char *s, size_t n), s, n);
MEMORY_HOOK(int, sd_bus_add_match, -ENOMEM,
                (sd_bus * bus, sd_bus_slot **slot, const char *match, sd_bus_message_handler_t callback,
                                void *userdata),
                bus, slot, match, callback, userdata);
MEMORY_HOOK(int, sd_bus_attach_event, -ENOMEM, (sd_bus * bus, sd_event *e, int priority), bus, e, priority);
MEMORY_HOOK(int, sd_bus_call_async, -ENOMEM,
                (sd_bus * bus, sd_bus_slot **slot, sd_bus_message *m, sd_bus_message_handler_t callback,
                                void *userdata, uint64_t usec),
                bus, slot, m, callback, userdata, usec);
MEMORY_HOOK(int, sd_bus_message_close_container, -ENOMEM, (sd_bus_message * m), m);
MEMORY_HOOK(int, sd_bus_message_enter_container, -ENOMEM,
                (sd_bus_message * m, char type, const char *contents), m, type, contents);
MEMORY_HOOK(int, sd_bus_message_new_method_call, -ENOMEM,
                (sd_bus * bus, sd_bus_message **ret, const char *destination, const char *path,
                                const char *interface, const char *member),
                bus, ret, destination, path, interface, member);
MEMORY_HOOK(int, sd_bus_message_open_container, -ENOMEM,
                (sd_bus_message * m, char type, const char *contents), m, type, contents);
MEMORY_HOOK(int, sd_bus_open_system_with_description, -ENOMEM, (sd_bus * *ret, const char *description), ret,
                description);
MEMORY_HOOK(int, sd_event_new, -ENOMEM, (sd_event * *ret), ret);
MEMORY_HOOK(int, sd_event_add_io, -ENOMEM,
                (sd_event * e, sd_event_source **s, int fd, uint32_t events, sd_event_io_handler_t callback,
                                void *userdata),
                e, s, fd, events, callback, userdata);
MEMORY_HOOK(int, sd_event_add_signal, -ENOMEM,
                (sd_event * e, sd_event_source **s, int number, sd_event_signal_handler_t callback,
                                void *userdata),
                e, s, number, callback, userdata);
MEMORY_HOOK(int, sd_event_add_time_relative, -ENOMEM,
                (sd_event * e, sd_event_source **s, clockid_t clock, uint64_t usec, uint64_t accuracy,
                                sd_event_time_handler_t callback, void *userdata),
                e, s, clock, usec, accuracy, callback, userdata);

MEMORY_HOOK(json_object *, json_object_new_array, NULL, (void), );
MEMORY_HOOK(json_object *, json_object_new_boolean, NULL, (json_bool b), b);
MEMORY_HOOK(json_object *, json_object_new_int, NULL, (int32_t i), i);
MEMORY_HOOK(json_object *, json_object_new_int64, NULL, (int64_t i), i);
MEMORY_HOOK(json_object *, json_object_new_object, NULL, (void), );
MEMORY_HOOK(json_object *, json_object_new_string_len, NULL, (const char *s, int n), s, n);
MEMORY_HOOK(json_object *, json_object_new_uint64, NULL, (uint64_t i), i);
MEMORY_HOOK(int, json_object_array_add, -1, (json_object * array, json_object *element), array, element);
MEMORY_HOOK(int, json_object_object_add, -1, (json_object * object, const char *key, json_object *member),
                object, key, member);
MEMORY_HOOK(int, json_object_deep_copy, -1,
                (json_object * from, json_object **to, json_c_shallow_copy_fn *copy), from, to, copy);

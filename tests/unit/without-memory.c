/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linked into the daemon itself: whatever its objects ask memory for, of libc, libsystemd or json-c, can be
 * made to fail. $MDEVD_MEMORY is the file that says when. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "memory-counter.h"

static void __attribute__((constructor)) find_counter(void) {
        const char *path = getenv("MDEVD_MEMORY");

        if (path)
                use_counter(path);
}

/* Hooks */

int __wrap_sd_bus_message_append(sd_bus_message *m, const char *last, ...);
int __wrap_sd_bus_reply_method_return(sd_bus_message *call, const char *last, ...);
int __wrap_sd_bus_call_method_async(sd_bus *bus, sd_bus_slot **slot, const char *destination,
                const char *path, const char *interface, const char *member,
                sd_bus_message_handler_t callback, void *userdata, const char *last, ...);

int __wrap_sd_bus_message_append(sd_bus_message *m, const char *last, ...) {
        return fails() ? -ENOMEM : VARIADIC(sd_bus_message_appendv(m, last, ap));
}

int __wrap_sd_bus_reply_method_return(sd_bus_message *call, const char *last, ...) {
        return fails() ? -ENOMEM : VARIADIC(sd_bus_reply_method_returnv(call, last, ap));
}

int __wrap_sd_bus_call_method_async(sd_bus *bus, sd_bus_slot **slot, const char *destination,
                const char *path, const char *interface, const char *member,
                sd_bus_message_handler_t callback, void *userdata, const char *last, ...) {
        return fails() ? -ENOMEM
                       : VARIADIC(sd_bus_call_method_asyncv(bus, slot, destination, path, interface, member,
                                         callback, userdata, last, ap));
}

/* Of the error itself something is always told. */
static int no_memory_for(sd_bus_error *e) {
        sd_bus_error_free(e);
        (void) sd_bus_error_set_const(e, SD_BUS_ERROR_NO_MEMORY, "Out of memory");
        return -ENOMEM;
}

int __real_sd_bus_error_set(sd_bus_error *e, const char *name, const char *message);
int __wrap_sd_bus_error_set(sd_bus_error *e, const char *name, const char *message);
int __real_sd_bus_error_set_errno(sd_bus_error *e, int error);
int __wrap_sd_bus_error_set_errno(sd_bus_error *e, int error);
int __wrap_sd_bus_error_setf(sd_bus_error *e, const char *name, const char *last, ...)
                __attribute__((format(printf, 3, 4)));
int __wrap_sd_bus_reply_method_errorf(sd_bus_message *call, const char *name, const char *last, ...)
                __attribute__((format(printf, 3, 4)));

int __wrap_sd_bus_error_set(sd_bus_error *e, const char *name, const char *message) {
        return fails() ? no_memory_for(e) : __real_sd_bus_error_set(e, name, message);
}

int __wrap_sd_bus_error_set_errno(sd_bus_error *e, int error) {
        return fails() ? no_memory_for(e) : __real_sd_bus_error_set_errno(e, error);
}

int __wrap_sd_bus_error_setf(sd_bus_error *e, const char *name, const char *last, ...) {
        return fails() ? no_memory_for(e) : VARIADIC(sd_bus_error_setfv(e, name, last, ap));
}

int __wrap_sd_bus_reply_method_errorf(sd_bus_message *call, const char *name, const char *last, ...) {
        return fails() ? -ENOMEM : VARIADIC(sd_bus_reply_method_errorfv(call, name, last, ap));
}

MEMORY_HOOK(int, sd_bus_emit_object_added, -ENOMEM, (sd_bus * bus, const char *path), bus, path);
MEMORY_HOOK(int, sd_bus_emit_object_removed, -ENOMEM, (sd_bus * bus, const char *path), bus, path);
MEMORY_HOOK(int, sd_bus_emit_properties_changed_strv, -ENOMEM,
                (sd_bus * bus, const char *path, const char *interface, char **names), bus, path, interface,
                names);
MEMORY_HOOK(int, sd_bus_reply_method_errno, -ENOMEM,
                (sd_bus_message * call, int error, const sd_bus_error *e), call, error, e);
MEMORY_HOOK(char *, strndup, NULL, (const char *s, size_t n), s, n);
MEMORY_HOOK(int, sd_bus_message_new_method_return, -ENOMEM, (sd_bus_message * call, sd_bus_message **ret),
                call, ret);
MEMORY_HOOK(int, sd_bus_message_new_method_call, -ENOMEM,
                (sd_bus * bus, sd_bus_message **ret, const char *destination, const char *path,
                                const char *interface, const char *member),
                bus, ret, destination, path, interface, member);
MEMORY_HOOK(int, sd_bus_message_open_container, -ENOMEM,
                (sd_bus_message * m, char type, const char *contents), m, type, contents);
MEMORY_HOOK(int, sd_bus_message_close_container, -ENOMEM, (sd_bus_message * m), m);
MEMORY_HOOK(int, sd_bus_send, -ENOMEM, (sd_bus * bus, sd_bus_message *m, uint64_t *cookie), bus, m, cookie);
MEMORY_HOOK(int, sd_bus_call_async, -ENOMEM,
                (sd_bus * bus, sd_bus_slot **slot, sd_bus_message *m, sd_bus_message_handler_t callback,
                                void *userdata, uint64_t usec),
                bus, slot, m, callback, userdata, usec);
MEMORY_HOOK(int, sd_bus_enqueue_for_read, -ENOMEM, (sd_bus * bus, sd_bus_message *m), bus, m);
MEMORY_HOOK(int, sd_bus_reply_method_error, -ENOMEM, (sd_bus_message * call, const sd_bus_error *e), call, e);
MEMORY_HOOK(int, sd_bus_path_encode, -ENOMEM, (const char *prefix, const char *id, char **ret), prefix, id,
                ret);
MEMORY_HOOK(int, sd_event_add_io, -ENOMEM,
                (sd_event * e, sd_event_source **s, int fd, uint32_t events, sd_event_io_handler_t callback,
                                void *userdata),
                e, s, fd, events, callback, userdata);
MEMORY_HOOK(int, sd_event_add_child, -ENOMEM,
                (sd_event * e, sd_event_source **s, pid_t pid, int options, sd_event_child_handler_t callback,
                                void *userdata),
                e, s, pid, options, callback, userdata);
MEMORY_HOOK(int, sd_event_add_defer, -ENOMEM,
                (sd_event * e, sd_event_source **s, sd_event_handler_t callback, void *userdata), e, s,
                callback, userdata);
MEMORY_HOOK(int, sd_event_add_time, -ENOMEM,
                (sd_event * e, sd_event_source **s, clockid_t clock, uint64_t usec, uint64_t accuracy,
                                sd_event_time_handler_t callback, void *userdata),
                e, s, clock, usec, accuracy, callback, userdata);
MEMORY_HOOK(int, sd_event_add_time_relative, -ENOMEM,
                (sd_event * e, sd_event_source **s, clockid_t clock, uint64_t usec, uint64_t accuracy,
                                sd_event_time_handler_t callback, void *userdata),
                e, s, clock, usec, accuracy, callback, userdata);

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linked into the daemon itself: whatever its objects ask memory for, of libc, libsystemd or json-c, can be
 * made to fail. How many allocations are to succeed before one fails is a number in the file $MDEVD_MEMORY,
 * which the test writes and reads while the daemon works: -1 when one has failed, or none is to. */

#include <fcntl.h>
#include <json-c/json.h>
#include <sys/mman.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

static long none = -1, *counter = &none;

#define MEMORY_COUNTER (*counter)

#include "memory.h"

static void __attribute__((constructor)) find_counter(void) {
        const char *path = getenv("MDEVD_MEMORY");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *p;

        if (fd < 0)
                return;
        p = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED)
                counter = p;
        (void) close(fd);
}

/* Hooks */

#define VARIADIC(call)              \
        ({                          \
                va_list ap;         \
                int _r;             \
                                    \
                va_start(ap, last); \
                _r = (call);        \
                va_end(ap);         \
                _r;                 \
        })

int __wrap_asprintf(char **ret, const char *last, ...);
int __wrap_sd_bus_message_append(sd_bus_message *m, const char *last, ...);
int __wrap_sd_bus_reply_method_return(sd_bus_message *call, const char *last, ...);
int __wrap_sd_bus_call_method_async(sd_bus *bus, sd_bus_slot **slot, const char *destination,
                const char *path, const char *interface, const char *member,
                sd_bus_message_handler_t callback, void *userdata, const char *last, ...);

int __wrap_asprintf(char **ret, const char *last, ...) {
        return fails() ? -1 : VARIADIC(vasprintf(ret, last, ap));
}

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

MEMORY_HOOK(char *, strndup, NULL, (const char *s, size_t n), s, n);
MEMORY_HOOK(json_tokener *, json_tokener_new_ex, NULL, (int depth), depth);
MEMORY_HOOK(json_object *, json_object_new_string, NULL, (const char *s), s);
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many allocations of a process are to succeed before one fails is a number in a file, which a test
 * writes and reads while the process works: -1 when one has failed, or none is to; the least number: all
 * fail. */

#include <fcntl.h>
#include <json-c/json.h>
#include <sys/mman.h>
#include <unistd.h>

static long none = -1, *counter = &none;

#define MEMORY_COUNTER (*counter)

#include "memory.h"

static void use_counter(const char *path) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        void *p;

        if (fd < 0)
                return;
        p = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED)
                counter = p;
        (void) close(fd);
}

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

int __wrap_asprintf(char **ret, const char *last, ...) __attribute__((format(printf, 2, 3)));

int __wrap_asprintf(char **ret, const char *last, ...) {
        return fails() ? -1 : VARIADIC(vasprintf(ret, last, ap));
}

MEMORY_HOOK(json_tokener *, json_tokener_new_ex, NULL, (int depth), depth);
MEMORY_HOOK(json_object *, json_object_new_string, NULL, (const char *s), s);
/* json-c 0.16 says "success" then, and has read nothing, or something. */
MEMORY_HOOK(json_object *, json_tokener_parse_ex, NULL, (json_tokener * t, const char *s, int n), t, s, n);
MEMORY_HOOK(const char *, json_object_to_json_string_ext, NULL, (json_object * o, int flags), o, flags);

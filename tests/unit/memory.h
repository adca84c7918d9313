/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Memory that cannot be had: hooks in front of what allocates, at work in the objects of a program that is
 * linked with --wrap for the function (those that it is not linked so for do nothing), and not in shared
 * libraries.
 *
 * Who has more of them calls fails() there, and who needs its own in one's place says so by a macro. */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef MEMORY_COUNTER
#define allocations_left MEMORY_COUNTER
#else
static long allocations_left =
                -1; /* that succeed, before one fails; negative: all do; the least number: none */
#endif
static bool failed; /* set when one does */

static inline bool fails(void) {
        if (allocations_left != LONG_MIN && (allocations_left < 0 || allocations_left-- > 0))
                return false;

        failed = true;
        errno = ENOMEM;
        return true;
}

#define MEMORY_HOOK(result, name, nothing, parameters, ...)              \
        result __real_##name parameters __attribute__((weak));           \
        result __wrap_##name parameters;                                 \
                                                                         \
        result __wrap_##name parameters {                                \
                return fails() ? (nothing) : __real_##name(__VA_ARGS__); \
        }                                                                \
        struct _semicolon_wanted_

MEMORY_HOOK(void *, malloc, NULL, (size_t size), size);
MEMORY_HOOK(void *, calloc, NULL, (size_t n, size_t size), n, size);
MEMORY_HOOK(void *, realloc, NULL, (void *p, size_t size), p, size);
#ifndef MEMORY_OWN_REALLOCARRAY
MEMORY_HOOK(void *, reallocarray, NULL, (void *p, size_t n, size_t size), p, n, size);
#endif
MEMORY_HOOK(char *, strdup, NULL, (const char *s), s);
MEMORY_HOOK(int, vasprintf, -1, (char **ret, const char *format, va_list ap), ret, format, ap);
MEMORY_HOOK(FILE *, open_memstream, NULL, (char **ret, size_t *ret_size), ret, ret_size);
MEMORY_HOOK(DIR *, fdopendir, NULL, (int fd), fd);
MEMORY_HOOK(void *, tsearch, NULL, (const void *key, void **root, int (*order)(const void *, const void *)),
                key, root, order);

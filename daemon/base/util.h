/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What C lacks: owning locals that free themselves, ownership that leaves by name, and a few predicates.
 * Everything here is pure, so model/ may use it too. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(at, first) __attribute__((format(printf, at, first)))
#define _unused_ __attribute__((unused))

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Hands a pointer over: the variable that owned it is NULL afterwards, so its cleanup does nothing. */
#define TAKE_PTR(pointer)                                 \
        ({                                                \
                __typeof__(pointer) *_place = &(pointer); \
                __typeof__(pointer) _taken = *_place;     \
                *_place = NULL;                           \
                _taken;                                   \
        })

#define TAKE_FD(fd)                   \
        ({                            \
                int *_place = &(fd);  \
                int _taken = *_place; \
                *_place = -EBADF;     \
                _taken;               \
        })

/* Defines NAMEp() for _cleanup_(): calls NAME(), which must accept NULL. */
#define DEFINE_CLEANUP(type, name)                   \
        static inline void name##p(type *_pointer) { \
                if (*_pointer)                       \
                        name(*_pointer);             \
        }                                            \
        struct _semicolon_wanted_

static inline void freep(void *pointer) {
        free(*(void **) pointer);
}

/* Closes a descriptor, preserves errno, and returns what an empty one is: -EBADF. */
static inline int safe_close(int fd) {
        if (fd >= 0) {
                int saved = errno;

                (void) close(fd);
                errno = saved;
        }

        return -EBADF;
}

static inline void closep(int *fd) {
        *fd = safe_close(*fd);
}

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

static inline bool streq_ptr(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}

static inline bool isempty(const char *s) {
        return !s || s[0] == '\0';
}

static inline const char *strempty(const char *s) {
        return s ?: "";
}

/* Returns what follows @prefix in @s, or NULL if @s does not begin with it. */
static inline const char *startswith(const char *s, const char *prefix) {
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* Replaces an owned string by a copy of @s (NULL: by nothing). Return: 0; -ENOMEM, then nothing changed. */
static inline int free_and_strdup(char **place, const char *s) {
        char *copy = NULL;

        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }

        free(*place);
        *place = copy;
        return 0;
}

static inline void *free_null(void *p) {
        free(p);
        return NULL;
}

/* A NULL-terminated vector of strings, all of them allocated. */
static inline char **strv_free(char **v) {
        for (char **s = v; s && *s; s++)
                free(*s);
        free(v);
        return NULL;
}

DEFINE_CLEANUP(char **, strv_free);

/* Return: 0; -ENOMEM, then *ret is what it was. */
static inline int strv_copy(char *const *v, char ***ret) {
        _cleanup_(strv_freep) char **copy = NULL;
        size_t n = 0;

        while (v[n])
                n++;
        copy = calloc(n + 1, sizeof *copy);
        if (!copy)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                copy[i] = strdup(v[i]);
                if (!copy[i])
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(copy);
        return 0;
}

/* Makes room for one more element in a vector that doubles. Return: 0; -ENOMEM, then nothing changed. */
static inline int grow(void **vector, size_t *n_allocated, size_t n_needed, size_t element_size) {
        size_t n = MAX(*n_allocated, (size_t) 4);
        void *larger;

        if (n_needed <= *n_allocated)
                return 0;

        while (n < n_needed)
                n *= 2;

        larger = reallocarray(*vector, n, element_size);
        if (!larger)
                return -ENOMEM;

        *vector = larger;
        *n_allocated = n;
        return 0;
}

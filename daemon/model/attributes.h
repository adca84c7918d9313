/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The vendor attributes of a device: an ordered list of (name, value), duplicates allowed, because order and
 * repetition mean something to drivers (vfio-ap: "assign_adapter" twice is two adapters).
 *
 * One block of memory "name\0value\0name\0value\0": small at a hundred thousand definitions, compared by
 * memcmp(), and the same bytes on the way to a worker. */

#include <stdint.h>

#include "base/util.h"

typedef struct Attributes {
        char *data;
        uint32_t size; /* bytes used of @data */
        uint32_t n;    /* pairs */
} Attributes;

#define ATTRIBUTES_END UINT32_MAX /* as an index: behind the last, or for removal the last */

/* Borrows both strings until the list changes. */
#define FOREACH_ATTRIBUTE(name, value, attributes)                                                      \
        for (const char *name = (attributes)->data, *value = name ? strchr(name, '\0') + 1 : NULL;      \
                        name && name < (attributes)->data + (attributes)->size;                         \
                        name = strchr(value, '\0') + 1,                                                 \
                        value = name < (attributes)->data + (attributes)->size ? strchr(name, '\0') + 1 \
                                                                               : NULL)

void attributes_done(Attributes *a);

/**
 * attributes_insert() - put a pair in front of the one at @index
 * @index: 0 to the number of pairs, or ATTRIBUTES_END
 * @name, @value: copied; must be valid by model/name.h
 *
 * Return: 0; -EINVAL if @name or @value is not valid; -ERANGE if there is no such index; -EUSERS if a bound
 *         of model/name.h would be passed; -ENOMEM. On error nothing changed.
 */
int attributes_insert(Attributes *a, uint32_t index, const char *name, const char *value);

static inline int attributes_append(Attributes *a, const char *name, const char *value) {
        return attributes_insert(a, ATTRIBUTES_END, name, value);
}

/* Return: 0; -ERANGE if there is no such index, nothing changed. */
int attributes_remove(Attributes *a, uint32_t index);

/* Return: 0; -ENOMEM. On error @ret is untouched, on success it is overwritten, not freed. */
int attributes_copy(const Attributes *a, Attributes *ret);

static inline bool attributes_equal(const Attributes *a, const Attributes *b) {
        return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A UUID is 16 bytes here, in every comparison and as every key: the kernel's own key. Text exists at the
 * edges only, where any usual form is taken and one is given: lower case with dashes, as the kernel names
 * devices. */

#include <stdint.h>

#include "base/util.h"

typedef struct Uuid {
        uint8_t bytes[16];
} Uuid;

#define UUID_TEXT_SIZE 37 /* 36 characters and a NUL */

/**
 * uuid_from_text() - read a UUID in any textual form
 * @text: "8-4-4-4-12" hex digits, 32 digits, either in {braces} or behind "urn:uuid:", in any case
 * @ret:  the UUID; no version or variant bits are required
 *
 * Return: 0; -EINVAL, then @ret is untouched.
 */
int uuid_from_text(const char *text, Uuid *ret);

/* Like uuid_from_text(), but takes only the one form in which the kernel names devices. */
int uuid_from_canonical(const char *text, Uuid *ret);

/* Writes the canonical form. Return: @buffer. */
char *uuid_to_text(const Uuid *uuid, char buffer[static UUID_TEXT_SIZE]);

#define UUID_TEXT(uuid) uuid_to_text((uuid), (char[UUID_TEXT_SIZE]){})

/* A new random UUID (version 4). */
Uuid uuid_random(void);

static inline int uuid_order(const Uuid *a, const Uuid *b) {
        return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static inline bool uuid_equal(const Uuid *a, const Uuid *b) {
        return uuid_order(a, b) == 0;
}

/* A part of all UUIDs in their order. Borrowed; NULL: no such bound. */
typedef struct UuidRange {
        const Uuid *after; /* without this one */
        const Uuid *until; /* and with this one */
} UuidRange;

static inline bool uuid_is_in(const Uuid *uuid, const UuidRange *range) {
        return (!range->after || uuid_order(uuid, range->after) > 0) &&
                        (!range->until || uuid_order(uuid, range->until) <= 0);
}

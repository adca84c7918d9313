/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a value on the command line must be before it is worth asking the daemon. */

#include <stdint.h>

#include "model/name.h"

/* Whether it is a UUID as the daemon takes it: "8-4-4-4-12" hex digits, 32 digits, either in {braces} or
 * behind "urn:uuid:", in any case. */
bool text_is_uuid(const char *text);

/* And text_is_utf8(): whether it can be sent over D-Bus. */

/* Decimal digits, at most UINT32_MAX; in front there may be a plus. Return: 0; -EINVAL. */
int text_to_number(const char *text, uint32_t *ret);

/* Whether two texts that text_is_uuid() takes, or any others, name the same UUID. */
bool text_is_same_uuid(const char *a, const char *b);

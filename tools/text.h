/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a value on the command line must be before it is worth asking the daemon; for any text that is
 * text_is_utf8(), as it goes over D-Bus. */

#include <stdint.h>

#include "model/name.h"

/* Decimal digits, at most UINT32_MAX; in front there may be a plus. Return: 0; -EINVAL. */
int text_to_number(const char *text, uint32_t *ret);

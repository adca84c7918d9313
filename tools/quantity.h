/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Values on the command line that are counted, measured or chosen. */

#include <stdint.h>

#include "base/util.h"

/* "30", "0.5" → microseconds. Return: 0; -EINVAL. */
int quantity_seconds(const char *text, uint64_t *ret_usec);

/* Whether it is what Device.State says, or "absent" for a device that is not there. */
bool quantity_is_state(const char *text);

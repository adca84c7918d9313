/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the journal has about a device. */

#include "tools/value.h"

/* The last @n_max messages about a device, the oldest first, each with "time", "priority" and "message";
 * empty if there is no journal, or none that may be read. @uuid: in canonical form. NULL: no memory. */
json_object *journal_read(const char *uuid, size_t n_max);

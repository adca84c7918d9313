/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a value on the command line must be before it is worth asking the daemon. */

#include "base/util.h"

/* Whether it is a UUID as the daemon takes it: "8-4-4-4-12" hex digits, 32 digits, either in {braces} or
 * behind "urn:uuid:", in any case. */
bool text_is_uuid(const char *text);

/* Whether it can be sent over D-Bus. */
bool text_is_utf8(const char *text);

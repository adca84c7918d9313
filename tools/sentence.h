/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is known of a device, in words. */

#include "tools/value.h"

/* "auto", "manual"; "transient" without a definition */
const char *sentence_start(json_object *device);

/* Why it is not what it should be: what it waits for, what went wrong last. @ret: owned by the caller; NULL
 * if there is nothing to say. Return: 0; -ENOMEM. */
int sentence_trouble(json_object *device, char **ret);

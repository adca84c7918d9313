/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which process has a device of this host open. */

#include "tools/value.h"

/* @root: what stands for "/". @ret: an object with "pid" and "command"; NULL if it is nobody, or cannot be
 * seen by who asks. Return: 0; -ENOMEM. */
int usage_find(const char *root, const char *uuid, json_object **ret);

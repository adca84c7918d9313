/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* JSON text → json-c's values, as strictly as RFC 8259 has it. json-c takes more, even when it is strict
 * (NaN, 1e999, half a surrogate pair …); serde_json, by which mdevctl reads, does not, and one file that it
 * cannot read ends its list of all. Pure computation; never blocks. */

#include <json-c/json.h>

#include "base/util.h"

/* What is wrong with a text, and at which of its bytes. @what is static. */
typedef struct JsonFault {
        size_t offset;
        const char *what;
} JsonFault;

/**
 * json_read() - read one value
 * @text, @size: the text; need not end with a NUL, and none may be in it, nor in one of its strings
 * @depth_max:   of values within values
 * @ret:         owned by the caller; overwritten on success only. NULL for the text "null"
 * @ret_fault:   filled in on -EBADMSG
 *
 * Return: 0; -EBADMSG; -ENOMEM.
 */
int json_read(const char *text, size_t size, int depth_max, json_object **ret, JsonFault *ret_fault);

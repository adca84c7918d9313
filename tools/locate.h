/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where in a definition's text something is. */

#include "base/util.h"

typedef struct Position {
        size_t line, column; /* from 1; 0: nowhere */
} Position;

/* @reason: what codec_parse() says is wrong. Return: what of it is left to be said when the position is told
 * beside. */
const char *locate(const char *text, size_t size, const char *reason, Position *ret);

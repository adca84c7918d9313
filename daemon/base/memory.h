/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Remembers that memory could not be had, and when; for that itself none is needed. */

#include <stdint.h>

#include "base/util.h"

/* To be called with what came of something that needs memory, where nobody hears of it any more but a client,
 * or the journal: -ENOMEM is remembered. Return: @r. */
int memory_check(int r);

/* A piece of work that needs memory, and began at @began_usec of CLOCK_MONOTONIC, has been done. */
void memory_sufficed(uint64_t began_usec);

/* Whether memory is short: it could not be had, and since then it has sufficed for nothing; or that was so
 * moments ago, for what comes and goes is not over in between. @ret_since_usec: of CLOCK_REALTIME.
 * @ret_ago_usec: how long ago it was missing the last time. */
bool memory_is_short(uint64_t *ret_since_usec, uint64_t *ret_ago_usec);

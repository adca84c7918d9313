/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whose call is served next: each client's in turn, so that one with many waits behind itself and not before
 * all others. */

#include "bus/auth.h"

/* Calls of one client that wait behind its first, in bytes, without their headers. */
#define CALLS_SIZE_MAX (4U * 1024 * 1024)

typedef struct Turns Turns;

/* All method calls that come over @bus wait for their turn from now on.
 * @auth: borrowed for life. @calls_max: of one client; what comes beyond that is refused. */
int turns_new(Turns **ret, sd_bus *bus, const Auth *auth, unsigned calls_max);
Turns *turns_free(Turns *t);
DEFINE_CLEANUP(Turns *, turns_free);

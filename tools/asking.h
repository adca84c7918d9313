/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* ListDevices, however many there are. What one answer could not hold, or would be long to wait for, is asked
 * for in parts, several at a time: the daemon makes one while the bus carries another and a third is read.
 * Each part is as it was when the daemon made it. */

#include "tools/devices.h"

typedef struct AskingFilter {
        const char *uuid, *parent, *state; /* NULL: any; borrowed until the end */
        bool active, defined;              /* false: those that are not, too */
        DevicesHow how;
} AskingFilter;

typedef struct Asking Asking;

/* Sends the first question. @bus: borrowed until the end. Return: 0; a negative errno, then the reason was
 * told. */
int asking_begin(sd_bus *bus, const AskingFilter *filter, Asking **ret);
Asking *asking_free(Asking *a);
DEFINE_CLEANUP(Asking *, asking_free);

/* Adds what the daemon answers to those there are. Return: 0; a negative errno, then the reason was told. */
int asking_finish(Asking *a, Devices *devices);

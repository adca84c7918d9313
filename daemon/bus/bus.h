/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon on the bus: its objects, and the signals that tell of changes. */

#include <systemd/sd-bus.h>

#include "core/manager.h"

typedef struct Bus Bus;

typedef struct BusLimits {
        unsigned calls_per_client_max; /* under way */
        unsigned authorizations_max;   /* questions to polkit, pending */
        unsigned authorizations_per_user_max;
} BusLimits;

/* Connects to the system bus (DBUS_SYSTEM_BUS_ADDRESS) and registers the objects; nobody can address them by
 * name yet.
 * @manager: borrowed for life. Logs its own errors. */
int bus_new(Bus **ret, sd_event *event, Manager *manager, const BusLimits *limits);
Bus *bus_free(Bus *b);
DEFINE_CLEANUP(Bus *, bus_free);

/* @ok: the name is ours, and clients come; else it could not be had, which has been logged. */
typedef void (*BusReply)(bool ok, void *userdata);

/* Begins to tell changes, and takes the name: @reply is told once, from the loop. One who has the name yet,
 * such as a daemon that has ended and the bus has not noticed, is waited for, but not for long. Logs its own
 * errors.
 */
int bus_announce(Bus *b, BusReply reply, void *userdata);

/* Sends what is still to be sent. */
void bus_flush(Bus *b);

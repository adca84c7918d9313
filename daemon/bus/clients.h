/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many calls of each client are under way, so that one cannot take all the room. */

#include <systemd/sd-bus.h>

#include "base/util.h"

typedef struct Clients Clients;

int clients_new(Clients **ret, unsigned calls_max);
Clients *clients_free(Clients *c);
DEFINE_CLEANUP(Clients *, clients_free);

/* Counts a call of the message's sender. Return: 0; a negative errno with @error set if it has too many
 * already. */
int clients_enter(Clients *c, sd_bus_message *message, sd_bus_error *error);

/* Sets the error that goes with it. Return: a negative errno. */
int too_many_calls(unsigned limit, sd_bus_error *error);

/* The call is answered. */
void clients_leave(Clients *c, sd_bus_message *message);

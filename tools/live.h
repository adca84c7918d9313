/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The attributes that active devices have now, which only call-out scripts can tell. */

#include "tools/devices.h"

/**
 * live_set_attributes() - put them in place of those of the definitions
 * @bus: NULL: nobody can be asked, so there are none
 *
 * Where there are no scripts none are asked for: each question takes a process. What cannot be told is no
 * error, but if a script fails that is told.
 */
void live_set_attributes(sd_bus *bus, Devices *devices);

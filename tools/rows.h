/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* list --json. */

#include "tools/devices.h"

/* Return: 0; a negative errno, then the reason was told. */
int rows_write(const Devices *devices, DevicesWhich which);

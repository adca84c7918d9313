/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What can be known without a daemon: sysfs and the definition files, of this host or below a directory that
 * stands for its root. Read with the daemon's own code, so that nothing is understood differently. */

#include "tools/devices.h"
#include "tools/value.h"

/* The value of --root; else that of MDEVCTL_ENV_ROOT, which is what a daemon on another bus serves; or "/".
 */
#define OFFLINE_ROOT(a) offline_root(arguments_get((a), OPTION_ROOT))
const char *offline_root(const char *option);

/* All of these: a new JSON array, owned by the caller. Return: 0; a negative errno, then the reason was told.
 */

/* Each file where a definition should be: "path", "file_name", and "parent", "uuid", "type", "autostart",
 * "attributes"; or instead of these five "message", with "line" and "column" where there is a position. */
int offline_read_definitions(const char *root, json_object **ret);

/* What lives: "uuid", "parent", "type", "state". */
int offline_read_living(const char *root, json_object **ret);

/* Parents that are there: "parent", "types", the latter as the daemon's objects have them. @only: a name;
 * NULL: all. Reading types enters the drivers. */
int offline_read_parents(const char *root, const char *only, json_object **ret);

/* As devices_read(). */
int offline_read_devices(
                const char *root, DevicesWhich which, const char *uuid, const char *parent, Devices *ret);

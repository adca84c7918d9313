#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A device for good, in one call: created now, defined, and started with its parent from now on. Prints its UUID.
# Usage: create-define-autostart.sh PARENT TYPE [UUID]       The parent may be "": the one with most room is taken.

set -eu

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    sed -n '4,5s/^# //p' "$0" >&2
    exit 2
fi

# No limit: the reply comes when the driver is done. If anything fails, nothing is left behind.
reply=$(busctl --timeout=infinity call org.mdevd1 /org/mdevd1 org.mdevd1.Manager \
    Create 'sssa(ss)a{sv}' "${3-}" "$1" "$2" 0 2 define b true autostart b true)

echo "$reply" | cut -d '"' -f 2

#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Creates as many transient devices of a type as a parent has room for, all at once, and prints their UUIDs.
# Usage: fill-parent.sh PARENT TYPE

set -eu

if [ $# -ne 2 ]; then
    sed -n '4,5s/^# //p' "$0" >&2
    exit 2
fi

call() {
    busctl --timeout=infinity call org.mdevd1 /org/mdevd1 org.mdevd1.Manager "$@"
}

# A row of types is: parent, type, name, device API, description, instances left.
types=$(call ListTypes s "$1")
string='"([^"\\]|\\.)*"'
left=$(printf '%s\n' "$types" | grep -oE "$string \"$2\" $string $string $string [0-9]+" | sed 's/.* //')

# Side by side: no creation waits for another one. Who else creates meanwhile may leave less room than was told.
pids=
for _ in $(seq "${left:-0}"); do
    { reply=$(call Create 'sssa(ss)a{sv}' "" "$1" "$2" 0 0) && echo "$reply" | cut -d '"' -f 2; } &
    pids="$pids $!"
done

status=0
for pid in $pids; do
    wait "$pid" || status=1
done
exit $status

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is believed of an event's properties: subsystem and name, one in each line; one that is not there is
 * given by a line that begins with "-". */

#include "fuzz/fuzz.h"
#include "host/monitor.h"
#include "model/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = fuzz_text(data, size);
        const char *subsystem, *sysname;
        bool of_mdev, is_device;
        char *rest = text;
        MonitorEvent e;
        Uuid uuid;

        memset(&e, 0xa5, sizeof e);
        subsystem = strsep(&rest, "\n");
        sysname = !rest || rest[0] == '-' ? NULL : rest;
        if (subsystem[0] == '-')
                subsystem = NULL;
        monitor_classify(subsystem, sysname, &e);

        of_mdev = subsystem && streq(subsystem, "mdev");
        is_device = of_mdev && sysname && uuid_from_canonical(sysname, &uuid) == 0;
        switch (e.kind) {
        case MONITOR_DEVICE:
                ASSERT(is_device && uuid_equal(&uuid, &e.uuid));
                ASSERT(streq(UUID_TEXT(&e.uuid), sysname));
                ASSERT(e.name[0] == '\0');
                break;
        case MONITOR_PARENT:
                ASSERT(!of_mdev && parent_name_is_valid(sysname));
                ASSERT(streq(e.name, sysname));
                break;
        case MONITOR_NOTHING:
                ASSERT(!is_device && (of_mdev || !sysname || !parent_name_is_valid(sysname)));
                break;
        case MONITOR_OVERFLOW:
                ASSERT(!"only the socket knows");
        }
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Devices that were there before this daemon: which of them are ours, and were they ever finished? The
 * records that workers leave (host/record.h) tell. */

#include "api/mdevd-messages.h"
#include "base/log.h"
#include "core/manager-private.h"
#include "host/record.h"
#include "host/sysfs.h"

/* Of one that is only coming it is not known yet. */
static bool is_there(const Device *d) {
        return d->seen == PRESENCE_PRESENT || d->seen == PRESENCE_LEAVING || d->seen == PRESENCE_ORPHAN;
}

/* Whether a device that is there is one of ours, and whether whoever made it got to the end. */
void recognise_device(Manager *m, const Uuid *uuid) {
        const Device *d = registry_find(m->registry, uuid);
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        const LogField fields[] = {
                { "MDEVD_UUID", UUID_TEXT(uuid) },
                { "MDEVD_PARENT", d && d->parent ? d->parent->name : NULL },
                { "MDEVD_TYPE", d ? d->type : NULL },
                {},
        };
        Record record;

        if (!d || !is_there(d) || !d->path || d->op_kind == OPERATION_CREATE ||
                        record_read(m->record_fd, uuid, &record) < 0)
                return;
        if (record.whole && record.life != sysfs_life(m->sys_fd, d->path)) {
                record_remove(m->record_fd, uuid);
                return;
        }

        registry_set_origin(m->registry, uuid, ORIGIN_MDEVD);
        if (record.whole || d->seen != PRESENCE_PRESENT || d->op_kind == OPERATION_REMOVE ||
                        (d->error && d->error->kind == FAILURE_INCOMPLETE))
                return;
        (void) failure_set(&f, FAILURE_INCOMPLETE, 0, NULL, NULL);
        (void) failure_set_device(&f, uuid, d->parent->name, d->type);
        registry_set_error(m->registry, uuid, &f);
        log_event(LOG_WARNING, MDEVD_MESSAGE_INCOMPLETE, fields,
                        "Device %s on %s was left half made: its creation was cut off. Stop it and start it again.",
                        UUID_TEXT(uuid), d->parent->name);
}

void recognise_all(Manager *m) {
        _cleanup_(freep) Device **devices = NULL;
        size_t n = 0;

        (void) registry_list(m->registry, &devices, &n);
        for (size_t i = 0; i < n; i++)
                if (devices[i]->seen != PRESENCE_ABSENT)
                        recognise_device(m, &devices[i]->uuid);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What one look at sysfs saw of one device: a value. host/sysfs makes it, model/registry draws the
 * conclusions. */

#include "base/util.h"

/* All that a look can tell. "link" is /sys/bus/mdev/devices/<uuid>, "directory" is <parent>/<uuid>. The order
 * in which the kernel makes and removes these is in drivers/vfio/mdev/mdev_core.c: mdev_device_create() and
 * mdev_device_remove(). */
typedef enum Presence {
        PRESENCE_ABSENT,   /* no link, no directory */
        PRESENCE_ARRIVING, /* link, but not yet the link mdev_type: the driver's probe is running */
        PRESENCE_PRESENT,  /* link, mdev_type, remove */
        PRESENCE_LEAVING,  /* directory without link: a removal waits until somebody closes the device */
        PRESENCE_ORPHAN,   /* link and mdev_type, but remove is gone for good */
        PRESENCE_UNKNOWN,  /* the look itself failed */
        _PRESENCE_MAX,
} Presence;

typedef struct Sighting {
        Presence presence;
        int iommu_group; /* -1: none, or not there (yet) */
        char *parent;    /* name; NULL if absent or unknown */
        char *path; /* the device's directory as the kernel names it, "/sys/devices/…"; NULL if absent */
        char *type; /* NULL unless mdev_type could be read */
} Sighting;

#define SIGHTING_INIT ((Sighting){ .presence = PRESENCE_UNKNOWN, .iommu_group = -1 })

static inline void sighting_done(Sighting *s) {
        free(s->parent);
        free(s->path);
        free(s->type);
        *s = SIGHTING_INIT;
}

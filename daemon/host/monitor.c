/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Parents belong to any subsystem, so nothing but a tag finds them: units/60-mdevd.rules gives it to whatever
 * has had an MDEV_STATE, and to mdevs. It sticks, so a parent's bind, unbind and remove arrive as well. The
 * source is "udev" and not "kernel", because by then links and permissions are there. */

#include <libudev.h>

#include "host/monitor.h"
#include "model/name.h"

#define MONITOR_TAG "mdevd"

/* Room for some ten thousand events while the daemon is busy elsewhere; what does not fit is an overflow,
 * which is dealt with. Needs CAP_NET_ADMIN; without it the system's default size is what there is. */
#define MONITOR_BUFFER_SIZE (16 * 1024 * 1024)

struct Monitor {
        struct udev *udev;
        struct udev_monitor *monitor;
};

DEFINE_CLEANUP(struct udev_device *, udev_device_unref);

void monitor_classify(const char *subsystem, const char *sysname, MonitorEvent *ret) {
        *ret = (MonitorEvent){ .kind = MONITOR_NOTHING };

        if (!sysname)
                return;

        if (streq_ptr(subsystem, "mdev")) {
                if (uuid_from_canonical(sysname, &ret->uuid) >= 0)
                        ret->kind = MONITOR_DEVICE;
        } else if (parent_name_is_valid(sysname)) {
                strcpy(ret->name, sysname);
                ret->kind = MONITOR_PARENT;
        }
}

int monitor_new(Monitor **ret) {
        _cleanup_(monitor_freep) Monitor *m = calloc(1, sizeof *m);
        int r;

        if (!m)
                return -ENOMEM;

        m->udev = udev_new();
        if (!m->udev)
                return -errno;
        m->monitor = udev_monitor_new_from_netlink(m->udev, "udev");
        if (!m->monitor)
                return errno > 0 ? -errno : -ENOMEM;

        (void) udev_monitor_set_receive_buffer_size(m->monitor, MONITOR_BUFFER_SIZE);
        r = udev_monitor_filter_add_match_tag(m->monitor, MONITOR_TAG);
        if (r < 0)
                return r;
        r = udev_monitor_enable_receiving(m->monitor);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(m);
        return 0;
}

Monitor *monitor_free(Monitor *m) {
        if (!m)
                return NULL;

        if (m->monitor)
                (void) udev_monitor_unref(m->monitor);
        if (m->udev)
                (void) udev_unref(m->udev);
        free(m);
        return NULL;
}

int monitor_fd(const Monitor *m) {
        return udev_monitor_get_fd(m->monitor);
}

int monitor_receive(Monitor *m, MonitorEvent *ret) {
        _cleanup_(udev_device_unrefp) struct udev_device *device = NULL;

        errno = 0;
        device = udev_monitor_receive_device(m->monitor);
        if (!device) {
                /* EAGAIN: nothing there, or nothing that passed the filter. */
                if (errno != ENOBUFS)
                        return 0;
                *ret = (MonitorEvent){ .kind = MONITOR_OVERFLOW };
                return 1;
        }

        monitor_classify(udev_device_get_subsystem(device), udev_device_get_sysname(device), ret);
        return 1;
}

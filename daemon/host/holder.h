/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who has a device open. Reads /proc of all processes, which takes its time: workers only.
 *
 * What counts is a descriptor of the vfio device. One of the group alone does not: it keeps nobody from
 * removing the device, and libvirt holds one of its own while it has the device stopped. */

#include <sys/types.h>

#include "model/sighting.h"

typedef struct Holder {
        pid_t pid;     /* 0: somebody, but who cannot be seen */
        char comm[64]; /* of the process; "" likewise */
        int group_fd;  /* of a device that nobody has open: keeps others from opening it until it is closed;
                          -EBADF */
} Holder;

#define HOLDER_INIT ((Holder){ .group_fd = -EBADF })

void holder_done(Holder *h);

/**
 * holder_find() - find out whether a device is in use
 * @root_fd: "/" or what stands for it
 * @seen:    the device, with its path and group
 *
 * Return: 1 it is in use, and @ret says by whom; 0 it is not; a negative errno: it cannot be found out.
 */
int holder_find(int root_fd, const Sighting *seen, Holder *ret);

/* Only looks at the processes, and so is no hindrance to anybody who is about to open the device: for
 * showing. Return: 1 a process was seen, and @ret says which; 0 none was, or none that may be looked at; a
 * negative errno. */
int holder_look(int root_fd, const Sighting *seen, Holder *ret);

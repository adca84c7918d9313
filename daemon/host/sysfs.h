/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Looks at the kernel's mdev interface in sysfs: readlink, stat and readdir, which never call a driver and
 * never block, so that the daemon's main loop may use them. What enters a driver is in host/driver.h.
 *
 * All take a descriptor of the directory "/sys", or of its stand-in below --root. */

#include "model/parent.h"
#include "model/sighting.h"
#include "model/uuid.h"

/* Longer than any path below /sys that the kernel makes; one that is longer still is treated as not there. */
#define SYSFS_PATH_MAX 1024U

/**
 * sysfs_probe() - see what there is of a device
 * @sys_fd: "/sys"
 * @path:   where the device was last ("/sys/devices/…"), or NULL: how one that is leaving is found, which no
 * list of devices has any more
 * @ret:    freed and overwritten; PRESENCE_UNKNOWN if the look failed
 *
 * PRESENCE_ORPHAN is also what the first microseconds of a removal look like; who did not just end an
 * operation on the device should look a second time before believing it.
 *
 * Return: 0; -ENOMEM; another errno of the look itself, with PRESENCE_UNKNOWN.
 */
int sysfs_probe(int sys_fd, const Uuid *uuid, const char *path, Sighting *ret);

/* The same for a parent; one that is not there is not an error. */
int sysfs_probe_parent(int sys_fd, const char *name, ParentSighting *ret);

/* Lists; what does not exist (no mdev core loaded, no parent yet) is an empty list. @ret: free() or
 * strv_free(). */
int sysfs_list_devices(int sys_fd, Uuid **ret, size_t *ret_n);
int sysfs_list_parents(int sys_fd, char ***ret);

/* UUID-shaped directories of the parent at @path ("/sys/devices/…"): also what is leaving. */
int sysfs_list_children(int sys_fd, const char *path, Uuid **ret, size_t *ret_n);

/* The type names of a parent, without reading what they are. @ret: strv_free(). Return: 0; an errno. */
int sysfs_list_types(int sys_fd, const char *parent, char ***ret);

/* Other parents that are functions of the same physical card (SR-IOV: "physfn", "virtfn*"), whose capacity
 * changes with this one's. @ret: strv_free(), NULL if there are none. Return: 0; an errno. */
int sysfs_list_siblings(int sys_fd, const char *parent, char ***ret);

/* Whether @directory (relative to /sys) has an entry @name, be it a dangling link. */
bool sysfs_exists(int sys_fd, const char *directory, const char *name);

/* What tells the device at @path ("/sys/devices/…") from an earlier or later one of the same UUID. Return: 0
 * if it is not there. */
uint64_t sysfs_life(int sys_fd, const char *path);

/* The path, relative to /sys, of @parent. Return: 0; -EINVAL if what is there is no link of the kernel's; an
 * errno of readlink(2). */
int sysfs_parent_path(int sys_fd, const char *parent, char ret[static SYSFS_PATH_MAX]);

/* The path, relative to /sys, of @parent's device @uuid. Return: 0; -ENODEV if it is not listed on the bus;
 * -ESTALE if it is another parent's; an errno of readlink(2). */
int sysfs_device_path(int sys_fd, const char *parent, const Uuid *uuid, char ret[static SYSFS_PATH_MAX]);

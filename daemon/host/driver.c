/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Nothing here can be interrupted or timed out: "create" runs the vendor's probe inside write(2), and
 * "remove" waits in it until the last user of the device closes it. What an errno meant is found out
 * afterwards, where one means several things; what state the device is in is not said here at all, a look at
 * sysfs says it. */

#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "host/driver.h"
#include "host/sysfs.h"
#include "model/name.h"

#define TYPE_ATTRIBUTE_MAX 65536U /* sysfs gives a page; the pages of some architectures are large */

static int type_order(const void *a, const void *b) {
        return strcmp(((const Type *) a)->name, ((const Type *) b)->name);
}

/* Into @value, with a NUL. One read(2), as sysfs gives it: all of it at once, and it is the kernel's, so what
 * else a name may stand for is no question. Return: its size; a negative errno. */
static ssize_t read_attribute(int sys_fd, const char *path, char value[static TYPE_ATTRIBUTE_MAX]) {
        _cleanup_(closep) int fd = -EBADF;
        ssize_t n;

        fd = openat(sys_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        n = read(fd, value, TYPE_ATTRIBUTE_MAX - 1);
        if (n < 0)
                return -errno;
        if (n == TYPE_ATTRIBUTE_MAX - 1)
                return -EFBIG;
        value[n] = '\0';
        return memchr(value, '\0', (size_t) n) ? -EBADMSG : n;
}

/* One attribute of a type, white space trimmed; "" if it cannot be read or is not text that D-Bus could
 * carry. */
static int read_type_attribute(
                int sys_fd, const char *parent, const char *type, const char *name, char **ret) {
        char path[SYSFS_PATH_MAX], value[TYPE_ATTRIBUTE_MAX];
        ssize_t n;

        (void) snprintf(path, sizeof path, "class/mdev_bus/%s/mdev_supported_types/%s/%s", parent, type,
                        name);
        n = read_attribute(sys_fd, path, value);
        if (n < 0 || !text_is_utf8(value))
                return free_and_strdup(ret, "");

        while (n > 0 && strchr(" \t\n", value[n - 1]))
                value[--n] = '\0';
        return free_and_strdup(ret, value + strspn(value, " \t\n"));
}

static int read_type(int sys_fd, const char *parent, Type *t) {
        _cleanup_(freep) char *available = NULL;
        unsigned long n;

        if (read_type_attribute(sys_fd, parent, t->name, "name", &t->label) < 0 ||
                        read_type_attribute(sys_fd, parent, t->name, "device_api", &t->device_api) < 0 ||
                        read_type_attribute(sys_fd, parent, t->name, "description", &t->description) < 0 ||
                        read_type_attribute(sys_fd, parent, t->name, "available_instances", &available) < 0)
                return -ENOMEM;

        /* Some drivers have said -1 when they meant none. */
        n = available[0] == '-' ? 0 : strtoul(available, NULL, 10);
        t->available_instances = (uint32_t) MIN(n, (unsigned long) UINT32_MAX);
        return 0;
}

int driver_read_types(int sys_fd, const char *parent, Types *ret) {
        _cleanup_(types_done) Types types = {};
        _cleanup_(strv_freep) char **names = NULL;
        size_t n = 0;
        int r;

        if (!parent_name_is_valid(parent) || !sysfs_exists(sys_fd, "class/mdev_bus", parent))
                return -ENOENT;
        r = sysfs_list_types(sys_fd, parent, &names);
        if (r < 0)
                return r;
        while (names[n])
                n++;

        types.types = calloc(MAX(n, (size_t) 1), sizeof *types.types);
        if (!types.types)
                return -ENOMEM;
        for (types.n = 0; types.n < n; types.n++)
                types.types[types.n].name = TAKE_PTR(names[types.n]);
        qsort(types.types, types.n, sizeof *types.types, type_order);

        for (size_t i = 0; i < types.n; i++) {
                r = read_type(sys_fd, parent, &types.types[i]);
                if (r < 0)
                        return r;
        }

        *ret = types;
        types = (Types){};
        return 0;
}

static bool type_is_full(int sys_fd, const char *parent, const char *type) {
        _cleanup_(freep) char *available = NULL;

        return read_type_attribute(sys_fd, parent, type, "available_instances", &available) >= 0 &&
                        (available[0] == '-' || streq(available, "0"));
}

/* What an errno of "create" means; drivers use one for many things, so a second look helps. */
static int explain_create(int sys_fd, const char *parent, const char *type, int error, Failure *f) {
        char directory[SYSFS_PATH_MAX];

        switch (error) {
        case EEXIST:
                return failure_set(f, FAILURE_EXISTS_IN_KERNEL, error, NULL, NULL);

        case ENOSPC:
        case EUSERS:
                return failure_set(f, FAILURE_NO_CAPACITY, error, NULL, NULL);

        case ENOMEM: /* mdpy, mbochs */
        case EPERM:  /* vfio_ap, vfio_ccw before Linux 6.1 */
                if (type_is_full(sys_fd, parent, type))
                        return failure_set(f, FAILURE_NO_CAPACITY, error, NULL, NULL);
                break;

        case ENOENT:
        case ENODEV:
        case ENOTDIR:
                if (!sysfs_exists(sys_fd, "class/mdev_bus", parent))
                        return failure_set(f, FAILURE_PARENT_ABSENT, 0, NULL, NULL);
                (void) snprintf(directory, sizeof directory, "class/mdev_bus/%s/mdev_supported_types",
                                parent);
                if (!sysfs_exists(sys_fd, directory, type))
                        return failure_set(f, FAILURE_NO_SUCH_TYPE, 0, NULL, NULL);
                break;

        default:
                break;
        }

        return failure_set(f, FAILURE_KERNEL, error, "create", NULL);
}

/* One write of the exact bytes, as sysfs wants it; a short one is an error. */
static int write_once(int fd, const char *data, size_t size) {
        ssize_t n = write(fd, data, size);

        if (n < 0)
                return -errno;
        return (size_t) n == size ? 0 : -EIO;
}

/* Opens what a path leads to, which has neither ".." nor an empty component, and no component of which may be
 * a link: what is written to is where the kernel says that it is, whatever is done to the way meanwhile. By
 * hand: openat2(2), which knows RESOLVE_NO_SYMLINKS, is what RestrictSUIDSGID= takes away. */
static int open_without_links(int at_fd, const char *path, int flags) {
        _cleanup_(closep) int directory_fd = -EBADF;
        int fd;

        for (size_t n; path[n = strcspn(path, "/")] != '\0'; path += n + 1) {
                char component[NAME_LENGTH_MAX + 1];

                if (n > NAME_LENGTH_MAX)
                        return -ENAMETOOLONG;
                memcpy(component, path, n);
                component[n] = '\0';
                fd = openat(at_fd, component, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0)
                        return -errno;
                (void) safe_close(directory_fd);
                at_fd = directory_fd = fd;
        }

        fd = openat(at_fd, path, flags | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

static int open_to_write(int at_fd, const char *path) {
        return open_without_links(at_fd, path, O_WRONLY | O_NOCTTY);
}

static int open_create(int sys_fd, const char *parent, const char *type) {
        char path[SYSFS_PATH_MAX], file[SYSFS_PATH_MAX + NAME_LENGTH_MAX + 64];
        int r;

        r = sysfs_parent_path(sys_fd, parent, path);
        if (r < 0)
                return r;

        (void) snprintf(file, sizeof file, "%s/mdev_supported_types/%s/create", path, type);
        return open_to_write(sys_fd, file);
}

int driver_create(int sys_fd, const char *parent, const char *type, const Uuid *uuid, Failure *f) {
        _cleanup_(closep) int fd = -EBADF;
        char text[UUID_TEXT_SIZE];
        int r;

        if (!parent_name_is_valid(parent) || !type_name_is_valid(type))
                return explain_create(sys_fd, parent, type, ENOENT, f);

        fd = open_create(sys_fd, parent, type);
        if (fd < 0)
                return explain_create(sys_fd, parent, type, -fd, f);

        r = write_once(fd, uuid_to_text(uuid, text), UUID_TEXT_SIZE - 1);
        return r < 0 ? explain_create(sys_fd, parent, type, -r, f) : 0;
}

/* The directory of @parent's device @uuid, or -ENODEV; -ESTALE if it has another parent. */
static int open_device(int sys_fd, const char *parent, const Uuid *uuid) {
        char path[SYSFS_PATH_MAX];
        int r;

        r = sysfs_device_path(sys_fd, parent, uuid, path);
        if (r < 0)
                return r;

        r = open_without_links(sys_fd, path, O_PATH | O_DIRECTORY);
        return r == -ENOENT ? -ENODEV : r;
}

/* The want of memory of open_device() is not the kernel's. */
static int fail_open(int error, const char *what, Failure *f) {
        return failure_set(f, error == -ENOMEM ? FAILURE_NO_MEMORY : FAILURE_KERNEL, error, what, NULL);
}

static int write_attribute(int device_fd, const char *name, const char *value) {
        _cleanup_(closep) int fd = -EBADF;

        if (!attribute_name_is_valid(name))
                return -EINVAL;

        fd = open_to_write(device_fd, name);
        return fd < 0 ? fd : write_once(fd, value, strlen(value));
}

int driver_write_attributes(
                int sys_fd, const char *parent, const Uuid *uuid, const Attributes *attributes, Failure *f) {
        _cleanup_(closep) int device_fd = -EBADF;
        uint32_t index = 0;

        if (attributes->n == 0)
                return 0;

        device_fd = open_device(sys_fd, parent, uuid);
        if (device_fd < 0)
                return fail_open(device_fd, "set the attributes of", f);

        FOREACH_ATTRIBUTE(name, value, attributes) {
                int r = write_attribute(device_fd, name, value);

                if (r < 0) {
                        f->index = index;
                        return failure_set(f, FAILURE_ATTRIBUTE, r, name, NULL);
                }
                index++;
        }

        return 0;
}

int driver_remove(int sys_fd, const char *parent, const Uuid *uuid, Failure *f) {
        _cleanup_(closep) int device_fd = -EBADF, fd = -EBADF;
        int r;

        device_fd = open_device(sys_fd, parent, uuid);
        if (device_fd == -ENODEV)
                return -ENODEV;
        if (device_fd == -ESTALE)
                return failure_set(f, FAILURE_CHANGED_MEANWHILE, 0, NULL, NULL);
        if (device_fd < 0)
                return fail_open(device_fd, "remove", f);

        /* Missing: somebody else is removing it, or nobody ever can; the look that follows tells which. */
        fd = open_to_write(device_fd, "remove");
        if (fd < 0)
                return failure_set(f, FAILURE_KERNEL, fd, "remove", NULL);

        r = write_once(fd, "1", 1);
        /* Kernels before 5.2 let a driver refuse while somebody has the device open. */
        if (r == -EBUSY)
                return failure_set(f, FAILURE_IN_USE, r, NULL, NULL);
        return r < 0 ? failure_set(f, FAILURE_KERNEL, r, "remove", NULL) : 0;
}

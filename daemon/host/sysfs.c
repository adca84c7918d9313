/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Order matters here, and it is the kernel's: mdev_device_create() in drivers/vfio/mdev/mdev_core.c makes the
 * directory with "remove", then runs the driver's probe, then makes the links "mdev_type" and
 * "<type>/devices/<uuid>", then calls the device active; remove_store() in mdev_sysfs.c takes "remove" away
 * first of all and does not put it back. So "remove" without "mdev_type" is a device on its way in,
 * "mdev_type" without "remove" one that nobody can remove any more, and a directory that the bus does not
 * list one on its way out. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "host/sysfs.h"
#include "model/name.h"

#define SYSFS_SMALL_MAX 65536U /* a page, of whatever size, is what sysfs says each file has */

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

static const char *basename_of(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

/* The last component of what a link points to. Return: 0; an errno of readlinkat(2). */
static int read_link_name(int sys_fd, const char *path, char **ret) {
        char target[SYSFS_PATH_MAX];
        ssize_t n = readlinkat(sys_fd, path, target, sizeof target - 1);
        char *name;

        if (n < 0)
                return -errno;
        target[n] = '\0';

        name = strdup(basename_of(target));
        if (!name)
                return -ENOMEM;
        free(*ret);
        *ret = name;
        return 0;
}

/* What a link below /sys points to, as a path relative to /sys. The kernel's links are all of the form
 * "../../devices/…"; anything else is not believed. */
static int read_link_path(int sys_fd, const char *path, char ret[static SYSFS_PATH_MAX]) {
        char target[SYSFS_PATH_MAX];
        ssize_t n = readlinkat(sys_fd, path, target, sizeof target - 1);
        const char *p = target;

        if (n < 0)
                return -errno;
        target[n] = '\0';
        while (startswith(p, "../"))
                p += 3;
        if (!startswith(p, "devices/") || strstr(p, "/../"))
                return -EINVAL;

        strcpy(ret, p);
        return 0;
}

int sysfs_parent_path(int sys_fd, const char *parent, char ret[static SYSFS_PATH_MAX]) {
        char link[SYSFS_PATH_MAX];

        (void) snprintf(link, sizeof link, "class/mdev_bus/%s", parent);
        return read_link_path(sys_fd, link, ret);
}

bool sysfs_exists(int sys_fd, const char *directory, const char *name) {
        char path[SYSFS_PATH_MAX];
        struct stat st;

        return snprintf(path, sizeof path, "%s/%s", directory, name) < (int) sizeof path &&
                        fstatat(sys_fd, path, &st, AT_SYMLINK_NOFOLLOW) >= 0;
}

uint64_t sysfs_life(int sys_fd, const char *path) {
        struct stat st;

        return startswith(path, "/sys/") &&
                                        fstatat(sys_fd, path + strlen("/sys/"), &st, AT_SYMLINK_NOFOLLOW) >= 0
                        ? st.st_ino
                        : 0;
}

static bool is_directory_at(int sys_fd, const char *path) {
        struct stat st;

        return fstatat(sys_fd, path, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISDIR(st.st_mode);
}

/* Parent's name and whole path of the device at @path ("devices/…/<parent>/<uuid>"). */
static int sighting_set_place(Sighting *s, const char *path) {
        _cleanup_(freep) char *whole = NULL, *parent = NULL;
        const char *end = strrchr(path, '/'), *begin = end;

        if (!end)
                return -EINVAL;
        while (begin > path && begin[-1] != '/')
                begin--;

        parent = strndup(begin, (size_t) (end - begin));
        if (!parent || asprintf(&whole, "/sys/%s", path) < 0)
                return -ENOMEM;

        free(s->parent);
        free(s->path);
        s->parent = TAKE_PTR(parent);
        s->path = TAKE_PTR(whole);
        return 0;
}

/* Return: 0; -EAGAIN if the device went while it was looked at. */
static int probe_listed(int sys_fd, const char *path, Sighting *s) {
        char link[SYSFS_PATH_MAX + NAME_LENGTH_MAX];
        _cleanup_(freep) char *group = NULL;
        int r;

        r = sighting_set_place(s, path);
        if (r < 0)
                return r;

        (void) snprintf(link, sizeof link, "%s/iommu_group", path);
        r = read_link_name(sys_fd, link, &group);
        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                s->iommu_group = atoi(group);

        (void) snprintf(link, sizeof link, "%s/mdev_type", path);
        r = read_link_name(sys_fd, link, &s->type);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                s->presence = PRESENCE_ARRIVING;
                return is_directory_at(sys_fd, path) ? 0 : -EAGAIN;
        }

        s->presence = sysfs_exists(sys_fd, path, "remove") ? PRESENCE_PRESENT : PRESENCE_ORPHAN;
        return 0;
}

static int probe_once(int sys_fd, const Uuid *uuid, const char *last_path, Sighting *s) {
        char link[64], path[SYSFS_PATH_MAX];
        int r;

        (void) snprintf(link, sizeof link, "bus/mdev/devices/%s", UUID_TEXT(uuid));
        r = read_link_path(sys_fd, link, path);
        if (r >= 0) {
                r = probe_listed(sys_fd, path, s);
                /* Gone from the bus since: not arriving or an orphan, but removed under our eyes. */
                if (r >= 0 && s->presence != PRESENCE_PRESENT && read_link_path(sys_fd, link, path) < 0)
                        r = -EAGAIN;
                return r;
        }
        if (r != -ENOENT)
                return r;

        if (last_path && startswith(last_path, "/sys/") &&
                        is_directory_at(sys_fd, last_path + strlen("/sys/"))) {
                s->presence = PRESENCE_LEAVING;
                return sighting_set_place(s, last_path + strlen("/sys/"));
        }

        s->presence = PRESENCE_ABSENT;
        return 0;
}

int sysfs_probe(int sys_fd, const Uuid *uuid, const char *last_path, Sighting *ret) {
        int r = -EAGAIN;

        for (unsigned attempt = 0; attempt < 3 && r == -EAGAIN; attempt++) {
                sighting_done(ret);
                r = probe_once(sys_fd, uuid, last_path, ret);
        }
        if (r < 0)
                sighting_done(ret);

        return r;
}

int sysfs_probe_parent(int sys_fd, const char *name, ParentSighting *ret) {
        _cleanup_(parent_sighting_done) ParentSighting s = { .numa_node = -1 };
        char path[SYSFS_PATH_MAX], file[SYSFS_PATH_MAX + 32];
        _cleanup_(freep) char *node = NULL;
        struct stat st;
        size_t size;
        int r;

        s.name = strdup(name);
        if (!s.name)
                return -ENOMEM;

        r = sysfs_parent_path(sys_fd, name, path);
        if (r < 0 && r != -ENOENT && r != -EINVAL)
                return r;

        if (r >= 0) {
                s.present = true;
                if (asprintf(&s.path, "/sys/%s", path) < 0)
                        return -ENOMEM;
                /* Made anew with each registration, and kernfs does not use a number again soon. */
                (void) snprintf(file, sizeof file, "%s/mdev_supported_types", path);
                if (fstatat(sys_fd, file, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                        s.life = st.st_ino;
                (void) snprintf(file, sizeof file, "%s/driver", path);
                r = read_link_name(sys_fd, file, &s.driver);
                if (r == -ENOMEM)
                        return r;
                /* The bus's file, not the driver's: answered from memory. */
                (void) snprintf(file, sizeof file, "%s/numa_node", path);
                if (file_read_at(sys_fd, file, SYSFS_SMALL_MAX, &node, &size) >= 0)
                        s.numa_node = atoi(node);
        }

        parent_sighting_done(ret);
        *ret = s;
        s = (ParentSighting){ .numa_node = -1 };
        return 0;
}

/* Opens a directory that may not be there. Return: 0 with *ret NULL if it is not. */
static int open_directory(int sys_fd, const char *path, DIR **ret) {
        int fd = openat(sys_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        *ret = NULL;
        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;

        *ret = fdopendir(fd);
        if (!*ret) {
                int r = -errno;

                (void) safe_close(fd);
                return r;
        }

        return 0;
}

static int list_uuids(int sys_fd, const char *path, Uuid **ret, size_t *ret_n) {
        _cleanup_(closedirp) DIR *directory = NULL;
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n = 0, n_allocated = 0;
        struct dirent *entry;
        int r;

        r = open_directory(sys_fd, path, &directory);
        if (r < 0)
                return r;

        while (directory && (errno = 0, entry = readdir(directory))) {
                Uuid uuid;

                if (uuid_from_canonical(entry->d_name, &uuid) < 0)
                        continue;
                r = grow((void **) &uuids, &n_allocated, n + 1, sizeof *uuids);
                if (r < 0)
                        return r;
                uuids[n++] = uuid;
        }
        if (directory && errno != 0)
                return -errno;

        *ret = TAKE_PTR(uuids);
        *ret_n = n;
        return 0;
}

int sysfs_list_devices(int sys_fd, Uuid **ret, size_t *ret_n) {
        return list_uuids(sys_fd, "bus/mdev/devices", ret, ret_n);
}

int sysfs_list_children(int sys_fd, const char *path, Uuid **ret, size_t *ret_n) {
        const char *relative = startswith(path, "/sys/");

        return relative ? list_uuids(sys_fd, relative, ret, ret_n) : -EINVAL;
}

/* All names in a directory that pass @is_valid. */
static int list_names(
                int sys_fd, const char *path, bool (*is_valid)(const char *), size_t n_max, char ***ret) {
        _cleanup_(closedirp) DIR *directory = NULL;
        _cleanup_(strv_freep) char **names = NULL;
        size_t n = 0, n_allocated = 0;
        struct dirent *entry;
        int r;

        r = open_directory(sys_fd, path, &directory);
        if (r < 0)
                return r;

        r = grow((void **) &names, &n_allocated, 1, sizeof *names);
        if (r < 0)
                return r;
        names[0] = NULL;

        while (directory && n < n_max && (errno = 0, entry = readdir(directory))) {
                if (!is_valid(entry->d_name))
                        continue;
                r = grow((void **) &names, &n_allocated, n + 2, sizeof *names);
                if (r < 0)
                        return r;
                names[n] = strdup(entry->d_name);
                if (!names[n])
                        return -ENOMEM;
                names[++n] = NULL;
        }
        if (directory && n < n_max && errno != 0)
                return -errno;

        *ret = TAKE_PTR(names);
        return 0;
}

int sysfs_list_parents(int sys_fd, char ***ret) {
        return list_names(sys_fd, "class/mdev_bus", parent_name_is_valid, SIZE_MAX, ret);
}

int sysfs_list_types(int sys_fd, const char *parent, char ***ret) {
        char path[SYSFS_PATH_MAX];

        (void) snprintf(path, sizeof path, "class/mdev_bus/%s/mdev_supported_types", parent);
        return list_names(sys_fd, path, type_name_is_valid, TYPES_MAX, ret);
}

int sysfs_device_path(int sys_fd, const char *parent, const Uuid *uuid, char ret[static SYSFS_PATH_MAX]) {
        _cleanup_(sighting_done) Sighting place = SIGHTING_INIT;
        char link[64];
        int r;

        (void) snprintf(link, sizeof link, "bus/mdev/devices/%s", UUID_TEXT(uuid));
        r = read_link_path(sys_fd, link, ret);
        if (r < 0)
                return r == -ENOENT ? -ENODEV : r;
        r = sighting_set_place(&place, ret);
        if (r < 0)
                return r;
        return streq(place.parent, parent) ? 0 : -ESTALE;
}

static bool name_is_virtual_function(const char *name) {
        return startswith(name, "virtfn");
}

/* Replaces @path by the sibling directory that @link ("../<name>") points to. */
static int read_link_sibling(int sys_fd, char path[static SYSFS_PATH_MAX], const char *link) {
        _cleanup_(freep) char *name = NULL;
        char *slash = strrchr(path, '/');
        int r;

        r = read_link_name(sys_fd, link, &name);
        if (r < 0)
                return r;
        if (!slash || (size_t) (slash + 1 - path) + strlen(name) >= SYSFS_PATH_MAX)
                return -EINVAL;

        strcpy(slash + 1, name);
        return 0;
}

/* Whether the name is another parent's; if not it is freed. */
static bool sibling_is_wanted(int sys_fd, const char *parent, char **name) {
        if (*name && !streq(*name, parent) && sysfs_exists(sys_fd, "class/mdev_bus", *name))
                return true;

        free(*name);
        *name = NULL;
        return false;
}

int sysfs_list_siblings(int sys_fd, const char *parent, char ***ret) {
        _cleanup_(strv_freep) char **names = NULL, **siblings = NULL;
        char link[SYSFS_PATH_MAX + 16], path[SYSFS_PATH_MAX];
        size_t n = 0, n_names = 0;
        int r;

        *ret = NULL;
        r = sysfs_parent_path(sys_fd, parent, path);
        if (r < 0)
                return r == -ENOENT ? 0 : r;

        /* Of a virtual function the physical one; of a physical one itself. */
        (void) snprintf(link, sizeof link, "%s/physfn", path);
        r = read_link_sibling(sys_fd, path, link);
        if (r < 0 && r != -ENOENT && r != -EINVAL)
                return r;

        r = list_names(sys_fd, path, name_is_virtual_function, SIZE_MAX, &names);
        if (r < 0)
                return r;
        while (names[n_names])
                n_names++;
        siblings = calloc(n_names + 2, sizeof *siblings);
        if (!siblings)
                return -ENOMEM;

        siblings[n] = strdup(basename_of(path));
        if (!siblings[n])
                return -ENOMEM;
        n += sibling_is_wanted(sys_fd, parent, &siblings[n]);
        for (char **name = names; *name; name++) {
                (void) snprintf(link, sizeof link, "%s/%s", path, *name);
                if (read_link_name(sys_fd, link, &siblings[n]) == -ENOMEM)
                        return -ENOMEM;
                n += sibling_is_wanted(sys_fd, parent, &siblings[n]);
        }

        *ret = TAKE_PTR(siblings);
        return 0;
}

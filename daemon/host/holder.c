/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The kernel offers no list of users. What there is:
 *
 * To open the group's node says EBUSY while anybody has the group, or a device of it, open
 * (vfio_group_fops_open()); a success settles it, and the descriptor then keeps others out while the device
 * is removed. That a removal does not wait for a bare group is so since the group and the device have lives
 * of their own (Linux 6.1, which /sys/class/vfio-dev tells); before, the descriptor must be closed first.
 *
 * On EBUSY, the descriptors of all processes: the link of a device's descriptor says
 * "anon_inode:[vfio-device]" and, before Linux 6.18, not of which device. So a user is a process that has
 * both the group's node and some vfio device open, or such a device's own node (/dev/vfio/devices/vfioN);
 * failing these, one that has a vfio device open and no group at all, because a device outlives the
 * descriptor of its group. */

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "host/holder.h"
#include "model/name.h"

#define LINK_MAX_LENGTH 256U
#define FDINFO_MAX 65536U

/* What one process has open. */
typedef struct Open {
        bool this_group;
        bool some_group;
        bool some_device;
        bool this_device;
} Open;

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

void holder_done(Holder *h) {
        h->group_fd = safe_close(h->group_fd);
}

static int open_directory_at(int dir_fd, const char *path, DIR **ret) {
        int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;

        *ret = fdopendir(fd);
        if (!*ret) {
                int r = -errno;

                (void) safe_close(fd);
                return r;
        }

        return 0;
}

/* "/dev/vfio/devices/vfioN" of the device; "" if the kernel makes no such node. Return: 0; -ENOMEM. */
static int find_device_node(int root_fd, const Sighting *seen, char ret[static LINK_MAX_LENGTH]) {
        _cleanup_(closedirp) DIR *directory = NULL;
        _cleanup_(freep) char *path = NULL;
        struct dirent *entry;
        int r;

        ret[0] = '\0';
        if (asprintf(&path, ".%s/vfio-dev", seen->path) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = open_directory_at(root_fd, path, &directory);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        while ((entry = readdir(directory)))
                if (startswith(entry->d_name, "vfio"))
                        (void) snprintf(ret, LINK_MAX_LENGTH, "/dev/vfio/devices/%.64s", entry->d_name);
        return 0;
}

/* Since Linux 6.18 the descriptor says of which device it is. Return: 1 it is this one; 0 another; -ENOENT:
 * it does not say; -ENOMEM. */
static int device_of_descriptor(int process_fd, const char *number, const Sighting *seen) {
        _cleanup_(freep) char *text = NULL;
        char name[64];
        char *line;
        size_t size;
        int r;

        (void) snprintf(name, sizeof name, "fdinfo/%.32s", number);
        r = file_read_at(process_fd, name, FDINFO_MAX, &text, &size);
        if (r < 0)
                return r == -ENOMEM ? r : -ENOENT;
        line = strstr(text, "vfio-device-syspath:");
        if (!line)
                return -ENOENT;

        line += strlen("vfio-device-syspath:");
        line += strspn(line, " \t");
        line[strcspn(line, "\n")] = '\0';
        return streq(line, seen->path);
}

/* Return: 0; -ENOMEM. */
static int look_at_descriptor(int process_fd, int fds_fd, const char *number, const Sighting *seen,
                const char *group_node, const char *device_node, Open *open) {
        char target[LINK_MAX_LENGTH];
        ssize_t n = readlinkat(fds_fd, number, target, sizeof target - 1);
        int r;

        if (n < 0)
                return 0;
        target[n] = '\0';

        if (streq(target, group_node))
                open->this_group = open->some_group = true;
        else if (device_node[0] != '\0' && streq(target, device_node))
                open->this_device = true;
        else if (startswith(target, "/dev/vfio/") && isdigit((unsigned char) target[strlen("/dev/vfio/")]))
                open->some_group = true;
        else if (streq(target, "anon_inode:[vfio-device]")) {
                r = device_of_descriptor(process_fd, number, seen);
                if (r == -ENOMEM)
                        return r;
                if (r > 0)
                        open->this_device = true;
                else if (r < 0)
                        open->some_device = true;
        }
        return 0;
}

/* Return: 0; a negative errno if the process does not let us look. */
static int look_at_process(int process_fd, const Sighting *seen, const char *group_node,
                const char *device_node, Open *ret) {
        _cleanup_(closedirp) DIR *directory = NULL;
        struct dirent *entry;
        int r;

        *ret = (Open){};
        r = open_directory_at(process_fd, "fd", &directory);
        if (r < 0)
                return r;
        while (r >= 0 && (entry = readdir(directory)))
                if (isdigit((unsigned char) entry->d_name[0]))
                        r = look_at_descriptor(process_fd, dirfd(directory), entry->d_name, seen, group_node,
                                        device_node, ret);
        return r;
}

static void describe(int process_fd, const char *pid, Holder *ret) {
        _cleanup_(freep) char *comm = NULL;
        size_t size;

        ret->pid = (pid_t) atol(pid);
        ret->comm[0] = '\0';
        if (file_read_at(process_fd, "comm", sizeof ret->comm - 1, &comm, &size) < 0)
                return;
        comm[strcspn(comm, "\n")] = '\0';
        (void) snprintf(ret->comm, sizeof ret->comm, "%s", text_make_printable(comm));
}

/* Where the processes of others are hidden (hidepid=) there is none that refuses a look; who may look at the
 * first may look at all. */
static bool may_look(int proc_fd) {
        char target[1];

        return readlinkat(proc_fd, "1/exe", target, sizeof target) >= 0;
}

/* Return: 1 found for certain; 0 nobody; also tells the likeliest one that is not certain (ret->pid > 0). */
static int look_at_all(int proc_fd, const Sighting *seen, const char *group_node, const char *device_node,
                Holder *ret, bool *ret_blind) {
        _cleanup_(closedirp) DIR *directory = NULL;
        struct dirent *entry;
        int r;

        *ret_blind = !may_look(proc_fd);
        r = open_directory_at(proc_fd, ".", &directory);
        if (r < 0)
                return r;

        while ((entry = readdir(directory))) {
                _cleanup_(closep) int process_fd = -EBADF;
                Open open;

                if (!isdigit((unsigned char) entry->d_name[0]))
                        continue;
                process_fd = openat(proc_fd, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (process_fd < 0)
                        continue;
                r = look_at_process(process_fd, seen, group_node, device_node, &open);
                if (r == -ENOMEM)
                        return r;
                if (r == -EACCES || r == -EPERM)
                        *ret_blind = true;
                if (r < 0)
                        continue;

                if (open.this_device || (open.this_group && open.some_device)) {
                        describe(process_fd, entry->d_name, ret);
                        return 1;
                }
                if (open.some_device && !open.some_group)
                        describe(process_fd, entry->d_name, ret);
        }

        return 0;
}

int holder_find(int root_fd, const Sighting *seen, Holder *ret) {
        _cleanup_(closep) int group_fd = -EBADF, proc_fd = -EBADF;
        char group_node[LINK_MAX_LENGTH], device_node[LINK_MAX_LENGTH];
        struct stat st;
        bool blind;
        int error, r;

        *ret = HOLDER_INIT;
        if (seen->iommu_group < 0 || !seen->path)
                return 0;

        /* For reading, which the kernel does not tell from writing here, and which takes less to be allowed.
         */
        (void) snprintf(group_node, sizeof group_node, "/dev/vfio/%d", seen->iommu_group);
        group_fd = openat(root_fd, group_node + 1, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
        if (group_fd >= 0) {
                if (fstatat(root_fd, "sys/class/vfio-dev", &st, 0) >= 0)
                        ret->group_fd = TAKE_FD(group_fd);
                return 0;
        }
        error = errno;
        if (error == ENXIO || error == ENODEV)
                return 0;

        r = find_device_node(root_fd, seen, device_node);
        if (r < 0)
                return r;
        proc_fd = openat(root_fd, "proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return -errno;
        r = look_at_all(proc_fd, seen, group_node, device_node, ret, &blind);
        if (r != 0)
                return r;

        switch (error) {
        /* Busy, and nobody seen with a device: those that have it open hold the bare group; unless there are
         * some that may not be looked at. */
        case EBUSY:
                return ret->pid > 0 || blind;
        /* No node, which is not a matter of permissions: nobody seen is nobody. */
        case ENOENT:
                return 0;
        /* Neither the node nor the processes tell. */
        default:
                ret->pid = 0;
                return blind;
        }
}

int holder_look(int root_fd, const Sighting *seen, Holder *ret) {
        char group_node[LINK_MAX_LENGTH], device_node[LINK_MAX_LENGTH];
        _cleanup_(closep) int proc_fd = -EBADF;
        bool blind;
        int r;

        *ret = HOLDER_INIT;
        if (seen->iommu_group < 0 || !seen->path)
                return 0;

        (void) snprintf(group_node, sizeof group_node, "/dev/vfio/%d", seen->iommu_group);
        r = find_device_node(root_fd, seen, device_node);
        if (r < 0)
                return r;
        proc_fd = openat(root_fd, "proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return -errno;
        return look_at_all(proc_fd, seen, group_node, device_node, ret, &blind);
}

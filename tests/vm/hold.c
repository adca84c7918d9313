/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hold: be the user of a mediated device
 *
 *     hold group UUID     opens /dev/vfio/<group> and nothing else
 *     hold device UUID    opens the group, puts it into a container of type 1
 *                         and opens the device, as a virtual machine monitor does
 *
 * Prints "held" on stdout once everything is open, and keeps it open until stdin is closed or SIGTERM or
 * SIGINT arrives; then exits with 0. If something cannot be opened, says so on stderr and exits with 1.
 *
 * A removal of the device waits for "hold device", and does not wait for "hold group".
 */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <linux/vfio.h>

#define UUID_LENGTH 36

static void die(const char *what) {
        fprintf(stderr, "hold: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

static int open_group(const char *uuid) {
        char path[128], target[256];
        ssize_t n;

        snprintf(path, sizeof(path), "/sys/bus/mdev/devices/%s/iommu_group", uuid);
        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
                die(path);
        target[n] = '\0';

        snprintf(path, sizeof(path), "/dev/vfio/%.64s", strrchr(target, '/') + 1);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                die(path);
        return fd;
}

static int open_device(int group, const char *uuid) {
        struct vfio_group_status status = { .argsz = sizeof(status) };
        struct vfio_device_info info = { .argsz = sizeof(info) };

        int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
        if (container < 0)
                die("/dev/vfio/vfio");
        if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) < 0)
                die("VFIO_GROUP_GET_STATUS");
        if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
                errno = ENXIO;
                die("the group is not viable");
        }
        if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0)
                die("VFIO_GROUP_SET_CONTAINER");
        if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
                die("VFIO_SET_IOMMU");

        int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, uuid);
        if (device < 0)
                die("VFIO_GROUP_GET_DEVICE_FD");
        if (ioctl(device, VFIO_DEVICE_GET_INFO, &info) < 0)
                die("VFIO_DEVICE_GET_INFO");
        return device;
}

/* Signals are blocked before "held" is printed, so that none is lost or kills us in between. */
static int block_signals(void) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                die("sigprocmask");

        int fd = signalfd(-1, &set, SFD_CLOEXEC);
        if (fd < 0)
                die("signalfd");
        return fd;
}

static void wait_for_end(int signals) {
        struct pollfd fds[] = {
                { .fd = STDIN_FILENO, .events = POLLIN },
                { .fd = signals, .events = POLLIN },
        };
        char buf[256];

        for (;;) {
                if (poll(fds, 2, -1) < 0)
                        die("poll");
                if (fds[1].revents)
                        return;
                if (fds[0].revents && read(STDIN_FILENO, buf, sizeof(buf)) <= 0)
                        return;
        }
}

int main(int argc, char *argv[]) {
        char uuid[UUID_LENGTH + 1];

        if (argc != 3 || (strcmp(argv[1], "group") != 0 && strcmp(argv[1], "device") != 0) ||
                        strlen(argv[2]) != UUID_LENGTH) {
                fprintf(stderr, "usage: hold group|device UUID\n");
                return 2;
        }
        for (size_t i = 0; i <= UUID_LENGTH; i++)
                uuid[i] = (char) tolower((unsigned char) argv[2][i]);

        int signals = block_signals();
        int group = open_group(uuid);
        if (strcmp(argv[1], "device") == 0)
                (void) open_device(group, uuid); /* both stay open until the end of the process */

        puts("held");
        fflush(stdout);
        wait_for_end(signals);
        return 0;
}

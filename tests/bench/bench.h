/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A measurement is a line, "WHAT NANOSECONDS". Whatever goes wrong ends the program: a figure from half a run
 * is worse than none. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"

_Noreturn static inline void give_up(const char *what, int r) {
        fprintf(stderr, "%s: %s\n", what, strerror(r < 0 ? -r : errno));
        exit(EXIT_FAILURE);
}

static inline uint64_t now_nsec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000000U + (uint64_t) t.tv_nsec;
}

static inline void tell(const char *what, uint64_t nsec) {
        printf("%s %" PRIu64 "\n", what, nsec);
}

static inline unsigned parse_count(const char *text) {
        long n = strtol(text, NULL, 10);

        if (n < 1 || n > 1000000)
                give_up(text, -EINVAL);
        return (unsigned) n;
}

/* One write(2) to a file that is there, as to one of sysfs. */
static inline void write_once(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                give_up(path, 0);
        (void) close(fd);
}

/* Devices without mdevd */

#define PATH_SIZE 512U

static inline void create_device(const char *parent, const char *type, const char *uuid) {
        char path[PATH_SIZE];

        (void) snprintf(path, sizeof path, "/sys/class/mdev_bus/%s/mdev_supported_types/%s/create", parent,
                        type);
        write_once(path, uuid);
}

static inline void remove_device(const char *uuid) {
        char path[PATH_SIZE];

        (void) snprintf(path, sizeof path, "/sys/bus/mdev/devices/%s/remove", uuid);
        write_once(path, "1");
}

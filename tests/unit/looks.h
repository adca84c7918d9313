/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The system calls that look at files without changing them (and the one that gives a file away), of which
 * one at a time can be made to fail: the first, the second, and so on, until all went well. What a test that
 * links this wraps has the names that large files give to these functions. */

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct {
        bool armed;
        unsigned countdown; /* calls that succeed before the one that fails */
        bool failed;
} looks;

/* Makes the call after the first @n fail with EIO. */
static inline void look_fails(unsigned n) {
        looks.armed = true;
        looks.countdown = n;
        looks.failed = false;
}

/* Return: whether one failed. */
static inline bool look_failed(void) {
        looks.armed = false;
        return looks.failed;
}

static inline bool look(void) {
        if (!looks.armed || looks.failed || looks.countdown-- > 0)
                return true;

        looks.failed = true;
        errno = EIO;
        return false;
}

int __real_fchown(int fd, uid_t uid, gid_t gid);
int __wrap_fchown(int fd, uid_t uid, gid_t gid);
int __real_fstat64(int fd, struct stat *ret);
int __wrap_fstat64(int fd, struct stat *ret);
int __real_fstatat64(int fd, const char *name, struct stat *ret, int flags);
int __wrap_fstatat64(int fd, const char *name, struct stat *ret, int flags);
int __real_openat64(int fd, const char *name, int flags, ...);
int __wrap_openat64(int fd, const char *name, int flags, ...);
struct dirent *__real_readdir64(DIR *directory);
struct dirent *__wrap_readdir64(DIR *directory);

int __wrap_fchown(int fd, uid_t uid, gid_t gid) {
        return look() ? __real_fchown(fd, uid, gid) : -1;
}

int __wrap_fstat64(int fd, struct stat *ret) {
        return look() ? __real_fstat64(fd, ret) : -1;
}

int __wrap_fstatat64(int fd, const char *name, struct stat *ret, int flags) {
        return look() ? __real_fstatat64(fd, name, ret, flags) : -1;
}

int __wrap_openat64(int fd, const char *name, int flags, ...) {
        mode_t mode;
        va_list ap;

        va_start(ap, flags);
        mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
        va_end(ap);
        return look() ? __real_openat64(fd, name, flags, mode) : -1;
}

struct dirent *__wrap_readdir64(DIR *directory) {
        return look() ? __real_readdir64(directory) : NULL;
}

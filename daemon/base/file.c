/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A rename is what makes a write atomic, the two fsyncs are what makes it durable; neither replaces the
 * other. The temporary file lives in a directory that the caller chooses, because readers of the target's
 * directory (mdevctl, libvirt) take every name in it for a definition. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/file.h"

/* A name may be taken, or the file be taken for a stray one before it is locked: as often as somebody sweeps
 * just then, who has no reason to do so all the time. */
#define TEMPORARY_ATTEMPTS_MAX 1000U

int fd_write_all(int fd, const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);

                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (n == 0)
                        return -EIO;

                p += n;
                size -= (size_t) n;
        }

        return 0;
}

static int read_at(int dir_fd, const char *name, int flags, size_t max, char **ret, size_t *ret_size) {
        _cleanup_(freep) char *buffer = NULL;
        _cleanup_(closep) int fd = -EBADF;
        size_t size = 0, room;
        struct stat st;

        /* It may be another one by now. O_NONBLOCK: the open of a FIFO without a writer must not hang; it
         * means nothing to a file. */
        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -ENOTSUP;
        if ((unsigned long long) st.st_size > max)
                return -EFBIG;

        /* One byte more than the size tells end of file without another read, if nobody is appending. */
        room = (size_t) st.st_size + 1;
        buffer = malloc(room + 1);
        if (!buffer)
                return -ENOMEM;

        for (;;) {
                ssize_t n;

                if (size == room) {
                        char *larger;

                        room = MIN(room * 2, max + 1);
                        if (size == room)
                                return -EFBIG;
                        larger = realloc(buffer, room + 1);
                        if (!larger)
                                return -ENOMEM;
                        buffer = larger;
                }

                n = read(fd, buffer + size, room - size);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                size += (size_t) n;
                if (n == 0 || size == (size_t) st.st_size)
                        break;
        }
        if (size > max)
                return -EFBIG;

        buffer[size] = '\0';
        *ret = TAKE_PTR(buffer);
        *ret_size = size;
        return 0;
}

int file_read_listed_at(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_size) {
        return read_at(dir_fd, name, O_NOFOLLOW, max, ret, ret_size);
}

/* To open a device is to do something to it: tapes rewind, watchdogs wake. */
static bool is_to_be_opened(int dir_fd, const char *name, int flags) {
        struct stat st;

        return fstatat(dir_fd, name, &st, flags) < 0 || S_ISREG(st.st_mode) || S_ISLNK(st.st_mode);
}

int file_read_at(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_size) {
        if (!is_to_be_opened(dir_fd, name, AT_SYMLINK_NOFOLLOW))
                return -ENOTSUP;
        return read_at(dir_fd, name, O_NOFOLLOW, max, ret, ret_size);
}

int file_read_linked_at(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_size) {
        if (!is_to_be_opened(dir_fd, name, 0))
                return -ENOTSUP;
        return read_at(dir_fd, name, 0, max, ret, ret_size);
}

void file_remove_stray_at(int dir_fd, const char *name) {
        _cleanup_(closep) int fd = -EBADF;

        if (!startswith(name, FILE_TEMPORARY_PREFIX))
                return;

        fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) >= 0)
                (void) unlinkat(dir_fd, name, 0);
}

void file_sweep_strays(int dir_fd) {
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;

        if (!directory) {
                (void) safe_close(fd);
                return;
        }
        for (struct dirent *entry; (entry = readdir(directory));)
                file_remove_stray_at(dir_fd, entry->d_name);
        (void) closedir(directory);
}

/* A temporary file that is unlinked unless it was renamed away. */
typedef struct Temporary {
        int dir_fd;
        int lock_fd; /* outlives the one that is written, which is closed under the temporary name */
        char name[FILE_TEMPORARY_NAME_MAX];
} Temporary;

static void temporary_done(Temporary *t) {
        int saved = errno;

        if (t->name[0] != '\0')
                (void) unlinkat(t->dir_fd, t->name, 0);
        (void) safe_close(t->lock_fd);
        errno = saved;
}

static int random_name(char ret[static FILE_TEMPORARY_NAME_MAX]) {
        unsigned long long number;

        if (getrandom(&number, sizeof number, 0) != sizeof number)
                return errno > 0 ? -errno : -EIO;
        (void) snprintf(ret, FILE_TEMPORARY_NAME_MAX, FILE_TEMPORARY_PREFIX "%016llx", number);
        return 0;
}

/* Says "somebody is at it" to file_remove_stray_at(). (Where locks are not supported at all, that removes
 * nothing.) Return: 1; 0 if it has been quicker; a negative errno. */
static int temporary_lock(Temporary *t, int fd) {
        struct stat st;

        t->lock_fd = openat(t->dir_fd, t->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (t->lock_fd < 0)
                return errno == ENOENT ? 0 : -errno;
        if (flock(t->lock_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
                return 0;
        return fstat(fd, &st) < 0 ? -errno : st.st_nlink > 0;
}

static int temporary_open(Temporary *t) {
        for (unsigned attempt = 0; attempt < TEMPORARY_ATTEMPTS_MAX; attempt++) {
                int fd, r;

                r = random_name(t->name);
                if (r < 0) {
                        t->name[0] = '\0'; /* that of the attempt before may be another's */
                        return r;
                }
                fd = openat(t->dir_fd, t->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
                if (fd >= 0) {
                        r = temporary_lock(t, fd);
                        if (r > 0)
                                return fd;
                        (void) close(fd);
                        if (r < 0)
                                return r;
                        t->lock_fd = safe_close(t->lock_fd);
                        continue;
                }
                if (errno != EEXIST) {
                        t->name[0] = '\0'; /* not ours to unlink */
                        return -errno;
                }
        }

        t->name[0] = '\0';
        return -EEXIST;
}

/* A replaced file keeps the mode and owner that an administrator gave it, as a write in place would. */
static int inherit_mode(int fd, int dir_fd, const char *name) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISREG(st.st_mode))
                return -ENOTSUP;
        if ((st.st_uid != geteuid() || st.st_gid != getegid()) && fchown(fd, st.st_uid, st.st_gid) < 0)
                return -errno;
        return fchmod(fd, st.st_mode & 07777) < 0 ? -errno : 0;
}

/* Return: 1 if it was renamed; 0 if it has both names now; a negative errno. */
static int move_into_place(int from_fd, const char *from, int dir_fd, const char *name, bool replace) {
        if (renameat2(from_fd, from, dir_fd, name, replace ? 0 : RENAME_NOREPLACE) >= 0)
                return 1;

        /* A file system without RENAME_NOREPLACE: link() does not replace either. */
        if (!replace && (errno == EINVAL || errno == ENOSYS) && linkat(from_fd, from, dir_fd, name, 0) >= 0)
                return 0;

        return -errno;
}

/* The lock is what tells the second name from a stray one. */
void file_keep_at(int temporary_dir_fd, int dir_fd, const char *name, Kept *ret) {
        char kept[FILE_TEMPORARY_NAME_MAX];
        struct stat st;

        *ret = (Kept){ .dir_fd = temporary_dir_fd, .lock_fd = -EBADF };
        /* To open another is to do something to it, and might wait. */
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
                        random_name(kept) < 0)
                return;
        ret->lock_fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (ret->lock_fd >= 0)
                (void) flock(ret->lock_fd, LOCK_EX | LOCK_NB);
        if (linkat(dir_fd, name, ret->dir_fd, kept, 0) >= 0)
                memcpy(ret->name, kept, sizeof kept);
}

int kept_put_back(Kept *k, int dir_fd, const char *name, bool replace) {
        int r;

        if (k->name[0] == '\0')
                return -ENOENT;
        r = move_into_place(k->dir_fd, k->name, dir_fd, name, replace);
        if (r > 0)
                k->name[0] = '\0';
        return MIN(r, 0);
}

void kept_done(Kept *k) {
        int saved = errno;

        if (k->name[0] != '\0')
                (void) unlinkat(k->dir_fd, k->name, 0);
        k->name[0] = '\0';
        k->lock_fd = safe_close(k->lock_fd);
        errno = saved;
}

int file_write_atomic_at(int temporary_dir_fd, int dir_fd, const char *name, const char *data, size_t size,
                bool replace, bool *changed) {
        _cleanup_(temporary_done) Temporary temporary = { .dir_fd = temporary_dir_fd, .lock_fd = -EBADF };
        _cleanup_(kept_done) Kept old = KEPT_INIT;
        _cleanup_(closep) int fd = -EBADF;
        int r, error;

        fd = temporary_open(&temporary);
        if (fd < 0)
                return fd;

        if (replace) {
                r = inherit_mode(fd, dir_fd, name);
                if (r < 0)
                        return r;
        }

        r = fd_write_all(fd, data, size);
        if (r < 0)
                return r;
        if (fsync(fd) < 0)
                return -errno;

        /* Who watches the directory is to see one file that comes, and not also one that is written to. */
        fd = safe_close(fd);
        if (replace)
                file_keep_at(temporary_dir_fd, dir_fd, name, &old);
        r = move_into_place(temporary_dir_fd, temporary.name, dir_fd, name, replace);
        if (r < 0)
                return r;
        if (r > 0)
                temporary.name[0] = '\0';

        if (fsync(dir_fd) < 0) {
                error = errno;
                r = replace ? kept_put_back(&old, dir_fd, name, true) : unlinkat(dir_fd, name, 0);
                if (r < 0 && changed)
                        *changed = true;
                return -error;
        }

        return 0;
}

int directory_make_at(int dir_fd, const char *path) {
        char step[256];
        int fd;

        if (strlen(path) >= sizeof step)
                return -ENAMETOOLONG;

        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 || errno != ENOENT)
                return fd < 0 ? -errno : fd;

        for (const char *end = path; *end;) {
                end += strcspn(end + 1, "/") + 1;
                memcpy(step, path, (size_t) (end - path));
                step[end - path] = '\0';
                if (mkdirat(dir_fd, step, 0755) < 0 && errno != EEXIST)
                        return -errno;
        }

        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

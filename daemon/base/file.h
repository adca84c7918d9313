/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files: bounded reading, and writing that is atomic and durable. All of it may block on the disk. */

#include "base/util.h"

/**
 * file_read_at() - read a whole regular file
 * @dir_fd:  directory that @name is relative to, or AT_FDCWD
 * @name:    path; its last component is not followed if it is a symbolic link
 * @max:     the largest size accepted, in bytes
 * @ret:     the content, owned by the caller, with a NUL behind it that @ret_size does not count
 *
 * Never blocks on a FIFO or a device: whatever is not a regular file is refused.
 *
 * Return: 0; -EFBIG if larger than @max; -ENOTSUP if not a regular file; -ELOOP if a symbolic link; any errno
 *         of openat(2) and read(2).
 */
int file_read_at(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_size);

/* The same for what a listing of the directory has just called a regular file: should it be another by now,
 * it is opened, and then refused. */
int file_read_listed_at(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_size);

/* The same through symbolic links: for where only those can make one who may change the file as well. */
int file_read_linked_at(int dir_fd, const char *name, size_t max, char **ret, size_t *ret_size);

/**
 * file_write_atomic_at() - put a file in place, wholly or not at all
 * @temporary_dir_fd: an open directory on the same file system, in which the temporary file is made
 * @dir_fd:           an open directory that gets the file
 * @name:             file name in @dir_fd, one component
 * @replace:          whether an existing @name is replaced; else it is -EEXIST
 * @changed:          set if @name is not what it was in spite of an error; else left alone. NULL: nobody asks
 *
 * Temporary file, fsync, rename, fsync of @dir_fd. A replaced file's mode and owner stay. On error @name is
 * what it was and the temporary file is gone: if only the last fsync fails, and the durability of the new
 * file is unknown, it is taken back. A disk that goes on saying no can refuse that too; then @name is the new
 * file, wholly, and @changed says so. (So it does where the file system has no hard links, and what was there
 * cannot be put back.) A temporary file that it does not let go is one for file_remove_stray_at().
 *
 * Return: 0; any errno of the calls named above.
 */
int file_write_atomic_at(int temporary_dir_fd, int dir_fd, const char *name, const char *data, size_t size,
                bool replace, bool *changed);

#define FILE_TEMPORARY_PREFIX ".mdevd-"
#define FILE_TEMPORARY_NAME_MAX sizeof(FILE_TEMPORARY_PREFIX "0123456789abcdef")

/* A second name of a file that is about to be replaced or removed, until it is known that this lasts: what
 * is put back is the file itself, and needs neither room on the disk nor a write to it. */
typedef struct Kept {
        int dir_fd; /* borrowed */
        int lock_fd;
        char name[FILE_TEMPORARY_NAME_MAX]; /* "": there is none */
} Kept;

#define KEPT_INIT ((Kept){ .dir_fd = -EBADF, .lock_fd = -EBADF })

/* Fills in @ret always; where no second name can be had (no regular file, no hard links), there is none. */
void file_keep_at(int temporary_dir_fd, int dir_fd, const char *name, Kept *ret);

/* Return: 0; -ENOENT if there is no second name; an errno of renameat2(2) or linkat(2). */
int kept_put_back(Kept *k, int dir_fd, const char *name, bool replace);

/* Drops the second name; when it was put back that is none. */
void kept_done(Kept *k);

/* Opens the directory @path below @dir_fd, making what is missing of it. Return: a descriptor; -ENAMETOOLONG;
 * an errno of mkdirat(2) or openat(2). */
int directory_make_at(int dir_fd, const char *path);

/* Removes @name if it is a temporary file of file_write_atomic_at() whose writer was killed. */
void file_remove_stray_at(int dir_fd, const char *name);

/* The same for all that lies in a directory. */
void file_sweep_strays(int dir_fd);

/* Writes all of @data, over short writes and EINTR. Return: 0; an errno of write(2); -EIO on a write of 0. */
int fd_write_all(int fd, const void *data, size_t size);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The tree of definition files, /etc/mdevctl.d/<parent>/<uuid>: names and bytes, never what they mean. All of
 * it waits for the disk, so only workers call it.
 *
 * A file's name may be the UUID in any textual form, as mdevctl reads it; what is made anew has the canonical
 * one. Symbolic links are not followed, "scripts.d" is no parent. */

#include "model/definition.h"
#include "model/failure.h"
#include "model/uuid.h"

#define STORE_DIRECTORY DEFINITIONS_DIRECTORY

typedef struct Store Store;

/* @root_fd: "/" or the directory that stands for it; borrowed for the call. The tree is made if it is
 * missing, but only once something is written. Return: 0; -ENOMEM; an errno of openat(2). */
int store_open(int root_fd, Store **ret);
Store *store_free(Store *s);
DEFINE_CLEANUP(Store *, store_free);

/* "/etc/mdevctl.d/<parent>/<uuid>", for messages; owned by the caller. NULL: no memory. */
char *store_path(const char *parent, const char *name);

/* Reads the file of @uuid below @parent. Return: 0; -ENOENT if there is none; the errors of file_read_at().
 */
int store_read(Store *s, const char *parent, const Uuid *uuid, char **ret, size_t *ret_size);

/**
 * store_write() - put a definition in place, atomically and durably
 * @replace: the file must be there and is replaced, under the name that it has; else it must not be there
 *
 * Return: 0; a negative errno, with FAILURE_EXISTS_ON_DISK, FAILURE_NO_SUCH_DEFINITION or FAILURE_STORE in
 * @f. On error nothing changed, unless @f has changed_store: see file_write_atomic_at(). (A directory that
 * was made for the parent may stay then; it is no definition.)
 */
int store_write(Store *s, const char *parent, const Uuid *uuid, const char *text, size_t size, bool replace,
                Failure *f);

/* Removes the files of @uuid below each of @parents (NULL-terminated), all or none: those already removed are
 * put back if another cannot be, as far as the disk lets that happen. Return: as store_write(). */
int store_remove(Store *s, char *const *parents, const Uuid *uuid, Failure *f);

/**
 * store_scan() - go through all files
 * @uuid: only those of this UUID; NULL: all
 * @fn:   called for each file that is a definition by its name, with its content; and with @text NULL and an
 * @error for each place that should be one and is not or cannot be read: -EINVAL (its name), -ENOTSUP (no
 * regular file), -ELOOP (a symbolic link), -EFBIG, -EEXIST (the same UUID in another form is what is read),
 * -ENOTDIR (in no parent's folder); anything else is an errno of the disk, also for a whole folder (@name "")
 * or the top one (@parent "" too). @parent and @name may then be odd; both are one path component. A negative
 * return ends the scan and is its result.
 *
 * Temporary files that a killed writer left behind are removed on the way.
 *
 * Return: 0; what @fn returned; -ENOMEM.
 */
typedef int (*StoreFn)(const char *parent, const char *name, const Uuid *uuid, const char *text, size_t size,
                int error, void *userdata);
int store_scan(Store *s, const Uuid *uuid, StoreFn fn, void *userdata);

/* The same for one parent's folder, and for one file of it; nothing is called if it is not there. */
int store_scan_parent(Store *s, const char *parent, const Uuid *uuid, StoreFn fn, void *userdata);
int store_scan_file(Store *s, const char *parent, const char *name, StoreFn fn, void *userdata);

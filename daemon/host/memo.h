/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the daemon remembers of a parent for the one that comes after it: one file per parent below
 * /run/mdevd/autostart, of a line with the parent's life and one for each UUID that is still to be started in
 * it. tmpfs, so the main loop may use it, and gone with the next boot, as the devices are. */

#include <stdint.h>

#include "model/uuid.h"

#define MEMO_DIRECTORY "run/mdevd/autostart"

/* The directory, made if it is missing. Return: a descriptor; a negative errno. */
int memo_open_directory(int root_fd);

/* Return: 0; a negative errno, then what was remembered before is remembered still. */
int memo_write(int directory_fd, const char *parent, uint64_t life, const Uuid *uuids, size_t n);

/* Return: 0; -ENOENT; -EBADMSG if it is not what memo_write() writes; another errno. @ret: free(). */
int memo_read(int directory_fd, const char *parent, uint64_t *ret_life, Uuid **ret, size_t *ret_n);

void memo_remove(int directory_fd, const char *parent);

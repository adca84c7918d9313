/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One file per UUID that an operation is under way on, below /run/mdevd/busy, locked by the worker for as
 * long as its effects last. So a daemon that starts while a worker of an earlier one is still at it knows,
 * and can wait for the end. tmpfs and flock(2) without waiting: the main loop may use it. */

#include "model/registry.h"

#define LOCK_DIRECTORY "run/mdevd/busy"

/* What an operation was about, as the lock file says. */
typedef struct LockNote {
        OperationKind kind;
        char *parent; /* NULL: none given */
        char *type;
} LockNote;

void lock_note_done(LockNote *note);

/* The directory, made if it is missing. Return: a descriptor; a negative errno. */
int lock_open_directory(int root_fd);

/* Takes the lock of @uuid and writes the note. Return: the locked descriptor, which can be handed to another
 * process: the lock lasts until the last copy is closed; -EWOULDBLOCK if it is taken; an errno of openat(2),
 * write(2). */
int lock_acquire(int directory_fd, const Uuid *uuid, const LockNote *note);

/* Takes the file away; whoever still holds a descriptor keeps a lock that nobody can see. */
void lock_release(int directory_fd, const Uuid *uuid);

/* What is in the directory. Return: 0; an errno. @ret: free(). */
int lock_list(int directory_fd, Uuid **ret, size_t *ret_n);

/* Return: 0 if the lock of @uuid was a left-over without a holder, and is gone now; 1 if it is held, with a
 * descriptor that a worker may wait on and what the note says (what cannot be read is OPERATION_NONE); a
 * negative errno. */
int lock_inspect(int directory_fd, const Uuid *uuid, int *ret_fd, LockNote *ret_note);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Operations under way: each has a worker process, or waits for one. This file knows processes, locks and
 * order; what an operation means is its owner's business. Everything runs on the event loop and nothing
 * blocks. */

#include <systemd/sd-event.h>

#include "host/lock.h"
#include "host/wire.h"
#include "host/worker.h"

typedef struct Operations Operations;

/* Operations of one lane wait for each other when there are too many of them, and for nobody else's: so a
 * driver that hangs holds up its own creations and nothing besides. */
typedef struct Lane Lane;

/* How an operation's owner hears of it: always from the event loop, never from within operations_submit(). */
typedef struct OperationHandler {
        /* For each frame that tells a fact about the operation, before the result. */
        void (*fact)(const Frame *fact, void *owner);

        /* Exactly once. @result is a FRAME_RESULT, whose parts may be taken; its failure is FAILURE_WORKER if
         * the worker died without a word and FAILURE_CANCELLED if the daemon is stopping. */
        void (*done)(Frame *result, void *owner);
} OperationHandler;

/* For each FRAME_TYPES, whichever operation told it, be it over or not; its parts may be taken. */
typedef void (*OperationTypesFn)(Frame *types, void *userdata);

/* @root_fd: "/" or what stands for it; borrowed for the call. @program: borrowed for life. @queued_max:
 * operations that wait for others of their lane, in all. */
int operations_new(Operations **ret, sd_event *event, int root_fd, const WorkerProgram *program,
                unsigned queued_max, OperationTypesFn types, void *userdata);

/* Ends all with FAILURE_CANCELLED; their workers go on. */
Operations *operations_free(Operations *o);
DEFINE_CLEANUP(Operations *, operations_free);

/* A number for an operation that is about to begin; never 0, never the same. */
OpId operations_next_id(Operations *o);

/* The lane of that name, made if there is none; @max: how many of its operations have a process at a time.
 * Return: borrowed for the life of @o; NULL: no memory. */
Lane *operations_lane(Operations *o, const char *name, unsigned max);

/* The directory of locks. */
int operations_lock_fd(const Operations *o);

/**
 * operations_submit() - begin an operation
 * @request: what to do; moved, empty afterwards, also on error
 * @kind:    OPERATION_NONE: without a lock on the UUID; else what the lock's note says it is for
 * @lock_fd: a lock that is somebody else's, for the worker to wait on; consumed, also on error; -EBADF: none
 * @lane:    NULL: in none; it never waits for others, as a removal must not, which may wait for a VM for ever
 * @handler: borrowed until @done
 *
 * Return: 0; a negative errno, and @f says FAILURE_TOO_MANY, _BUSY (somebody holds the lock), _WORKER or
 * _NO_MEMORY; then
 *         @done is not called.
 */
int operations_submit(Operations *o, Request *request, OperationKind kind, int lock_fd, Lane *lane,
                const OperationHandler *handler, void *owner, Failure *f);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A worker process as the daemon sees it: started ahead of need, given one request, heard until it ends.
 * Nothing here blocks, and nothing here ever sends a signal: a worker inside a sysfs write must not get one
 * (kernel.md 4.1). */

#include <sys/types.h>

#include "host/wire.h"

typedef struct Worker Worker;

/* What is started. The executable is held open, so a daemon goes on with the worker of its own build when a
 * package upgrade replaces the file. */
typedef struct WorkerProgram {
        int exe_fd;
        char *root_argument; /* "--root=DIR", or NULL */
} WorkerProgram;

#define WORKER_PROGRAM_INIT ((WorkerProgram){ .exe_fd = -EBADF })

/* @root: the directory that stands for "/", or NULL. Return: 0; an errno of open(2); -ENOMEM. */
int worker_program_open(const char *path, const char *root, WorkerProgram *ret);
void worker_program_done(WorkerProgram *p);

/* Return: 0; -ENOMEM, or an errno of socketpair(2) and posix_spawn(3). */
int worker_start(const WorkerProgram *program, Worker **ret);

/* Forgets the worker and closes its socket; the process goes on if it has a request, and ends if it has none.
 */
Worker *worker_free(Worker *w);
DEFINE_CLEANUP(Worker *, worker_free);

int worker_fd(const Worker *w);
pid_t worker_pid(const Worker *w);

/* Gives the worker its one request, and a lock that lasts until it closes it (-EBADF: none; a copy is sent,
 * the caller's descriptor stays the caller's). Return: 0; 1 if there is more to send, when the socket can be
 * written to again; -ENOMEM; -EFBIG; -EPIPE if the process is gone. One that gets less than the whole does
 * nothing. */
int worker_send(Worker *w, const Request *request, int lock_fd);

/* Return: 0; 1 if there is still more; -EPIPE; an errno of send(2). */
int worker_send_more(Worker *w);

/* Takes the next frame. Return: 1; 0 if there is none yet; -EPIPE if there will be none any more; -EBADMSG if
 * the worker sends what is no frame; -ENOMEM. */
int worker_receive(Worker *w, Frame *ret);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's side of call-out scripts: it runs none. It keeps what workers found out about them, gives that
 * to the next worker, and logs what they said. Everything runs on the event loop and nothing blocks. */

#include "core/manager.h"
#include "host/wire.h"

/* Fills in what a worker needs to run scripts. @force: they may not refuse. */
void callouts_prepare(Manager *m, bool force, Request *request);

/* Takes in what a worker told of scripts, for an operation on @uuid: a FRAME_SCRIPT or FRAME_CAPABILITY. */
void callouts_take_in(Manager *m, const Frame *fact, const Uuid *uuid);

/* Actions that scripts let a worker begin and have not been told the end of: if it dies, others end them. */
typedef struct Unfinished {
        Frame *actions;
        size_t n, n_allocated;
} Unfinished;

void unfinished_done(Unfinished *u);

/* A FRAME_ACTION. */
void unfinished_take_in(Unfinished *u, const Frame *fact);

/* Moves one of them into a REQUEST_LOOK. Return: whether there was one. */
bool unfinished_next(Unfinished *u, Request *request);

/* Forgets what was found out: scripts may use what no look at them shows. */
void callouts_forget(Manager *m);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a worker does with its request: the one place where driver, sysfs, store and codec meet. May block for
 * ever. */

#include "host/wire.h"

/* Sends a frame to the daemon. Return: 0; a negative errno, which ends a scan early and is ignored elsewhere:
 * that nobody listens any more does not stop an effect. */
typedef int (*EffectEmit)(const Frame *frame, void *userdata);

/**
 * effect_perform() - do what a request asks for
 * @root_fd: "/", or the directory that stands for it
 * @request: what to do; must be valid by its kind
 * @lock_fd: the lock of the UUID; consumed. It is closed when the effects are over, before FRAME_RESULT is
 * sent
 * @emit:    is given the facts found out, then FRAME_RESULT, then perhaps what has changed beside
 * (FRAME_TYPES)
 *
 * Whatever fails is undone before FRAME_RESULT says so.
 */
void effect_perform(int root_fd, const Request *request, int lock_fd, EffectEmit emit, void *userdata);

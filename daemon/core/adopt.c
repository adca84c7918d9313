/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Operations that an earlier daemon began and whose workers are still at it: a lock in the directory of locks
 * tells of each. Such a worker tells nobody anything any more, so the UUID is held as if the operation were
 * ours, a worker of ours waits for the lock, and what that one sees then is how the operation ended.
 *
 * Who waits may fail while the other is still at it. The lock, and not he, says when the UUID is free. */

#include "base/log.h"
#include "base/memory.h"
#include "core/manager-private.h"
#include "core/verb.h"

/* Before somebody is sent to wait once more. */
#define AGAIN_USEC (UINT64_C(1) * 1000 * 1000)

static void on_done(Frame *result, void *owner);

static const OperationHandler handler = { .fact = verb_on_fact, .done = on_done };

static void wait_again(Verb *v) {
        log_warning("Who waited for the worker of an earlier mdevd on %s has failed; trying again.",
                        UUID_TEXT(&v->uuid));
        (void) sd_event_source_set_time_relative(v->again, AGAIN_USEC);
        (void) sd_event_source_set_enabled(v->again, SD_EVENT_ONESHOT);
}

/* Return: as lock_inspect(); what the note says is known already. */
static int inspect(const Verb *v, int *ret_lock_fd) {
        _cleanup_(lock_note_done) LockNote note = {};

        return lock_inspect(operations_lock_fd(v->m->operations), &v->uuid, ret_lock_fd, &note);
}

static int on_again(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        int lock_fd = -EBADF, r;
        Verb *v = userdata;

        r = inspect(v, &lock_fd);
        if (r >= 0)
                r = verb_look(v, lock_fd, &handler);
        if (r < 0)
                wait_again(v);
        return 0;
}

static void on_done(Frame *result, void *owner) {
        _cleanup_(closep) int lock_fd = -EBADF;
        Verb *v = owner;

        /* Not to be seen is as good as held: it cannot be taken either. */
        if (result->failure.kind != FAILURE_CANCELLED && inspect(v, &lock_fd) != 0)
                wait_again(v);
        else
                verb_on_done(result, v);
}

/* @lock_fd: consumed */
static int adopt(Manager *m, const Uuid *uuid, const LockNote *note, int lock_fd) {
        _cleanup_(closep) int fd = lock_fd;
        _cleanup_(freep) char *path = NULL;
        _cleanup_(verb_freep) Verb *v = NULL;
        int r;

        manager_requested_by(m, NULL);
        r = verb_new(m, note->kind, uuid, NULL, NULL, &v);
        if (r < 0)
                return r;
        v->adopted = true;
        if (verb_moves(v) &&
                        (free_and_strdup(&v->parent, note->parent) < 0 ||
                                        free_and_strdup(&v->type, note->type) < 0))
                return -ENOMEM;
        r = sd_event_add_time_relative(m->event, &v->again, CLOCK_MONOTONIC, 0, 0, on_again, v);
        if (r < 0)
                return r;
        (void) sd_event_source_set_enabled(v->again, SD_EVENT_OFF);

        /* While it removes the device, nobody's word on that counts: what it was is seen before. */
        path = verb_last_path(v);
        if (note->kind == OPERATION_REMOVE)
                reconcile_device_at(m, uuid, path);
        r = registry_adopt(m->registry, uuid, note->kind, note->parent, note->type, v->op);
        if (r < 0)
                return r;
        r = verb_look(v, TAKE_FD(fd), &handler);
        if (r < 0) {
                (void) registry_end(m->registry, uuid, v->op);
                return r;
        }

        TAKE_PTR(v);
        log_info("A worker of an earlier mdevd is still at work on %s; its outcome is waited for.",
                        UUID_TEXT(uuid));
        return 0;
}

void adopt_all(Manager *m) {
        int lock_dir_fd = operations_lock_fd(m->operations);
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n = 0;
        int r;

        r = lock_list(lock_dir_fd, &uuids, &n);
        if (memory_check(r) < 0)
                log_warning_errno(r, "Cannot see what is locked, ignoring: %s", strerror(-r));

        for (size_t i = 0; i < n; i++) {
                _cleanup_(lock_note_done) LockNote note = {};
                int lock_fd = -EBADF;

                r = lock_inspect(lock_dir_fd, &uuids[i], &lock_fd, &note);
                if (r > 0)
                        r = adopt(m, &uuids[i], &note, lock_fd);
                if (memory_check(r) < 0)
                        log_warning_errno(r, "Cannot take over the work on %s, ignoring: %s",
                                        UUID_TEXT(&uuids[i]), strerror(-r));
        }
}

void adopt_stop(Manager *m) {
        while (m->verbs) {
                _cleanup_(frame_done) Frame result = FRAME_INIT;

                (void) failure_set(&result.failure, FAILURE_CANCELLED, 0, NULL, NULL);
                (void) failure_set_device(&result.failure, &m->verbs->uuid, NULL, NULL);
                verb_on_done(&result, m->verbs);
        }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/failure.h"

/* The errno of each kind, as the API documents it; 0: only the kernel or the disk can say. */
static const int kind_errno[_FAILURE_MAX] = {
        [FAILURE_EXISTS] = EEXIST,
        [FAILURE_EXISTS_DEFINED] = EEXIST,
        [FAILURE_EXISTS_ELSEWHERE] = EEXIST,
        [FAILURE_BEING_CREATED] = EAGAIN,
        [FAILURE_BEING_REMOVED] = EAGAIN,
        [FAILURE_BUSY] = EAGAIN,
        [FAILURE_CHANGED_MEANWHILE] = EAGAIN,
        [FAILURE_NO_SUCH_DEVICE] = ENODEV,
        [FAILURE_NO_SUCH_DEFINITION] = ENODEV,
        [FAILURE_NO_SUCH_PARENT] = ENODEV,
        [FAILURE_NOT_ACTIVE] = ENODEV,
        [FAILURE_AMBIGUOUS] = ENOTUNIQ,
        [FAILURE_ORPHANED] = ENOTRECOVERABLE,
        [FAILURE_PARENT_ABSENT] = ENXIO,
        [FAILURE_TOO_MANY] = EUSERS,
        [FAILURE_BAD_UUID] = EINVAL,
        [FAILURE_BAD_PARENT] = EINVAL,
        [FAILURE_BAD_TYPE] = EINVAL,
        [FAILURE_BAD_ATTRIBUTE] = EINVAL,
        [FAILURE_BAD_INDEX] = EINVAL,
        [FAILURE_BAD_OPTION] = EINVAL,
        [FAILURE_UNDERSPECIFIED] = EINVAL,
        [FAILURE_EXISTS_IN_KERNEL] = EEXIST,
        [FAILURE_NO_SUCH_TYPE] = ENOENT,
        [FAILURE_NO_CAPACITY] = ENOSPC,
        [FAILURE_IN_USE] = EBUSY,
        [FAILURE_KERNEL] = EIO,
        [FAILURE_ATTRIBUTE] = EIO,
        [FAILURE_LIVE_ATTRIBUTE] = EIO,
        [FAILURE_NOT_LIVE] = EOPNOTSUPP,
        [FAILURE_INVALID_DEFINITION] = EBADMSG,
        [FAILURE_STORE] = EIO,
        [FAILURE_EXISTS_ON_DISK] = EEXIST,
        [FAILURE_CALL_OUT] = ECANCELED,
        [FAILURE_SCRIPT] = ECANCELED,
        [FAILURE_WORKER] = EIO,
        [FAILURE_INCOMPLETE] = EIO,
        [FAILURE_PENDING] = EINPROGRESS,
        [FAILURE_CANCELLED] = ECANCELED,
        [FAILURE_NO_MEMORY] = ENOMEM,
};

void failure_done(Failure *f) {
        free(f->parent);
        free(f->type);
        free(f->subject);
        free(f->detail);
        *f = FAILURE_INIT;
}

int failure_set(Failure *f, FailureKind kind, int error, const char *subject, const char *detail) {
        f->kind = kind;
        f->error = abs(error);

        if (free_and_strdup(&f->subject, subject) < 0 || free_and_strdup(&f->detail, detail) < 0)
                f->kind = FAILURE_NO_MEMORY;

        return -failure_errno(f);
}

int failure_set_device(Failure *f, const Uuid *uuid, const char *parent, const char *type) {
        f->has_uuid = uuid;
        if (uuid)
                f->uuid = *uuid;

        if (free_and_strdup(&f->parent, parent) < 0 || free_and_strdup(&f->type, type) < 0)
                f->kind = FAILURE_NO_MEMORY;

        return -failure_errno(f);
}

void failure_move(Failure *to, Failure *from) {
        failure_done(to);
        *to = *from;
        *from = FAILURE_INIT;
}

void failure_copy(const Failure *f, Failure *ret) {
        *ret = FAILURE_INIT;
        (void) failure_set(ret, f->kind, f->error, f->subject, f->detail);
        (void) failure_set_device(ret, f->has_uuid ? &f->uuid : NULL, f->parent, f->type);
        ret->index = f->index;
        ret->state = f->state;
        ret->rollback_error = f->rollback_error;
        ret->changed_live = f->changed_live;
        ret->changed_store = f->changed_store;
}

int failure_errno(const Failure *f) {
        return f->error > 0 && f->kind != FAILURE_NO_MEMORY ? f->error : kind_errno[f->kind];
}

const char *errno_name(int error) {
        switch (error) {

        /* The kernel's own, which drivers return although no system call should: shown as what they are. */
        case 512:
                return "ERESTARTSYS";
        case 513:
                return "ERESTARTNOINTR";
        case 517:
                return "EPROBE_DEFER";
        case 524:
                return "ENOTSUPP";
        default:
                return strerrorname_np(error);
        }
}

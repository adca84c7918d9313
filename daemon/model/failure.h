/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What went wrong, as a value: filled in where it happened, carried over the worker's socket and up through
 * core, and turned into words in one place only, bus/error.c. The kinds are finer than the D-Bus error names,
 * because a person wants a different sentence for "defined already" and "active already". */

#include <stdint.h>

#include "model/uuid.h"

typedef enum FailureKind {
        FAILURE_NONE,

        /* The registry said no. */
        FAILURE_EXISTS,           /* lives: @state, @parent, @type say how and where */
        FAILURE_EXISTS_DEFINED,   /* defined on this @parent already */
        FAILURE_EXISTS_ELSEWHERE, /* defined on another parent: @parent */
        FAILURE_BEING_CREATED,
        FAILURE_BEING_REMOVED,
        FAILURE_BUSY,              /* another operation on the UUID is under way */
        FAILURE_CHANGED_MEANWHILE, /* what was authorized is no longer what is there */
        FAILURE_NO_SUCH_DEVICE,
        FAILURE_NO_SUCH_DEFINITION, /* @parent: where it was looked for, or NULL */
        FAILURE_NO_SUCH_PARENT,     /* as an object to look up */
        FAILURE_NOT_ACTIVE,
        FAILURE_AMBIGUOUS, /* @detail: the parents */
        FAILURE_ORPHANED,
        FAILURE_PARENT_ABSENT,
        FAILURE_TOO_MANY, /* @subject: of what; @index: the bound */

        /* The request makes no sense; @subject: what of it, @detail: why. */
        FAILURE_BAD_UUID,
        FAILURE_BAD_PARENT,
        FAILURE_BAD_TYPE,
        FAILURE_BAD_ATTRIBUTE, /* @index: which; @subject: its name */
        FAILURE_BAD_INDEX,     /* of an attribute: @index */
        FAILURE_BAD_OPTION,
        FAILURE_UNDERSPECIFIED, /* @subject: "parent", "type" */

        /* The worker met it; @error is the errno. */
        FAILURE_EXISTS_IN_KERNEL, /* EEXIST, though nothing is to be seen */
        FAILURE_NO_SUCH_TYPE,
        FAILURE_NO_CAPACITY,
        FAILURE_IN_USE,             /* @detail: by whom, if that can be seen */
        FAILURE_KERNEL,             /* @subject: "create", "remove" */
        FAILURE_ATTRIBUTE,          /* @index, @subject: name */
        FAILURE_LIVE_ATTRIBUTE,     /* the same of a device that goes on: those before it have been written */
        FAILURE_NOT_LIVE,           /* no script can change an active device of this type */
        FAILURE_INVALID_DEFINITION, /* @subject: path; @detail: position and reason */
        FAILURE_STORE,              /* @subject: path */
        FAILURE_EXISTS_ON_DISK,     /* @subject: path */
        FAILURE_CALL_OUT,           /* a script refused: @subject: its path; @detail: how it ended */
        FAILURE_SCRIPT,             /* the same of one whose answer was needed, so that nothing can go on */
        FAILURE_WORKER,             /* the worker could not be started, or died: @detail */
        FAILURE_INCOMPLETE,         /* the device was made, but what was to follow was cut off */
        FAILURE_PENDING,            /* the deadline passed; the operation goes on */
        FAILURE_CANCELLED,          /* the daemon is stopping; the work goes on */
        FAILURE_NO_MEMORY,
        _FAILURE_MAX,
} FailureKind;

typedef struct Failure {
        FailureKind kind;
        int error;      /* positive errno; 0: the kind's own */
        uint32_t index; /* see the kinds */
        int state;      /* DeviceState of who is in the way, or -1 */
        Uuid uuid;      /* meaningful if has_uuid */
        bool has_uuid;
        char *parent;
        char *type;
        char *subject;
        char *detail;
        int rollback_error; /* positive errno if undoing failed too, so that the device may still be there */
        bool changed_live;  /* the active device had been changed before, and stays so */
        bool changed_store; /* the disk did not let what was done to the definitions be undone */
} Failure;

#define FAILURE_INIT ((Failure){ .kind = FAILURE_NONE, .state = -1 })

void failure_done(Failure *f);

static inline bool failure_is_set(const Failure *f) {
        return f->kind != FAILURE_NONE;
}

/* Fill in, replacing what was there; strings are copied, NULL is nothing. If memory is short, the kind
 * becomes FAILURE_NO_MEMORY: so these never fail. Return: the negative errno of the failure, for "return
 * failure_…". */
int failure_set(Failure *f, FailureKind kind, int error, const char *subject, const char *detail);
int failure_set_device(Failure *f, const Uuid *uuid, const char *parent, const char *type);

/* Takes over all of @from, which is empty afterwards. */
void failure_move(Failure *to, Failure *from);

/* Fills in @ret, whatever it was, with a copy; without memory it becomes FAILURE_NO_MEMORY. */
void failure_copy(const Failure *f, Failure *ret);

/* The errno that goes with a failure: @error, or the one that belongs to the kind. Positive; 0 for none. */
int failure_errno(const Failure *f);

/* "ENOSPC" for 28; also knows the numbers that the kernel lets out by accident (512, 513, 517, 524).
 * Return: a static string, or NULL if there is no name. */
const char *errno_name(int error);

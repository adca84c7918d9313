/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What verbs.c keeps of a request under way; adopt.c makes those that an earlier daemon began, and others may
 * look at them. */

#include "core/callouts.h"
#include "core/manager-private.h"

typedef struct Told {
        char *parent;
        bool exists;
} Told;

/* Somebody else who wants the same, and waits for the same end. */
typedef struct Follower {
        ManagerReply reply;
        void *userdata;
} Follower;

/* One verb under way. */
struct Verb {
        Manager *m;
        Verb *previous, *next; /* in the list of all */
        OpId op;
        OperationKind kind;
        Uuid uuid;
        Requester who; /* its strings are ours */
        char *unit;
        uint64_t began_usec;
        char *parent, *type; /* whose instances it takes or gives back; NULL: none's */
        uint64_t n_readings; /* of its parent, that had begun before it */
        ManagerReply reply;  /* NULL: nobody waits, or has been told "pending" */
        void *userdata;
        sd_event_source *deadline;

        bool adopted; /* an earlier daemon's: its worker tells us nothing, from the beginning we look */
        sd_event_source *again; /* of an adopted one: before its worker is waited for once more */
        bool looked;            /* a worker did not tell all, and another looks at what it left */
        Failure failure;        /* how the operation ended, for the reply */
        Told *told;             /* definitions that it told of */
        size_t n_told, n_told_allocated;
        Follower *followers;
        size_t n_followers, n_followers_allocated;
        Unfinished unfinished; /* what it did not come to end */
        bool missed;           /* something that it told could not be taken in */
};

/* Return: 0; -ENOMEM. @ret is in the list of all until it is freed. */
int verb_new(Manager *m, OperationKind kind, const Uuid *uuid, ManagerReply reply, void *userdata,
                Verb **ret);
Verb *verb_free(Verb *v);
DEFINE_CLEANUP(Verb *, verb_free);

/* Whether it takes or gives back an instance. */
static inline bool verb_moves(const Verb *v) {
        return v->kind == OPERATION_CREATE || v->kind == OPERATION_REMOVE;
}

/* Where the device is, or was: one that is leaving is found nowhere else. Return: NULL if that is not known.
 */
char *verb_last_path(const Verb *v);

/* Has a worker look at what there is of the device and its definitions, when nobody holds @lock_fd any more
 * (consumed, also on error; -EBADF: now). Return: 0, then @handler is called as an operation's is; a negative
 * errno. */
int verb_look(Verb *v, int lock_fd, const OperationHandler *handler);

/* How a verb hears of its operation; the second is its end, or has another look begin. */
void verb_on_fact(const Frame *fact, void *owner);
void verb_on_done(Frame *result, void *owner);

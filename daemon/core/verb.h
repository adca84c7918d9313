/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What verbs.c keeps of a request under way, and others may look at. */

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

        /* Set when a worker died without a word and another looks at what it left, or when this is an adopted
         * one's look: then all definitions are told, and those that are not told are not there. */
        bool looking;
        Failure failure; /* the dead one's, for the reply */
        Told *told;      /* definitions that it told of */
        size_t n_told, n_told_allocated;
        Follower *followers;
        size_t n_followers, n_followers_allocated;
        Unfinished unfinished; /* what it did not come to end */
        bool missed;           /* something that it told could not be taken in */
};

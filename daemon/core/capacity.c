/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What parents offer, and how many instances are left: only the driver knows, and to ask it may take for
 * ever, so a worker asks. At most one reading of a parent is under way and one more is owed: who asks while
 * one is under way needs one that began afterwards, and all who do share it. So no flood of questions makes
 * more than two processes a parent. */

#include "core/manager-private.h"

/* An answer that a driver does not give in this time is the one that it gave last. */
#define READING_PATIENCE_USEC (UINT64_C(5) * 1000 * 1000)

/* One request that waits for some readings. */
typedef struct Join {
        Manager *m;
        unsigned n_refs;    /* one for each waiter, and one while it is being made */
        ManagerReply reply; /* NULL: has been called */
        void *userdata;
        sd_event_source *timer;
} Join;

typedef struct Waiter {
        Join *join;
        struct Waiter *next;
} Waiter;

struct Reading {
        Manager *m;
        char *parent;
        Reading *next;
        Waiter *now;   /* of the reading under way */
        Waiter *later; /* of the one after it */
        bool again;
};

static void join_answer(Join *j) {
        ManagerReply reply = j->reply;
        static const Uuid none;

        j->reply = NULL;
        j->timer = sd_event_source_disable_unref(j->timer);
        if (reply)
                reply(NULL, &none, j->userdata);
}

static void join_unref(Join *j) {
        if (--j->n_refs > 0)
                return;

        join_answer(j);
        free(j);
}

static void waiters_answer(Waiter *w) {
        while (w) {
                Waiter *next = w->next;

                join_unref(w->join);
                free(w);
                w = next;
        }
}

static void reading_free(Reading *reading) {
        for (Reading **r = &reading->m->readings; *r; r = &(*r)->next)
                if (*r == reading) {
                        *r = reading->next;
                        break;
                }

        waiters_answer(reading->now);
        waiters_answer(reading->later);
        free(reading->parent);
        free(reading);
}

static void on_fact(const Frame *fact _unused_, void *owner _unused_) {}

static void on_done(Frame *result, void *owner);

static const OperationHandler handler = { .fact = on_fact, .done = on_done };

static int reading_start(Reading *reading) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_TYPES };
        _cleanup_(failure_done) Failure f = FAILURE_INIT;

        request.op = operations_next_id(reading->m->operations);
        request.parents = calloc(2, sizeof *request.parents);
        if (!request.parents)
                return -ENOMEM;
        request.parents[0] = strdup(reading->parent);
        if (!request.parents[0])
                return -ENOMEM;

        return operations_submit(
                        reading->m->operations, &request, OPERATION_NONE, -EBADF, &handler, reading, &f);
}

static void on_done(Frame *result, void *owner) {
        Reading *reading = owner;
        Waiter *served = TAKE_PTR(reading->now);

        if (reading->again && result->failure.kind != FAILURE_CANCELLED) {
                reading->again = false;
                reading->now = TAKE_PTR(reading->later);
                if (reading_start(reading) < 0)
                        reading_free(reading);
        } else
                reading_free(reading);

        waiters_answer(served);
}

/* Asks for a reading of @parent that begins from now on. @join: is told of its end; NULL: nobody is. */
static int reading_request(Manager *m, const char *parent, Join *join) {
        Reading *reading = m->readings;
        Waiter *w = NULL;
        int r;

        if (join) {
                w = calloc(1, sizeof *w);
                if (!w)
                        return -ENOMEM;
                w->join = join;
        }

        while (reading && !streq(reading->parent, parent))
                reading = reading->next;
        if (reading) {
                reading->again = true;
                if (w) {
                        join->n_refs++;
                        w->next = reading->later;
                        reading->later = w;
                }
                return 0;
        }

        reading = calloc(1, sizeof *reading);
        if (reading)
                reading->parent = strdup(parent);
        if (!reading || !reading->parent) {
                free(reading);
                free(w);
                return -ENOMEM;
        }
        reading->m = m;
        reading->next = m->readings;
        m->readings = reading;

        r = reading_start(reading);
        if (r < 0) {
                free(w);
                reading_free(reading);
                return r;
        }
        if (w) {
                join->n_refs++;
                reading->now = w;
        }
        return 0;
}

void capacity_refresh(Manager *m, const char *parent) {
        (void) reading_request(m, parent, NULL);
}

void capacity_stop(Manager *m) {
        while (m->readings)
                reading_free(m->readings);
}

static int on_patience(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        join_answer(userdata);
        return 0;
}

/* Drops the reference that was there while it was made; replies from the loop, also if nothing had to be
 * read. */
static int on_nothing_to_read(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        join_unref(userdata);
        return 0;
}

int manager_refresh_types(Manager *m, const char *parent, Failure *f, ManagerReply reply, void *userdata) {
        const Parent *p = parent ? registry_find_parent(m->registry, parent) : NULL;
        _cleanup_(freep) Parent **parents = NULL;
        size_t n = 0;
        Join *j;
        int r;

        (void) failure_set_device(f, NULL, parent, NULL);
        if (parent && !p)
                return failure_set(f, FAILURE_NO_SUCH_PARENT, 0, NULL, NULL);
        if (parent && !p->present)
                return failure_set(f, FAILURE_PARENT_ABSENT, 0, NULL, NULL);
        if (!parent && registry_list_parents(m->registry, &parents, &n) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);

        j = calloc(1, sizeof *j);
        if (!j)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        *j = (Join){ .m = m, .n_refs = 1, .reply = reply, .userdata = userdata };

        /* A reading that cannot be begun leaves what was known: not an error of the question. */
        if (parent)
                (void) reading_request(m, parent, j);
        for (size_t i = 0; i < n; i++)
                if (parents[i]->present)
                        (void) reading_request(m, parents[i]->name, j);

        if (j->n_refs == 1) {
                r = sd_event_add_time_relative(
                                m->event, &j->timer, CLOCK_MONOTONIC, 0, 0, on_nothing_to_read, j);
                if (r >= 0)
                        return 0;
                j->reply = NULL;
                join_unref(j);
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        }

        /* Without the timer the answer only comes later. */
        (void) sd_event_add_time_relative(
                        m->event, &j->timer, CLOCK_MONOTONIC, READING_PATIENCE_USEC, 0, on_patience, j);
        j->n_refs--;
        return 0;
}

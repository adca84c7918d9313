/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What parents offer, and how many instances are left: only the driver knows, and to ask it may take for
 * ever, so a worker asks. At most one reading of a parent is under way and one more is owed: who asks while
 * one is under way needs one that began afterwards, and all who do share it. So no flood of questions makes
 * more than two processes a parent.
 *
 * Nobody tells when an instance is taken or given back, so after each creation and removal, ours or not, the
 * parent is read, and its siblings on the same card: a moment later, for such things come in swarms. */

#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "core/manager-private.h"
#include "host/sysfs.h"
#include "model/name.h"

/* An answer that a driver does not give in this time is the one that it gave last; or none, if it never gave
 * one: that, the start and autostart wait for. */
#define READING_PATIENCE_USEC (UINT64_C(5) * 1000 * 1000)
#define FIRST_PATIENCE_USEC (UINT64_C(1) * 1000 * 1000)

#define STALE_DELAY_USEC (UINT64_C(50) * 1000)

#define READINGS_PER_DRIVER_MAX 16U

/* A worker that dies says nothing of the parent. */
#define DEATHS_MAX 3U

/* One request that waits for some readings. */
typedef struct Join {
        Manager *m;
        unsigned n_refs; /* one for each waiter, and one while it is being made */
        ManagerReply reply;
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
        Waiter *now;               /* of the reading under way */
        Waiter *later;             /* of the one after it */
        sd_event_source *patience; /* with a parent that has not been read in its life */
        uint64_t patience_life;    /* which that is */
        bool again;
        unsigned n_deaths;
        uint64_t life; /* of the parent, when it began */
        uint64_t began_usec;
};

static void join_unref(Join *j) {
        static const Uuid none;

        if (--j->n_refs > 0)
                return;

        (void) sd_event_source_disable_unref(j->timer);
        j->reply(NULL, &none, j->userdata);
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

static void waiters_drop(Waiter **list, const Join *j) {
        while (*list) {
                Waiter *w = *list;

                if (w->join == j) {
                        *list = w->next;
                        free(w);
                } else
                        list = &w->next;
        }
}

static void reading_free(Reading *reading) {
        for (Reading **r = &reading->m->readings; *r; r = &(*r)->next)
                if (*r == reading) {
                        *r = reading->next;
                        break;
                }

        (void) sd_event_source_disable_unref(reading->patience);
        waiters_answer(reading->now);
        waiters_answer(reading->later);
        free(reading->parent);
        free(reading);
}

/* Whoever waits to know what a parent offers now knows: nothing, as far as can be told. */
static void give_up(Manager *m, const char *parent) {
        const Parent *p = registry_find_parent(m->registry, parent);

        if (p && p->present && !p->types_known)
                (void) registry_observe_types(m->registry, parent, &(Types){});
}

/* Whether it is of the parent that is there now: what one that was there before it offered says nothing. */
static bool is_current(const Reading *reading) {
        const Parent *p = registry_find_parent(reading->m->registry, reading->parent);

        return p && p->life == reading->life;
}

static Reading *find_reading(const Manager *m, const char *parent) {
        Reading *reading = m->readings;

        while (reading && !streq(reading->parent, parent))
                reading = reading->next;
        return reading;
}

bool capacity_is_current(const Manager *m, const char *parent) {
        const Reading *reading = find_reading(m, parent);

        return reading && is_current(reading);
}

uint64_t capacity_count_readings(const Manager *m, const char *parent) {
        const Parent *p = registry_find_parent(m->registry, parent);

        return p ? p->n_readings + (find_reading(m, parent) ? 1 : 0) : 0;
}

static int on_patience(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Reading *reading = userdata;
        const Parent *p = registry_find_parent(reading->m->registry, reading->parent);

        if (p && p->life == reading->patience_life) {
                give_up(reading->m, reading->parent);
                manager_commit(reading->m);
        }
        return 0;
}

/* Whichever reading it is that hangs: the parent may have come anew while it was asked what it had before. */
static void begin_patience(Reading *reading) {
        const Parent *p = registry_find_parent(reading->m->registry, reading->parent);

        if (!p || !p->present || p->types_known || (reading->patience && reading->patience_life == p->life))
                return;

        reading->patience = sd_event_source_disable_unref(reading->patience);
        reading->patience_life = p->life;
        if (sd_event_add_time_relative(reading->m->event, &reading->patience, CLOCK_MONOTONIC,
                            FIRST_PATIENCE_USEC, 0, on_patience, reading) < 0)
                log_debug("No memory to wait for what parent %s offers, ignoring.", reading->parent);
}

static void on_fact(const Frame *fact _unused_, void *owner _unused_) {}

static void on_done(Frame *result, void *owner);

static const OperationHandler handler = { .fact = on_fact, .done = on_done };

static int reading_start(Reading *reading) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_TYPES };
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Manager *m = reading->m;
        const Parent *p = registry_find_parent(m->registry, reading->parent);
        Lane *lane;

        reading->life = p ? p->life : 0;
        (void) sd_event_now(m->event, CLOCK_MONOTONIC, &reading->began_usec);
        lane = manager_driver_lane(m, "read", reading->parent, READINGS_PER_DRIVER_MAX);
        request.op = operations_next_id(m->operations);
        request.parents = calloc(2, sizeof *request.parents);
        if (!lane || !request.parents)
                return -ENOMEM;
        request.parents[0] = strdup(reading->parent);
        if (!request.parents[0])
                return -ENOMEM;

        return operations_submit(
                        m->operations, &request, OPERATION_NONE, -EBADF, lane, &handler, reading, &f);
}

static void on_done(Frame *result, void *owner) {
        Reading *reading = owner;
        Waiter *served = TAKE_PTR(reading->now);
        bool cancelled = result->failure.kind == FAILURE_CANCELLED;

        troubles_memory_said(&result->failure, 0);
        if (result->failure.kind == FAILURE_WORKER && ++reading->n_deaths < DEATHS_MAX &&
                        reading_start(reading) >= 0) {
                reading->now = served;
                return;
        }
        if (reading->again && !cancelled) {
                reading->again = false;
                reading->now = TAKE_PTR(reading->later);
                if (reading_start(reading) >= 0) {
                        waiters_answer(served);
                        return;
                }
        }

        if (!cancelled) {
                give_up(reading->m, reading->parent);
                manager_commit(reading->m);
        }
        reading_free(reading);
        waiters_answer(served);
}

static int add_waiter(Waiter **list, Join *join) {
        Waiter *w;

        if (!join)
                return 0;
        w = malloc(sizeof *w);
        if (!w)
                return -ENOMEM;
        *w = (Waiter){ .join = join, .next = *list };
        *list = w;
        join->n_refs++;
        return 0;
}

/* Asks for a reading of @parent that begins from now on. @join: is told of its end; NULL: nobody is. */
static int reading_request(Manager *m, const char *parent, Join *join) {
        Reading *reading = find_reading(m, parent);
        int r;

        if (reading) {
                reading->again = true;
                begin_patience(reading);
                return add_waiter(&reading->later, join);
        }

        reading = calloc(1, sizeof *reading);
        if (reading)
                reading->parent = strdup(parent);
        if (!reading || !reading->parent) {
                free(reading);
                return -ENOMEM;
        }
        reading->m = m;
        reading->next = m->readings;
        m->readings = reading;

        r = reading_start(reading);
        if (r < 0) {
                reading_free(reading);
                return r;
        }
        begin_patience(reading);
        return add_waiter(&reading->now, join);
}

void capacity_refresh(Manager *m, const char *parent) {
        if (memory_check(reading_request(m, parent, NULL)) < 0)
                give_up(m, parent);
}

/* What has changed */

static void add_stale(Manager *m, const char *parent) {
        char **larger;

        for (size_t i = 0; i < m->n_stale; i++)
                if (streq(m->stale[i], parent))
                        return;

        larger = reallocarray(m->stale, m->n_stale + 2, sizeof *larger);
        if (larger) {
                m->stale = larger;
                m->stale[m->n_stale] = strdup(parent);
        }
        if (larger && m->stale[m->n_stale])
                m->stale[++m->n_stale] = NULL;
        else
                (void) memory_check(-ENOMEM);
}

static int on_stale(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        _cleanup_(strv_freep) char **stale = NULL;
        Manager *m = userdata;

        m->stale_timer = sd_event_source_disable_unref(m->stale_timer);
        for (size_t i = 0, n = m->n_stale; i < n; i++) {
                _cleanup_(strv_freep) char **siblings = NULL;

                if (m->sys_fd >= 0 && sysfs_list_siblings(m->sys_fd, m->stale[i], &siblings) >= 0)
                        for (char **s = siblings; s && *s; s++)
                                add_stale(m, *s);
        }

        stale = TAKE_PTR(m->stale);
        m->n_stale = 0;
        for (char **name = stale; name && *name; name++)
                capacity_refresh(m, *name);
        return 0;
}

void capacity_changed(Manager *m, const char *parent) {
        add_stale(m, parent);
        if (!m->stale_timer &&
                        memory_check(sd_event_add_time_relative(m->event, &m->stale_timer, CLOCK_MONOTONIC,
                                        STALE_DELAY_USEC, 0, on_stale, m)) < 0)
                log_debug("No memory to read what parent %s has left, ignoring.", parent);
}

int capacity_list_troubles(const Manager *m, uint64_t now_usec, unsigned max, TroubleFn fn, void *userdata) {
        unsigned n = 0;
        int r = 0;

        for (const Reading *reading = m->readings; reading && n < max && r >= 0;
                        reading = reading->next, n++) {
                char sentence[NAME_LENGTH_MAX + 128];

                (void) snprintf(sentence, sizeof sentence,
                                "The driver of parent %s does not say what is left of its types.",
                                reading->parent);
                r = troubles_tell_slow(&(Trouble){ .name = "driver", .sentence = sentence },
                                reading->began_usec, now_usec, fn, userdata);
        }
        return r;
}

void capacity_stop(Manager *m) {
        while (m->readings)
                reading_free(m->readings);
        m->stale_timer = sd_event_source_disable_unref(m->stale_timer);
        m->stale = strv_free(m->stale);
}

/* Requests */

/* The readings that it waited for go on, but nobody waits for them any more. */
static int on_join_patience(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Join *j = userdata;

        for (Reading *reading = j->m->readings; reading; reading = reading->next) {
                waiters_drop(&reading->now, j);
                waiters_drop(&reading->later, j);
        }
        j->n_refs = 1;
        join_unref(j);
        return 0;
}

int manager_refresh_types(Manager *m, const char *parent, Failure *f, ManagerReply reply, void *userdata) {
        const Parent *p = parent ? registry_find_parent(m->registry, parent) : NULL;
        _cleanup_(freep) Parent **parents = NULL;
        size_t n = 0;
        Join *j;

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
                (void) memory_check(reading_request(m, parent, j));
        for (size_t i = 0; i < n; i++)
                if (parents[i]->present)
                        (void) memory_check(reading_request(m, parents[i]->name, j));

        if (--j->n_refs == 0) {
                free(j);
                return 1;
        }

        /* Without the timer the answer only comes later. */
        (void) sd_event_add_time_relative(
                        m->event, &j->timer, CLOCK_MONOTONIC, READING_PATIENCE_USEC, 0, on_join_patience, j);
        return 0;
}

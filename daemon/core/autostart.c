/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starting what is marked to be started. The arrival of a parent opens a round: every definition on it that
 * is marked, and whose device does not live, is due, and stays so until the device lives or is not marked any
 * more. What is due is looked at again with each change that concerns it, and model/autostart.c says what is
 * to be done. What is marked later than its parent came, or was stopped by somebody, is not due: it is
 * started with the next arrival, as with "systemctl enable".
 *
 * A round outlives the daemon (rounds.h): a restart neither starts again what somebody has stopped nor
 * forgets what waits.
 *
 * Changes are taken in at the commit point, where nothing may be begun; what follows from them is done in a
 * turn of the loop of its own. */

#include <search.h>

#include "base/log.h"
#include "base/memory.h"
#include "core/manager-private.h"
#include "core/rounds.h"
#include "model/autostart.h"

/* Between the attempts with a driver that says "not yet": 0.2, 0.4 … 6.4 s, some 12 s in all. */
#define NOT_YET_DELAY_USEC (UINT64_C(200) * 1000)
#define NOT_YET_MAX 6U

/* A device that is to be started. */
typedef struct Due {
        AutostartDevice autostart; /* first: its UUID is the key */
        Manager *m;
        sd_event_source *again;
        bool undecided;
        bool queued;
} Due;

struct Autostarts {
        bool begun; /* the definitions are known */
        void *due;  /* of Due, by UUID */
        size_t n_due, n_queued, n_trying, n_undecided;
        Rounds *rounds;
        sd_event_source *run;
};

/* What is due */

static int due_order(const void *a, const void *b) {
        return uuid_order(&((const Due *) a)->autostart.uuid, &((const Due *) b)->autostart.uuid);
}

static Due *find_due(const Autostarts *a, const Uuid *uuid) {
        const Due key = { .autostart.uuid = *uuid };
        void *node = tfind(&key, (void *const *) &a->due, due_order);

        return node ? *(Due **) node : NULL;
}

static void due_free(void *p) {
        Due *due = p;

        (void) sd_event_source_disable_unref(due->again);
        autostart_done(&due->autostart);
        free(due);
}

/* One place where the numbers are kept. */
static void due_set(Due *due, bool queued, bool undecided, bool trying) {
        Autostarts *a = due->m->autostarts;

        a->n_queued += (size_t) queued - (size_t) due->queued;
        a->n_undecided += (size_t) undecided - (size_t) due->undecided;
        a->n_trying += (size_t) trying - (size_t) due->autostart.trying;
        due->queued = queued;
        due->undecided = undecided;
        due->autostart.trying = trying;
}

static void run_soon(Manager *m) {
        (void) sd_event_source_set_enabled(m->autostarts->run, SD_EVENT_ONESHOT);
}

/* To be looked at in the next turn of the loop. */
static void enqueue(Due *due) {
        due_set(due, true, due->undecided, due->autostart.trying);
        run_soon(due->m);
}

static int add_due(Manager *m, const Device *d) {
        Autostarts *a = m->autostarts;
        Due *due = find_due(a, &d->uuid);

        if (!due) {
                due = calloc(1, sizeof *due);
                if (!due)
                        return -ENOMEM;
                due->autostart.uuid = d->uuid;
                due->m = m;
                if (!tsearch(due, &a->due, due_order)) {
                        due_free(due);
                        return -ENOMEM;
                }
                a->n_due++;
        }

        rounds_changed(a->rounds, d);
        enqueue(due);
        return 0;
}

static void drop_due(Due *due) {
        Manager *m = due->m;

        due_set(due, false, false, false);
        (void) tdelete(due, &m->autostarts->due, due_order);
        m->autostarts->n_due--;
        rounds_changed(m->autostarts->rounds, registry_find(m->registry, &due->autostart.uuid));
        due_free(due);
}

typedef struct DueList {
        Due **list;
        size_t n;
} DueList;

static void collect_one(const void *node, VISIT visit, void *userdata) {
        DueList *l = userdata;

        if (visit == postorder || visit == leaf)
                l->list[l->n++] = *(Due *const *) node;
}

/* @ret: the vector is the caller's; its elements only as long as they are due. */
static int collect_due(const Autostarts *a, DueList *ret) {
        *ret = (DueList){ .list = calloc(a->n_due + 1, sizeof *ret->list) };
        if (!ret->list)
                return -ENOMEM;
        twalk_r(a->due, collect_one, ret);
        return 0;
}

/* Attempts */

/* Attempts that a new reading need not have counted: some still wait for their turn. */
static uint32_t count_attempts(const Manager *m, const Parent *p, const char *type) {
        uint32_t n = 0;
        DueList due;

        if (collect_due(m->autostarts, &due) < 0)
                return 0;
        for (size_t i = 0; i < due.n; i++) {
                const Device *d = registry_find(m->registry, &due.list[i]->autostart.uuid);

                if (due.list[i]->autostart.trying && d && d->parent == p && streq_ptr(d->type, type))
                        n++;
        }

        free(due.list);
        return n;
}

/* Takes one of the instances that the last reading left. So of many that wait for few instances only so many
 * are tried. Return: whether there was one. */
static bool spend(Manager *m, const Definition *definition) {
        const Parent *p = registry_find_parent(m->registry, definition->parent);
        const Type *type = p ? parent_find_type(p, definition->type) : NULL;
        Spent *spent = type ? rounds_spent(m->autostarts->rounds, p, type->name) : NULL;

        if (!spent)
                return true;
        if (spent->n_readings != p->n_readings) {
                spent->n_readings = p->n_readings;
                spent->n = count_attempts(m, p, definition->type);
        }
        if (spent->n >= type->available_instances)
                return false;
        spent->n++;
        return true;
}

/* Failures that say more about the moment than about the device. */
static const bool is_transient[_FAILURE_MAX] = {
        [FAILURE_EXISTS] = true,
        [FAILURE_EXISTS_IN_KERNEL] = true,
        [FAILURE_BEING_CREATED] = true,
        [FAILURE_BEING_REMOVED] = true,
        [FAILURE_BUSY] = true,
        [FAILURE_CHANGED_MEANWHILE] = true,
        [FAILURE_PARENT_ABSENT] = true,
        [FAILURE_NO_SUCH_TYPE] = true,
        [FAILURE_TOO_MANY] = true,
        [FAILURE_WORKER] = true,
        [FAILURE_NO_MEMORY] = true,
};

static AttemptResult result_of(const Failure *f, unsigned n_not_yet) {
        bool transient = is_transient[f->kind] || (f->kind == FAILURE_KERNEL && f->error == EAGAIN);

        if (f->kind == FAILURE_NO_CAPACITY)
                return ATTEMPT_FULL;
        return transient && n_not_yet < NOT_YET_MAX ? ATTEMPT_NOT_YET : ATTEMPT_FAILED;
}

static int on_again(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Due *due = userdata;

        due->again = sd_event_source_disable_unref(due->again);
        for (size_t i = 0; i < due->autostart.n_attempts; i++)
                due->autostart.attempts[i].again = true;
        enqueue(due);
        return 0;
}

static void try_again_later(Due *due, const char *parent) {
        const Attempt *attempt = autostart_find(&due->autostart, parent);
        uint64_t delay = NOT_YET_DELAY_USEC << (attempt->n_not_yet - 1);

        due->again = sd_event_source_disable_unref(due->again);
        if (memory_check(sd_event_add_time_relative(
                            due->m->event, &due->again, CLOCK_MONOTONIC, delay, 0, on_again, due)) < 0)
                log_debug("No memory to wait before the next attempt, ignoring.");
}

static void attempt_failed(Due *due, const char *parent, const Failure *f) {
        const Parent *p = registry_find_parent(due->m->registry, parent);
        AttemptResult result;

        if (!p || !p->present)
                return;
        result = result_of(f, autostart_count_not_yet(&due->autostart, p));
        if (memory_check(autostart_remember(&due->autostart, p, result)) >= 0 && result == ATTEMPT_NOT_YET)
                try_again_later(due, parent);
}

static void on_tried(const Failure *f, const Uuid *uuid, void *userdata) {
        Manager *m = userdata;
        Due *due;

        if (f && f->kind == FAILURE_CANCELLED)
                return;

        due = find_due(m->autostarts, uuid);
        if (!due)
                return;
        due_set(due, due->queued, due->undecided, false);
        if (f && f->parent)
                attempt_failed(due, f->parent, f);
        enqueue(due);
}

static void try_it(Due *due, const Definition *definition) {
        const CreateOptions options = { .exist_ok = true };
        _cleanup_(definition_done) Definition copy = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Manager *m = due->m;
        int r;

        /* What is borrowed from the registry may be gone after the next commit. */
        r = definition_copy(definition, &copy);
        if (memory_check(r) < 0) {
                log_warning_errno(
                                r, "Not enough memory to start device %s.", UUID_TEXT(&due->autostart.uuid));
                return;
        }

        due_set(due, false, false, true);
        manager_requested_by(m, NULL);
        r = memory_check(manager_create(m, &copy, &options, &f, on_tried, m));
        if (r == 0)
                return;
        due_set(due, due->queued, due->undecided, false);
        if (r < 0)
                attempt_failed(due, copy.parent, &f);
        enqueue(due);
        /* The instance that was spent was not taken, and others wait for the reading after it. */
        capacity_changed(m, copy.parent);
}

static void consider(Due *due) {
        const Device *d = registry_find(due->m->registry, &due->autostart.uuid);
        AutostartDecision decision = { .verdict = AUTOSTART_OVER };

        due_set(due, false, due->undecided, due->autostart.trying);
        if (due->autostart.trying)
                return;
        if (d)
                decision = autostart_decide(due->m->registry, d, &due->autostart);
        due_set(due, false,
                        decision.verdict == AUTOSTART_UNDECIDED ||
                                        /* With what ends soon. A removal may wait for somebody's VM. */
                                        (d && decision.verdict == AUTOSTART_BUSY &&
                                                        device_state(d) != DEVICE_REMOVING),
                        false);

        switch (decision.verdict) {
        case AUTOSTART_OVER:
                registry_set_waiting(due->m->registry, &due->autostart.uuid, WAITING_NOT);
                drop_due(due);
                break;
        case AUTOSTART_BUSY:
        case AUTOSTART_UNDECIDED:
                break;
        case AUTOSTART_WAIT:
                registry_set_waiting(due->m->registry, &due->autostart.uuid, decision.waiting);
                break;
        case AUTOSTART_START:
                registry_set_waiting(due->m->registry, &due->autostart.uuid, WAITING_NOT);
                if (spend(due->m, decision.definition))
                        try_it(due, decision.definition);
                else /* the end of those before it leads to another reading */
                        due_set(due, false, true, false);
                break;
        }
}

/* Rounds */

static void remember_rounds(Manager *m) {
        Autostarts *a = m->autostarts;
        _cleanup_(freep) Uuid *uuids = NULL;
        DueList due;

        if (!rounds_have_changed(a->rounds) || collect_due(a, &due) < 0)
                return;

        uuids = calloc(due.n + 1, sizeof *uuids);
        for (size_t i = 0; uuids && i < due.n; i++)
                uuids[i] = due.list[i]->autostart.uuid;
        if (uuids)
                rounds_remember(a->rounds, m->registry, uuids, due.n);
        free(due.list);
}

static int on_run(sd_event_source *s _unused_, void *userdata) {
        Manager *m = userdata;
        DueList due;

        if (m->autostarts->n_queued > 0 && collect_due(m->autostarts, &due) >= 0) {
                for (size_t i = 0; i < due.n; i++)
                        if (due.list[i]->queued)
                                consider(due.list[i]);
                free(due.list);
        }
        remember_rounds(m);

        manager_commit(m);
        return 0;
}

/* Opens a round; what is due in it: the listed ones, or without a list all that is marked. */
static int open_round(Manager *m, const Parent *p, const Uuid *uuids, size_t n_uuids, bool all) {
        _cleanup_(freep) Device **devices = NULL;
        size_t n = 0;
        int r;

        r = rounds_open(m->autostarts->rounds, p);
        if (r < 0)
                return r;
        run_soon(m);

        for (size_t i = 0; i < n_uuids; i++) {
                const Device *d = registry_find(m->registry, &uuids[i]);

                if (d && !device_is_active(d))
                        (void) add_due(m, d);
        }
        if (!all)
                return 0;

        r = registry_list(m->registry, &devices, &n);
        for (size_t i = 0; i < n; i++) {
                const Definition *definition = device_find_definition(devices[i], p->name);

                if (definition && definition->autostart && !device_is_active(devices[i]))
                        (void) add_due(m, devices[i]);
        }
        return r;
}

/* The first look at a parent in the life of this daemon: perhaps the one before it was at this round already.
 */
static void resume_round(Manager *m, const Parent *p) {
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n = 0;
        bool known;

        known = rounds_recall(m->autostarts->rounds, p, &uuids, &n) >= 0;
        (void) open_round(m, p, uuids, n, !known);
}

/* Changes */

void autostart_types_read(Manager *m, const char *parent) {
        Autostarts *a = m->autostarts;
        DueList due;

        if (a->n_due == 0 || collect_due(a, &due) < 0)
                return;

        for (size_t i = 0; i < due.n; i++) {
                const Device *d = registry_find(m->registry, &due.list[i]->autostart.uuid);

                if (d && device_find_definition(d, parent))
                        enqueue(due.list[i]);
        }
        free(due.list);
}

static void parent_changed(Manager *m, const Parent *p, unsigned what) {
        Autostarts *a = m->autostarts;

        if (!p->present)
                rounds_close(a->rounds, p->name);
        else if (!rounds_has(a->rounds, p))
                (void) open_round(m, p, NULL, 0, true);

        autostart_types_read(m, p->name);

        if (what & CHANGED_PARENT) {
                _cleanup_(freep) Device **devices = NULL;
                size_t n = 0;

                if (p->n_references == 0 || registry_list(m->registry, &devices, &n) < 0)
                        return;
                for (size_t i = 0; i < n; i++)
                        if (device_find_definition(devices[i], p->name) && !find_due(a, &devices[i]->uuid))
                                registry_set_waiting(m->registry, &devices[i]->uuid,
                                                autostart_outlook(m->registry, devices[i]));
        }
}

static void device_changed(Manager *m, const Device *d, unsigned what) {
        Due *due = find_due(m->autostarts, &d->uuid);

        if (!due) {
                registry_set_waiting(m->registry, &d->uuid, autostart_outlook(m->registry, d));
                return;
        }
        if (what & CHANGED_DEFINITIONS) {
                autostart_forget(&due->autostart);
                rounds_changed(m->autostarts->rounds, d);
        }
        /* Also if nothing but the end of an operation was seen: it may have been waited for. */
        if (what != CHANGED_WAITING)
                enqueue(due);
}

void autostart_changes(Manager *m) {
        const Change *changes;
        size_t n;

        if (!m->autostarts->begun)
                return;

        /* More may be queued on the way, and the vector may move. */
        for (size_t i = 0; changes = registry_changes(m->registry, &n), i < n; i++) {
                if (changes[i].parent)
                        parent_changed(m, changes[i].parent, changes[i].what);
                else if (changes[i].device)
                        device_changed(m, changes[i].device, changes[i].what);
        }
}

void autostart_files_read(Manager *m) {
        Autostarts *a = m->autostarts;
        _cleanup_(freep) Parent **parents = NULL;
        _cleanup_(freep) Device **devices = NULL;
        size_t n_parents = 0, n_devices = 0;

        if (a->begun)
                return;

        a->begun = true;
        (void) registry_list_parents(m->registry, &parents, &n_parents);
        for (size_t i = 0; i < n_parents; i++)
                if (parents[i]->present)
                        resume_round(m, parents[i]);

        (void) registry_list(m->registry, &devices, &n_devices);
        for (size_t i = 0; i < n_devices; i++)
                if (!find_due(a, &devices[i]->uuid))
                        registry_set_waiting(m->registry, &devices[i]->uuid,
                                        autostart_outlook(m->registry, devices[i]));
}

bool autostart_is_settled(const Manager *m) {
        const Autostarts *a = m->autostarts;

        return a->begun && a->n_queued == 0 && a->n_trying == 0 && a->n_undecided == 0;
}

int autostart_start(Manager *m) {
        Autostarts *a = calloc(1, sizeof *a);
        int r;

        if (!a)
                return -ENOMEM;
        m->autostarts = a;
        r = rounds_new(&a->rounds, m->root_fd);
        if (r < 0)
                return r;
        r = sd_event_add_defer(m->event, &a->run, on_run, m);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(a->run, SD_EVENT_OFF);
}

void autostart_stop(Manager *m) {
        Autostarts *a = m->autostarts;

        if (!a)
                return;

        (void) sd_event_source_disable_unref(a->run);
        tdestroy(a->due, due_free);
        (void) rounds_free(a->rounds);
        free(a);
        m->autostarts = NULL;
}

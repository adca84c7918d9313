/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keeps the registry true to the definition files. A worker reads them all and tells each; when it is done,
 * those that the registry knows and it did not tell are gone. What operations of ours write meanwhile is
 * newer than what the reading says about the same UUID, so such a UUID's files are left out of it. */

#include <stdio.h>

#include "api/mdevd-messages.h"
#include "base/log.h"
#include "core/manager-private.h"

#define INVALID_MAX 1024U /* files that are reported one by one; who has more has one problem, not many */

typedef struct ScanWaiter {
        ManagerReply reply;
        void *userdata;
} ScanWaiter;

/* A reading of all files under way. */
struct Scan {
        Manager *m;
        OpId op;
        struct Seen {
                Uuid uuid;
                uint32_t parent; /* index in @parents */
        } * seen;
        size_t n_seen, n_seen_allocated;
        char **parents;
        size_t n_parents, n_parents_allocated;

        Uuid *touched; /* whose definitions changed since it began: what it read of them may be older */
        size_t n_touched, n_touched_allocated;

        InvalidDefinition *invalid;
        size_t n_invalid, n_invalid_allocated;

        ScanWaiter *now, *later; /* who waits for this one, and who came while it was under way */
        size_t n_now, n_later;
        bool again;
};

static void invalid_done(InvalidDefinition *list, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(list[i].path);
                free(list[i].reason);
        }
        free(list);
}

static InvalidDefinition *find_invalid(InvalidDefinition *list, size_t n, const char *path) {
        for (size_t i = 0; i < n; i++)
                if (streq(list[i].path, path))
                        return &list[i];

        return NULL;
}

static int add_invalid(InvalidDefinition **list, size_t *n, size_t *n_allocated, const char *path,
                const char *reason) {
        _cleanup_(freep) char *p = NULL, *why = NULL;
        int r;

        if (*n >= INVALID_MAX)
                return 0;
        p = strdup(path);
        why = strdup(reason);
        if (!p || !why)
                return -ENOMEM;
        r = grow((void **) list, n_allocated, *n + 1, sizeof **list);
        if (r < 0)
                return r;

        (*list)[(*n)++] = (InvalidDefinition){ .path = TAKE_PTR(p), .reason = TAKE_PTR(why) };
        return 0;
}

static void log_invalid(const char *path, const char *reason) {
        const LogField fields[] = { { "MDEVD_PATH", path }, {} };

        log_event(LOG_WARNING, MDEVD_MESSAGE_INVALID_DEFINITION, fields,
                        "%s is not a definition and is left alone: %s", path, reason);
}

int files_add_invalid(Manager *m, const char *path, const char *reason) {
        InvalidDefinition *known = find_invalid(m->invalid, m->n_invalid, path);

        if (known && streq(known->reason, reason))
                return 0;

        log_invalid(path, reason);
        m->changes |= MANAGER_CHANGED_INVALID;
        return known ? free_and_strdup(&known->reason, reason)
                     : add_invalid(&m->invalid, &m->n_invalid, &m->n_invalid_allocated, path, reason);
}

const InvalidDefinition *manager_invalid_definitions(const Manager *m, size_t *ret_n) {
        *ret_n = m->n_invalid;
        return m->invalid;
}

bool manager_is_settled(const Manager *m) {
        return !m->scan;
}

static Scan *scan_free(Scan *s) {
        if (!s)
                return NULL;

        for (size_t i = 0; i < s->n_parents; i++)
                free(s->parents[i]);
        free(s->parents);
        free(s->seen);
        free(s->touched);
        invalid_done(s->invalid, s->n_invalid);
        free(s->now);
        free(s->later);
        free(s);
        return NULL;
}

void files_touched(Manager *m, const Uuid *uuid) {
        Scan *s = m->scan;

        if (s &&
                        grow((void **) &s->touched, &s->n_touched_allocated, s->n_touched + 1,
                                        sizeof *s->touched) >= 0)
                s->touched[s->n_touched++] = *uuid;
}

static bool is_touched(const Scan *s, const Uuid *uuid) {
        for (size_t i = 0; i < s->n_touched; i++)
                if (uuid_equal(&s->touched[i], uuid))
                        return true;

        return false;
}

/* Files come one folder after the other, so the last parent is nearly always the one. */
static int scan_parent_index(Scan *s, const char *parent, uint32_t *ret) {
        int r;

        for (size_t i = s->n_parents; i-- > 0;)
                if (streq(s->parents[i], parent)) {
                        *ret = (uint32_t) i;
                        return 0;
                }

        r = grow((void **) &s->parents, &s->n_parents_allocated, s->n_parents + 1, sizeof *s->parents);
        if (r < 0)
                return r;
        s->parents[s->n_parents] = strdup(parent);
        if (!s->parents[s->n_parents])
                return -ENOMEM;
        *ret = (uint32_t) s->n_parents++;
        return 0;
}

static int scan_invalid(Scan *s, const char *path, const char *reason) {
        const InvalidDefinition *known = find_invalid(s->m->invalid, s->m->n_invalid, path);

        if (!known || !streq(known->reason, reason))
                log_invalid(path, reason);
        return add_invalid(&s->invalid, &s->n_invalid, &s->n_invalid_allocated, path, reason);
}

static int scan_one_too_many(Scan *s, const Definition *d) {
        _cleanup_(freep) char *path = NULL;
        char reason[64];

        (void) snprintf(reason, sizeof reason, "the device has more than %u definitions", DEFINITIONS_MAX);
        if (asprintf(&path, "/etc/mdevctl.d/%s/%s", d->parent, UUID_TEXT(&d->uuid)) < 0)
                return -ENOMEM;
        return scan_invalid(s, path, reason);
}

static int scan_definition(Scan *s, const Definition *d) {
        uint32_t parent;
        int r;

        r = scan_parent_index(s, d->parent, &parent);
        if (r < 0)
                return r;
        r = grow((void **) &s->seen, &s->n_seen_allocated, s->n_seen + 1, sizeof *s->seen);
        if (r < 0)
                return r;
        s->seen[s->n_seen++] = (struct Seen){ .uuid = d->uuid, .parent = parent };

        if (is_touched(s, &d->uuid))
                return 0;
        r = registry_observe_definition(s->m->registry, &d->uuid, d->parent, d, 0);
        return r == -EUSERS ? scan_one_too_many(s, d) : r;
}

static void on_scan_fact(const Frame *fact, void *owner) {
        Scan *s = owner;
        int r = 0;

        if (fact->kind == FRAME_DEFINITION && fact->exists)
                r = scan_definition(s, &fact->definition);
        else if (fact->kind == FRAME_INVALID)
                r = scan_invalid(s, fact->path, fact->reason);
        if (r < 0)
                log_warning_errno(r, "A definition could not be taken in, ignoring: %s", strerror(-r));
}

static int seen_order(const void *a, const void *b) {
        const struct Seen *x = a, *y = b;
        int order = uuid_order(&x->uuid, &y->uuid);

        return order != 0 ? order : x->parent < y->parent ? -1 : x->parent > y->parent;
}

static bool scan_saw(const Scan *s, const Uuid *uuid, const char *parent) {
        for (size_t i = 0; i < s->n_parents; i++) {
                struct Seen key = { .uuid = *uuid, .parent = (uint32_t) i };

                if (streq(s->parents[i], parent))
                        return bsearch(&key, s->seen, s->n_seen, sizeof key, seen_order);
        }

        return false;
}

/* Definitions that the registry knows and no file is there for. */
static void drop_unseen(Scan *s) {
        _cleanup_(freep) Device **devices = NULL;
        size_t n = 0;

        if (s->n_seen > 0)
                qsort(s->seen, s->n_seen, sizeof *s->seen, seen_order);
        if (registry_list(s->m->registry, &devices, &n) < 0)
                return;

        for (size_t i = 0; i < n; i++) {
                Device *d = devices[i];

                if (d->op != 0 || is_touched(s, &d->uuid))
                        continue;
                for (uint32_t k = d->n_definitions; k-- > 0;) {
                        _cleanup_(freep) char *parent = NULL;

                        if (scan_saw(s, &d->uuid, d->definitions[k].parent))
                                continue;
                        parent = strdup(d->definitions[k].parent);
                        if (parent)
                                (void) registry_observe_definition(s->m->registry, &d->uuid, parent, NULL, 0);
                }
        }
}

static void replace_invalid(Scan *s) {
        Manager *m = s->m;
        bool same = m->n_invalid == s->n_invalid;

        for (size_t i = 0; same && i < s->n_invalid; i++) {
                const InvalidDefinition *known = find_invalid(m->invalid, m->n_invalid, s->invalid[i].path);

                same = known && streq(known->reason, s->invalid[i].reason);
        }
        if (same)
                return;

        invalid_done(m->invalid, m->n_invalid);
        m->invalid = TAKE_PTR(s->invalid);
        m->n_invalid = s->n_invalid;
        m->n_invalid_allocated = s->n_invalid_allocated;
        s->n_invalid = 0;
        m->changes |= MANAGER_CHANGED_INVALID;
}

static void answer(const ScanWaiter *waiters, size_t n, const Failure *f) {
        static const Uuid none;

        for (size_t i = 0; i < n; i++)
                waiters[i].reply(failure_is_set(f) ? f : NULL, &none, waiters[i].userdata);
}

static int scan_start(Manager *m, ScanWaiter *waiters, size_t n_waiters, Failure *f);

static void on_scan_done(Frame *result, void *owner) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Scan *s = owner;
        Manager *m = s->m;

        m->scan = NULL;
        if (!failure_is_set(&result->failure)) {
                drop_unseen(s);
                replace_invalid(s);
        } else if (result->failure.kind != FAILURE_CANCELLED)
                log_warning_errno(failure_errno(&result->failure),
                                "The definitions could not be read, those known before stay: %s",
                                strempty(result->failure.detail));

        if (result->failure.kind != FAILURE_CANCELLED) {
                if (s->again && scan_start(m, s->later, s->n_later, &f) >= 0) {
                        s->later = NULL;
                        s->n_later = 0;
                }
                m->changes |= MANAGER_CHANGED_SETTLED;
                manager_commit(m);
        }

        answer(s->now, s->n_now, &result->failure);
        answer(s->later, s->n_later, failure_is_set(&f) ? &f : &result->failure);
        (void) scan_free(s);
}

static const OperationHandler scan_handler = { .fact = on_scan_fact, .done = on_scan_done };

/* On success the vector of waiters is taken over. */
static int scan_start(Manager *m, ScanWaiter *waiters, size_t n_waiters, Failure *f) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_SCAN };
        Scan *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        s->m = m;
        s->op = request.op = operations_next_id(m->operations);

        r = operations_submit(m->operations, &request, OPERATION_NONE, -EBADF, &scan_handler, s, f);
        if (r < 0) {
                (void) scan_free(s);
                return r;
        }

        s->now = waiters;
        s->n_now = n_waiters;
        m->scan = s;
        m->changes |= MANAGER_CHANGED_SETTLED;
        manager_commit(m);
        return 0;
}

static int add_waiter(ScanWaiter **list, size_t *n, ManagerReply reply, void *userdata) {
        ScanWaiter *larger = reallocarray(*list, *n + 1, sizeof *larger);

        if (!larger)
                return -ENOMEM;
        *list = larger;
        (*list)[(*n)++] = (ScanWaiter){ .reply = reply, .userdata = userdata };
        return 0;
}

int files_scan(Manager *m, Failure *f, ManagerReply reply, void *userdata) {
        Scan *s = m->scan;
        ScanWaiter *waiters = NULL;
        size_t n = 0;
        int r = 0;

        if (reply)
                r = s ? add_waiter(&s->later, &s->n_later, reply, userdata)
                      : add_waiter(&waiters, &n, reply, userdata);
        if (r < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);

        /* One that is under way may have passed by what this one is asked for. */
        if (s) {
                s->again = true;
                return 0;
        }

        r = scan_start(m, waiters, n, f);
        if (r < 0)
                free(waiters);
        return r;
}

void files_stop(Manager *m) {
        m->scan = scan_free(m->scan);
        invalid_done(m->invalid, m->n_invalid);
        m->invalid = NULL;
        m->n_invalid = 0;
}

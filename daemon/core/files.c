/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keeps the registry true to the definition files. A worker reads them, all or at some places, and tells
 * each; when it is done, those that the registry knows and it did not tell are gone. What operations of ours
 * wrote meanwhile is newer than what the reading says about the same definition, and stands. What could not
 * be read is not gone.
 *
 * A reading that fails, because its worker was killed or the disk refuses, is owed all the same: it is done
 * again, some times at once, and then all files are read, now and then, until that has succeeded. */

#include <search.h>
#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "core/manager-private.h"
#include "model/name.h"

/* At once, for that a worker was killed says nothing of the files; then not so soon, for a disk. */
#define READINGS_AT_ONCE 3U
#define OWED_FIRST_USEC (UINT64_C(1) * 1000 * 1000)
#define OWED_LAST_USEC (UINT64_C(60) * 1000 * 1000)

typedef struct ScanWaiter {
        ManagerReply reply;
        void *userdata;
} ScanWaiter;

typedef struct ScanParent {
        char *name;
        bool is_spared; /* its directory could not be read */
} ScanParent;

/* One definition, as a scan remembers it. */
typedef struct Seen {
        Uuid uuid;
        const ScanParent *parent;
} Seen;

typedef struct SeenList {
        Seen *list;
        size_t n, n_allocated;
} SeenList;

/* A reading under way. */
struct Scan {
        Manager *m;
        OpId op;
        uint64_t began_usec;
        char **places; /* of the request; NULL: everything */

        void *parents;    /* all that it has heard of: a tree of ScanParent, by name */
        SeenList seen;    /* also what could not be read */
        SeenList touched; /* what operations have told since it began */
        bool spares_all;
        bool missed;       /* something that was told could not be taken in */
        unsigned n_failed; /* that were to read the same before it */

        ScanWaiter *now, *later; /* who waits for this one, and who came while it was under way */
        size_t n_now, n_later;
        bool again;
};

static ScanParent *scan_parent_free(ScanParent *p) {
        if (!p)
                return NULL;

        free(p->name);
        free(p);
        return NULL;
}
DEFINE_CLEANUP(ScanParent *, scan_parent_free);

static void free_parent(void *node) {
        (void) scan_parent_free(node);
}

static Scan *scan_free(Scan *s) {
        if (!s)
                return NULL;

        tdestroy(s->parents, free_parent);
        (void) strv_free(s->places);
        free(s->seen.list);
        free(s->touched.list);
        free(s->now);
        free(s->later);
        free(s);
        return NULL;
}

bool files_are_read(const Manager *m) {
        return !m->scan || (m->scan->places && !m->scan->again);
}

static int parent_order(const void *a, const void *b) {
        const ScanParent *x = a, *y = b;

        return strcmp(x->name, y->name);
}

/* Return: NULL if the scan has not heard of it. */
static ScanParent *find_parent(const Scan *s, const char *name) {
        const ScanParent key = { .name = (char *) name };
        ScanParent **found = tfind(&key, &s->parents, parent_order);

        return found ? *found : NULL;
}

/* Return: NULL without memory. */
static ScanParent *get_parent(Scan *s, const char *name) {
        _cleanup_(scan_parent_freep) ScanParent *new = NULL;
        ScanParent *known = find_parent(s, name);

        if (known)
                return known;
        new = calloc(1, sizeof *new);
        if (!new)
                return NULL;
        new->name = strdup(name);
        if (!new->name || !tsearch(new, &s->parents, parent_order))
                return NULL;
        return TAKE_PTR(new);
}

static int remember(Scan *s, SeenList *list, const Uuid *uuid, const char *parent) {
        const ScanParent *p = get_parent(s, parent);
        int r;

        if (!p)
                return -ENOMEM;
        r = grow((void **) &list->list, &list->n_allocated, list->n + 1, sizeof *list->list);
        if (r < 0)
                return r;
        list->list[list->n++] = (Seen){ .uuid = *uuid, .parent = p };
        return 0;
}

void files_touched(Manager *m, const Uuid *uuid, const char *parent) {
        if (m->scan)
                (void) remember(m->scan, &m->scan->touched, uuid, parent);
}

static bool is_touched(const Scan *s, const Uuid *uuid, const char *parent) {
        for (size_t i = 0; i < s->touched.n; i++)
                if (uuid_equal(&s->touched.list[i].uuid, uuid) &&
                                streq(s->touched.list[i].parent->name, parent))
                        return true;

        return false;
}

/* Facts */

static int spare(Scan *s, const Frame *fact) {
        const Definition *d = &fact->definition;
        ScanParent *p;

        switch (fact->spares) {
        case SPARES_FILE:
                return remember(s, &s->seen, &d->uuid, d->parent);
        case SPARES_DIRECTORY:
                p = get_parent(s, d->parent);
                if (!p)
                        return -ENOMEM;
                p->is_spared = true;
                break;
        case SPARES_ALL:
                s->spares_all = true;
                break;
        case SPARES_NOTHING:
        case _SPARES_MAX:
                break;
        }

        return 0;
}

static int one_too_many(Scan *s, const Definition *d) {
        _cleanup_(freep) char *path = NULL;
        char reason[64];

        (void) snprintf(reason, sizeof reason, "the device has more than %u definitions", DEFINITIONS_MAX);
        if (asprintf(&path, DEFINITIONS_PATH "/%s/%s", d->parent, UUID_TEXT(&d->uuid)) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return invalid_add(s->m, path, reason, s->op);
}

static int on_definition(Scan *s, const Definition *d, bool exists) {
        int r;

        r = exists ? remember(s, &s->seen, &d->uuid, d->parent) : 0;
        if (r < 0 || is_touched(s, &d->uuid, d->parent))
                return r;
        r = registry_observe_definition(s->m->registry, &d->uuid, d->parent, exists ? d : NULL, 0);
        return r == -EUSERS ? one_too_many(s, d) : r;
}

static void on_scan_fact(const Frame *fact, void *owner) {
        Scan *s = owner;
        int r = 0;

        if (fact->kind == FRAME_DEFINITION)
                r = on_definition(s, &fact->definition, fact->exists);
        else if (fact->kind == FRAME_INVALID) {
                r = spare(s, fact);
                if (r >= 0)
                        r = invalid_add(s->m, fact->path, fact->reason, s->op);
        }
        if (memory_check(r) < 0) {
                s->missed = true;
                log_warning_errno(r, "A definition could not be taken in: %s", strerror(-r));
        }
}

static int seen_order(const void *a, const void *b) {
        const Seen *x = a, *y = b;
        int order = uuid_order(&x->uuid, &y->uuid);

        return order != 0 ? order : strcmp(x->parent->name, y->parent->name);
}

static bool scan_saw(const Scan *s, const Uuid *uuid, const char *parent) {
        const Seen key = { .uuid = *uuid, .parent = find_parent(s, parent) };

        if (!key.parent)
                return false;
        return key.parent->is_spared ||
                        (s->seen.n > 0 && bsearch(&key, s->seen.list, s->seen.n, sizeof key, seen_order));
}

/* Whether the scan would have told of the definition, were it there. */
static bool is_in_scope(const Scan *s, const Uuid *uuid, const char *parent) {
        if (!s->places)
                return true;

        for (char **place = s->places; *place; place++) {
                const char *slash = strchr(*place, '/');
                bool is_here = slash == *place ||
                                (strlen(parent) == (size_t) (slash - *place) && startswith(*place, parent));
                Uuid named;

                if (is_here &&
                                (slash[1] == '\0' ||
                                                (uuid_from_text(slash + 1, &named) >= 0 &&
                                                                uuid_equal(&named, uuid))))
                        return true;
        }

        return false;
}

/* Definitions that the registry knows and no file is there for. */
static void drop_unseen(Scan *s) {
        _cleanup_(freep) Device **devices = NULL;
        size_t n = 0;

        if (s->spares_all || registry_list(s->m->registry, &devices, &n) < 0)
                return;
        if (s->seen.n > 0)
                qsort(s->seen.list, s->seen.n, sizeof *s->seen.list, seen_order);

        for (size_t i = 0; i < n; i++) {
                Device *d = devices[i];

                for (uint32_t k = d->n_definitions; k-- > 0;) {
                        const char *name = d->definitions[k].parent;
                        _cleanup_(freep) char *parent = NULL;

                        if (!is_in_scope(s, &d->uuid, name) || scan_saw(s, &d->uuid, name) ||
                                        is_touched(s, &d->uuid, name))
                                continue;
                        /* The string goes with what it names. */
                        parent = strdup(name);
                        if (parent)
                                (void) registry_observe_definition(s->m->registry, &d->uuid, parent, NULL, 0);
                }
        }
}

/* The files of a device in one parent's folder, or (without a parent) in all. */
static void sweep_device(Scan *s, const char *parent, int length, const Uuid *uuid) {
        _cleanup_(freep) char *folder = NULL;

        if (asprintf(&folder, "%s%s%.*s", DEFINITIONS_PATH, length > 0 ? "/" : "", length, parent) < 0) {
                folder = NULL;
                return;
        }
        invalid_sweep_device(s->m, text_make_printable(folder), uuid, s->op);
}

static void sweep_path(Scan *s, const char *place) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, DEFINITIONS_PATH "/%s", place) < 0) {
                path = NULL;
                return;
        }
        invalid_sweep(s->m, text_make_printable(path), s->op);
}

static void sweep_invalid(Scan *s) {
        if (!s->places && !s->spares_all)
                invalid_sweep(s->m, NULL, s->op);
        for (char **place = s->places; place && *place; place++) {
                const char *slash = strchr(*place, '/');
                Uuid uuid;

                if (uuid_from_text(slash + 1, &uuid) >= 0)
                        sweep_device(s, *place, (int) (slash - *place), &uuid);
                else
                        sweep_path(s, *place);
        }
}

/* Life of a scan */

static void answer(const ScanWaiter *waiters, size_t n, const Failure *f) {
        static const Uuid none;

        for (size_t i = 0; i < n; i++)
                waiters[i].reply(failure_is_set(f) ? f : NULL, &none, waiters[i].userdata);
}

static int scan_start(Manager *m, char **places, ScanWaiter *waiters, size_t n_waiters, Failure *f);
static void files_owe(Manager *m, const Failure *f);

/* The same for the same waiters, some times. */
static bool read_once_more(Scan *s) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Manager *m = s->m;

        if (s->n_failed + 1 >= READINGS_AT_ONCE || scan_start(m, s->places, s->now, s->n_now, &f) < 0)
                return false;

        m->scan->n_failed = s->n_failed + 1;
        m->scan->again = s->again;
        m->scan->later = TAKE_PTR(s->later);
        m->scan->n_later = s->n_later;
        s->places = NULL;
        s->now = NULL;
        return true;
}

static const char *reason_of(const Failure *f) {
        return f->detail ?: strerror(failure_errno(f));
}

static int on_owed(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Manager *m = userdata;

        (void) files_scan(m, &f, NULL, NULL);
        return 0;
}

static void files_owe(Manager *m, const Failure *f) {
        uint64_t delay = m->owed_usec;

        if (delay == 0) {
                log_warning_errno(failure_errno(f),
                                "The definitions could not be read, those known before stay: %s",
                                reason_of(f));
                m->owed_since_usec = troubles_now();
                delay = OWED_FIRST_USEC;
        }
        m->owed_usec = delay * 2 < OWED_LAST_USEC ? delay * 2 : OWED_LAST_USEC;
        failure_done(&m->owed);
        failure_copy(f, &m->owed);

        if (m->owed_timer) {
                (void) sd_event_source_set_time_relative(m->owed_timer, delay);
                (void) sd_event_source_set_enabled(m->owed_timer, SD_EVENT_ONESHOT);
        } else if (sd_event_add_time_relative(
                                   m->event, &m->owed_timer, CLOCK_MONOTONIC, delay, 0, on_owed, m) < 0)
                log_debug("No memory to wait before the definitions are read again, ignoring.");
        manager_status_changed(m);
}

/* All of them have been read. */
static void owe_nothing(Manager *m) {
        autostart_files_read(m);
        if (m->owed_usec == 0)
                return;

        log_info("The definitions have been read.");
        m->owed_usec = 0;
        failure_done(&m->owed);
        m->owed_timer = sd_event_source_disable_unref(m->owed_timer);
        manager_status_changed(m);
}

int files_list_troubles(const Manager *m, TroubleFn fn, void *userdata) {
        char sentence[256];

        if (m->owed_usec == 0)
                return 0;

        (void) snprintf(sentence, sizeof sentence, "The definitions could not be read: %s.",
                        reason_of(&m->owed));
        return fn(&(Trouble){ "store", sentence, m->owed_since_usec }, userdata);
}

static void on_scan_done(Frame *result, void *owner) {
        bool cancelled = result->failure.kind == FAILURE_CANCELLED;
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Scan *s = owner;
        Manager *m = s->m;

        m->scan = NULL;
        /* Without memory nothing that is there may be taken for gone. */
        if (s->missed && !failure_is_set(&result->failure))
                (void) failure_set(&result->failure, FAILURE_NO_MEMORY, 0, NULL, NULL);
        if (failure_is_set(&result->failure) && !cancelled && read_once_more(s)) {
                (void) scan_free(s);
                return;
        }
        /* A few files say little of what is missing. */
        troubles_memory_said(&result->failure, s->places ? 0 : s->began_usec);
        if (!failure_is_set(&result->failure)) {
                drop_unseen(s);
                sweep_invalid(s);
                if (!s->places)
                        owe_nothing(m);
        } else if (!cancelled)
                files_owe(m, &result->failure);

        if (!cancelled) {
                if (s->again && memory_check(scan_start(m, NULL, s->later, s->n_later, &f)) >= 0) {
                        s->later = NULL;
                        s->n_later = 0;
                } else if (s->again)
                        files_owe(m, &f);
                manager_commit(m);
                watching_go_on(m);
        }

        answer(s->now, s->n_now, &result->failure);
        answer(s->later, s->n_later, failure_is_set(&f) ? &f : &result->failure);
        (void) scan_free(s);
}

static const OperationHandler scan_handler = { .fact = on_scan_fact, .done = on_scan_done };

/* On success the vectors are taken over. */
static int scan_start(Manager *m, char **places, ScanWaiter *waiters, size_t n_waiters, Failure *f) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_SCAN };
        Scan *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        s->m = m;
        (void) sd_event_now(m->event, CLOCK_MONOTONIC, &s->began_usec);
        s->op = request.op = operations_next_id(m->operations);
        if (places && strv_copy(places, &request.parents) < 0) {
                (void) scan_free(s);
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        }
        /* First the watch: what changes while it is read is an event. */
        if (!places)
                watching_update(m);

        r = operations_submit(m->operations, &request, OPERATION_NONE, -EBADF, NULL, &scan_handler, s, f);
        if (r < 0) {
                (void) scan_free(s);
                return r;
        }

        s->places = places;
        s->now = waiters;
        s->n_now = n_waiters;
        m->scan = s;
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

        r = scan_start(m, NULL, waiters, n, f);
        if (r < 0) {
                free(waiters);
                files_owe(m, f);
        }
        return r;
}

int files_read(Manager *m, char **places) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        int r;

        if (m->scan)
                return -EBUSY;

        r = scan_start(m, places, NULL, 0, &f);
        if (r < 0)
                files_owe(m, &f);
        return r;
}

void files_stop(Manager *m) {
        m->scan = scan_free(m->scan);
        m->owed_timer = sd_event_source_disable_unref(m->owed_timer);
        failure_done(&m->owed);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What can be asked for: each verb claims its UUID in the registry, gives the work to a worker, and when that
 * has told what it found and did, hands the facts to the registry, commits, and replies. Nothing is decided
 * here that the registry decides, and nothing done that a worker does. */

#include <stdio.h>

#include "api/mdevd-messages.h"
#include "base/log.h"
#include "core/manager-private.h"

/* One verb under way. */
typedef struct Verb {
        Manager *m;
        OpId op;
        OperationKind kind;
        Uuid uuid;
        ManagerReply reply; /* NULL: nobody waits */
        void *userdata;

        /* Set when a worker died without a word and another looks at what it left, or when this is an adopted
         * one's look: then all definitions are told, and those that are not told are not there. */
        bool looking;
        Failure failure; /* the dead one's, for the reply */
        char **seen;     /* parents that a definition was told of; NULL-terminated */
        size_t n_seen, n_seen_allocated;
} Verb;

static Verb *verb_free(Verb *v) {
        if (!v)
                return NULL;

        failure_done(&v->failure);
        for (size_t i = 0; i < v->n_seen; i++)
                free(v->seen[i]);
        free(v->seen);
        free(v);
        return NULL;
}

DEFINE_CLEANUP(Verb *, verb_free);

static int verb_new(Manager *m, OperationKind kind, const Uuid *uuid, ManagerReply reply, void *userdata,
                Verb **ret) {
        Verb *v = malloc(sizeof *v);

        if (!v)
                return -ENOMEM;
        *v = (Verb){
                .m = m,
                .op = operations_next_id(m->operations),
                .kind = kind,
                .uuid = *uuid,
                .reply = reply,
                .userdata = userdata,
                .failure = FAILURE_INIT,
        };
        *ret = v;
        return 0;
}

static bool verb_changes_definitions(const Verb *v) {
        return v->kind == OPERATION_DEFINE || v->kind == OPERATION_MODIFY || v->kind == OPERATION_UNDEFINE ||
                        v->kind == OPERATION_CREATE || v->looking;
}

/* Facts */

static void remember_seen(Verb *v, const char *parent) {
        if (grow((void **) &v->seen, &v->n_seen_allocated, v->n_seen + 1, sizeof *v->seen) < 0)
                return;
        v->seen[v->n_seen] = strdup(parent);
        if (v->seen[v->n_seen])
                v->n_seen++;
}

static bool was_seen(const Verb *v, const char *parent) {
        for (size_t i = 0; i < v->n_seen; i++)
                if (streq(v->seen[i], parent))
                        return true;

        return false;
}

static void on_fact(const Frame *fact, void *owner) {
        Verb *v = owner;
        Registry *r = v->m->registry;
        int rc = 0;

        switch (fact->kind) {
        case FRAME_SIGHTING:
                rc = registry_observe(r, &v->uuid, &fact->sighting, v->op);
                break;
        case FRAME_DEFINITION:
                if (fact->exists)
                        remember_seen(v, fact->definition.parent);
                rc = registry_observe_definition(r, &v->uuid, fact->definition.parent,
                                fact->exists ? &fact->definition : NULL, v->op);
                break;
        case FRAME_INVALID:
                rc = files_add_invalid(v->m, fact->path, fact->reason);
                break;
        case FRAME_TYPES:
        case FRAME_RESULT:
        case _FRAME_KIND_MAX:
                break;
        }

        if (rc < 0)
                log_warning_errno(rc, "What a worker told of %s could not be taken in, ignoring: %s",
                                UUID_TEXT(&v->uuid), strerror(-rc));
}

static void drop_unseen_definitions(Verb *v) {
        const Device *d = registry_find(v->m->registry, &v->uuid);

        for (uint32_t i = d ? d->n_definitions : 0; i-- > 0;)
                if (!was_seen(v, d->definitions[i].parent)) {
                        /* The string goes with what it names. */
                        _cleanup_(freep) char *parent = strdup(d->definitions[i].parent);

                        if (parent)
                                (void) registry_observe_definition(
                                                v->m->registry, &v->uuid, parent, NULL, v->op);
                }
}

static void log_failure(const Verb *v, const Failure *f) {
        const LogField fields[] = {
                { "MDEVD_UUID", UUID_TEXT(&v->uuid) },
                { "MDEVD_PARENT", f->parent },
                { "MDEVD_TYPE", f->type },
                {},
        };
        static const char *const names[_OPERATION_KIND_MAX] = {
                [OPERATION_NONE] = "look at",
                [OPERATION_CREATE] = "create",
                [OPERATION_REMOVE] = "remove",
                [OPERATION_DEFINE] = "define",
                [OPERATION_MODIFY] = "modify",
                [OPERATION_UNDEFINE] = "undefine",
        };
        int error = failure_errno(f);

        log_full(LOG_NOTICE, error, MDEVD_MESSAGE_OPERATION_FAILED, fields, __FILE__, __LINE__, __func__,
                        "Could not %s device %s%s%s: %s%s%s", names[v->kind], UUID_TEXT(&v->uuid),
                        f->parent ? " on " : "", strempty(f->parent), strerror(error), f->detail ? ": " : "",
                        strempty(f->detail));
}

static int look_after_death(Verb *v);

static void on_done(Frame *result, void *owner) {
        _cleanup_(verb_freep) Verb *v = owner;
        const Failure *f = &result->failure;
        Manager *m = v->m;
        int rc;

        /* The daemon is stopping: the registry is not needed any more, only the answer is. */
        if (f->kind == FAILURE_CANCELLED) {
                if (v->reply)
                        v->reply(f, &v->uuid, v->userdata);
                return;
        }

        if (f->kind == FAILURE_WORKER && !v->looking) {
                failure_move(&v->failure, &result->failure);
                f = &v->failure;
                if (look_after_death(v) >= 0) {
                        TAKE_PTR(v);
                        return;
                }
        } else if (failure_is_set(&v->failure))
                f = &v->failure;

        if (v->looking && !failure_is_set(&result->failure))
                drop_unseen_definitions(v);
        if (v->kind == OPERATION_CREATE && !result->created && !v->looking)
                registry_set_origin(m->registry, &v->uuid, ORIGIN_EXTERNAL);
        if (failure_is_set(f))
                log_failure(v, f);
        if (v->kind == OPERATION_CREATE || v->kind == OPERATION_REMOVE)
                registry_set_error(m->registry, &v->uuid, f);

        rc = registry_end(m->registry, &v->uuid, v->op);
        if (verb_changes_definitions(v))
                files_touched(m, &v->uuid);
        if (rc > 0 || f->kind == FAILURE_WORKER)
                reconcile_device(m, &v->uuid);

        manager_commit(m);
        if (v->reply)
                v->reply(failure_is_set(f) ? f : NULL, &v->uuid, v->userdata);
}

static const OperationHandler handler = { .fact = on_fact, .done = on_done };

/* Whatever the dead worker did or did not do, another one looks and tells. */
static int look_after_death(Verb *v) {
        const Device *d = registry_find(v->m->registry, &v->uuid);
        _cleanup_(request_done) Request request = {
                .kind = REQUEST_LOOK,
                .op = v->op,
                .definition.uuid = v->uuid,
        };
        _cleanup_(failure_done) Failure f = FAILURE_INIT;

        if (d && free_and_strdup(&request.path, d->path) < 0)
                return -ENOMEM;

        v->looking = true;
        return operations_submit(v->m->operations, &request, OPERATION_NONE, -EBADF, &handler, v, &f);
}

/* Gives the request of a verb that the registry has let begin to a worker; takes the verb over. */
static int submit(Verb *v, Request *request, Failure *f) {
        Manager *m = v->m;
        int r;

        request->op = v->op;
        request->definition.uuid = v->uuid;
        r = operations_submit(m->operations, request, v->kind, -EBADF, &handler, v, f);
        if (r < 0) {
                (void) registry_end(m->registry, &v->uuid, v->op);
                manager_commit(m);
                (void) verb_free(v);
                return r;
        }

        manager_commit(m);
        return 0;
}

static int no_memory(Failure *f) {
        return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
}

/* What a request means */

int manager_complete_definition(Manager *m, Definition *d, Failure *f) {
        const Device *device = registry_find(m->registry, &d->uuid);

        if (!isempty(d->parent) && !isempty(d->type))
                return 0;

        (void) failure_set_device(f, &d->uuid, d->parent, d->type);
        if (!device || !device_is_active(device) || !isempty(d->type))
                return failure_set(
                                f, FAILURE_UNDERSPECIFIED, 0, isempty(d->parent) ? "parent" : "type", NULL);
        if (!isempty(d->parent) && !streq(d->parent, device->parent->name))
                return failure_set(f, FAILURE_UNDERSPECIFIED, 0, "type", NULL);
        if (free_and_strdup(&d->parent, device->parent->name) < 0 ||
                        free_and_strdup(&d->type, device->type) < 0)
                return no_memory(f);
        return 0;
}

static uint32_t available_instances(const Parent *p, const char *type) {
        for (size_t i = 0; i < p->types.n; i++)
                if (streq(p->types.types[i].name, type))
                        return p->types.types[i].available_instances;

        return 0;
}

int manager_complete_creation(Manager *m, Definition *d, Failure *f) {
        _cleanup_(freep) Parent **parents = NULL;
        const Parent *best = NULL;
        size_t n;

        (void) failure_set_device(f, &d->uuid, d->parent, d->type);
        if (isempty(d->type))
                return failure_set(f, FAILURE_UNDERSPECIFIED, 0, "type", NULL);
        if (!isempty(d->parent))
                return 0;

        if (registry_list_parents(m->registry, &parents, &n) < 0)
                return no_memory(f);
        for (size_t i = 0; i < n; i++)
                if (available_instances(parents[i], d->type) >
                                (best ? available_instances(best, d->type) : 0))
                        best = parents[i];
        if (!best)
                return failure_set(f, FAILURE_NO_CAPACITY, 0, NULL, NULL);

        return free_and_strdup(&d->parent, best->name) < 0 ? no_memory(f) : 0;
}

/* "P and Q", for a person. */
static char *list_parents(const Device *d) {
        _cleanup_(freep) char *list = strdup(d->definitions[0].parent);

        for (uint32_t i = 1; list && i < d->n_definitions; i++) {
                char *longer = NULL;

                if (asprintf(&longer, "%s%s%s", list, i + 1 < d->n_definitions ? ", " : " and ",
                                    d->definitions[i].parent) < 0)
                        return NULL;
                free(list);
                list = longer;
        }

        return TAKE_PTR(list);
}

static const Definition *first_with_parent(const Manager *m, const Device *d) {
        for (uint32_t i = 0; i < d->n_definitions; i++) {
                const Parent *p = registry_find_parent(m->registry, d->definitions[i].parent);

                if (p && p->present)
                        return &d->definitions[i];
        }

        return &d->definitions[0];
}

int manager_pick_definition(
                Manager *m, const Uuid *uuid, const char *parent, bool any, Definition *ret, Failure *f) {
        const Device *d = registry_find(m->registry, uuid);
        const Definition *picked;

        (void) failure_set_device(f, uuid, parent, NULL);
        if (!d || !device_is_visible(d))
                return failure_set(f, FAILURE_NO_SUCH_DEVICE, 0, NULL, NULL);

        picked = device_find_definition(d, isempty(parent) ? NULL : parent);
        if (!picked) {
                /* A transient device, and the answer to "start" is about what it is. */
                if (device_state(d) != DEVICE_DEFINED) {
                        f->state = (int) device_state(d);
                        (void) failure_set_device(f, uuid, d->parent ? d->parent->name : NULL, d->type);
                        return failure_set(f, FAILURE_EXISTS, 0, NULL, NULL);
                }
                return failure_set(f, FAILURE_NO_SUCH_DEFINITION, 0, NULL, NULL);
        }
        if (isempty(parent) && d->n_definitions > 1) {
                _cleanup_(freep) char *parents = list_parents(d);

                if (!any)
                        return failure_set(f, FAILURE_AMBIGUOUS, 0, NULL, parents);
                picked = first_with_parent(m, d);
        }

        return definition_copy(picked, ret) < 0 ? no_memory(f) : 0;
}

/* Verbs */

int manager_define(Manager *m, const Definition *d, bool alternate, Failure *f, ManagerReply reply,
                void *userdata) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_DEFINE };
        _cleanup_(verb_freep) Verb *v = NULL;
        int r;

        if (definition_copy(d, &request.definition) < 0 ||
                        verb_new(m, OPERATION_DEFINE, &d->uuid, reply, userdata, &v) < 0)
                return no_memory(f);

        r = registry_begin_define(m->registry, &d->uuid, d->parent, alternate, v->op, f);
        if (r < 0)
                return r;
        return submit(TAKE_PTR(v), &request, f);
}

/* The parents that a device has definitions on: all, or just @parent. */
static char **copy_parents(const Device *d, const char *parent) {
        uint32_t n_definitions = d ? d->n_definitions : 0;
        _cleanup_(strv_freep) char **parents = calloc((size_t) n_definitions + 1, sizeof *parents);
        size_t n = 0;

        for (uint32_t i = 0; parents && i < n_definitions; i++) {
                if (parent && !streq(parent, d->definitions[i].parent))
                        continue;
                parents[n] = strdup(d->definitions[i].parent);
                if (!parents[n++])
                        return NULL;
        }

        return TAKE_PTR(parents);
}

int manager_undefine(Manager *m, const Uuid *uuid, const char *parent, Failure *f, ManagerReply reply,
                void *userdata) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_UNDEFINE };
        _cleanup_(verb_freep) Verb *v = NULL;
        int r;

        request.parents = copy_parents(registry_find(m->registry, uuid), parent);
        if (!request.parents || verb_new(m, OPERATION_UNDEFINE, uuid, reply, userdata, &v) < 0)
                return no_memory(f);

        r = registry_begin_undefine(m->registry, uuid, parent, v->op, f);
        if (r < 0)
                return r;
        return submit(TAKE_PTR(v), &request, f);
}

int manager_create(Manager *m, const Definition *d, bool define, Failure *f, ManagerReply reply,
                void *userdata) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_CREATE, .define = define };
        const Device *device = registry_find(m->registry, &d->uuid);
        _cleanup_(verb_freep) Verb *v = NULL;
        int r;

        if (definition_copy(d, &request.definition) < 0 ||
                        verb_new(m, OPERATION_CREATE, &d->uuid, reply, userdata, &v) < 0)
                return no_memory(f);

        if (define && device && device_state(device) == DEVICE_DEFINED && device->n_definitions > 0) {
                const Definition *there = &device->definitions[0];

                (void) failure_set_device(f, &d->uuid, there->parent, there->type);
                return failure_set(f,
                                device_find_definition(device, d->parent) ? FAILURE_EXISTS_DEFINED
                                                                          : FAILURE_EXISTS_ELSEWHERE,
                                0, NULL, NULL);
        }

        r = registry_begin_create(m->registry, &d->uuid, d->parent, d->type, v->op, f);
        if (r < 0)
                return r;
        return submit(TAKE_PTR(v), &request, f);
}

int manager_stop(Manager *m, const Uuid *uuid, const char *parent, Failure *f, ManagerReply reply,
                void *userdata) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_REMOVE };
        const Device *d = registry_find(m->registry, uuid);
        _cleanup_(verb_freep) Verb *v = NULL;
        int r;

        (void) failure_set_device(f, uuid, parent, NULL);
        if (d && device_is_active(d) && !streq_ptr(d->parent->name, parent))
                return failure_set(f, FAILURE_CHANGED_MEANWHILE, 0, NULL, NULL);
        if (verb_new(m, OPERATION_REMOVE, uuid, reply, userdata, &v) < 0)
                return no_memory(f);
        if (d && d->parent &&
                        (free_and_strdup(&request.definition.parent, d->parent->name) < 0 ||
                                        free_and_strdup(&request.definition.type, d->type) < 0 ||
                                        free_and_strdup(&request.path, d->path) < 0))
                return no_memory(f);

        r = registry_begin_remove(m->registry, uuid, v->op, f);
        if (r < 0)
                return r;
        return submit(TAKE_PTR(v), &request, f);
}

/* Work of an earlier daemon's workers */

static void on_adopted_done(Frame *result, void *owner) {
        Verb *v = owner;
        Manager *m = v->m;

        if (result->failure.kind != FAILURE_CANCELLED)
                lock_release(operations_lock_fd(m->operations), &v->uuid);
        on_done(result, v);
}

static const OperationHandler adopted_handler = { .fact = on_fact, .done = on_adopted_done };

static int adopt(Manager *m, const Uuid *uuid, const LockNote *note, int lock_fd) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_LOOK };
        _cleanup_(closep) int fd = lock_fd;
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        _cleanup_(verb_freep) Verb *v = NULL;
        OpId op;
        int r;

        r = verb_new(m, note->kind, uuid, NULL, NULL, &v);
        if (r < 0)
                return r;
        v->looking = true;
        r = registry_adopt(m->registry, uuid, note->kind, note->parent, note->type, v->op);
        if (r < 0)
                return r;

        op = request.op = v->op;
        request.definition.uuid = *uuid;
        r = operations_submit(m->operations, &request, OPERATION_NONE, TAKE_FD(fd), &adopted_handler, v, &f);
        if (r < 0) {
                (void) registry_end(m->registry, uuid, op);
                return r;
        }

        TAKE_PTR(v);
        log_info("A worker of an earlier mdevd is still at work on %s; its outcome is waited for.",
                        UUID_TEXT(uuid));
        return 0;
}

void verbs_adopt_all(Manager *m) {
        int lock_dir_fd = operations_lock_fd(m->operations);
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n = 0;
        int r;

        r = lock_list(lock_dir_fd, &uuids, &n);
        if (r < 0)
                log_warning_errno(r, "Cannot see what is locked, ignoring: %s", strerror(-r));

        for (size_t i = 0; i < n; i++) {
                _cleanup_(lock_note_done) LockNote note = {};
                int lock_fd = -EBADF;

                r = lock_inspect(lock_dir_fd, &uuids[i], &lock_fd, &note);
                if (r > 0)
                        r = adopt(m, &uuids[i], &note, lock_fd);
                if (r < 0)
                        log_warning_errno(r, "Cannot take over the work on %s, ignoring: %s",
                                        UUID_TEXT(&uuids[i]), strerror(-r));
        }
}

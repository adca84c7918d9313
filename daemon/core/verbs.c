/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What can be asked for: each verb claims its UUID in the registry, gives the work to a worker, and when that
 * has told what it found and did, hands the facts to the registry, commits, and replies. Nothing is decided
 * here that the registry decides, and nothing done that a worker does. */

#include <stdio.h>

#include "api/mdevd-messages.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/callouts.h"
#include "core/manager-private.h"
#include "core/verb.h"
#include "host/sysfs.h"
#include "model/name.h"

/* Longer deadlines, about a century, are none. */
#define DEADLINE_MAX_USEC (UINT64_C(100) * 365 * 24 * 3600 * 1000 * 1000)

Verb *verb_free(Verb *v) {
        if (!v)
                return NULL;

        if (v->next)
                v->next->previous = v->previous;
        if (v->previous)
                v->previous->next = v->next;
        else
                v->m->verbs = v->next;
        free(v->followers);
        (void) sd_event_source_disable_unref(v->deadline);
        (void) sd_event_source_disable_unref(v->again);
        failure_done(&v->failure);
        unfinished_done(&v->unfinished);
        free(v->parent);
        free(v->type);
        free(v->unit);
        for (size_t i = 0; i < v->n_told; i++)
                free(v->told[i].parent);
        free(v->told);
        free(v);
        return NULL;
}

int verb_new(Manager *m, OperationKind kind, const Uuid *uuid, ManagerReply reply, void *userdata,
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
                .who = m->requester,
        };
        (void) sd_event_now(m->event, CLOCK_MONOTONIC, &v->began_usec);
        v->unit = m->requester.unit ? strdup(m->requester.unit) : NULL;
        v->who.unit = v->unit;
        v->next = m->verbs;
        if (v->next)
                v->next->previous = v;
        m->verbs = v;
        *ret = v;
        return 0;
}

static Verb *find_verb(const Manager *m, OpId op) {
        Verb *v = m->verbs;

        while (v && v->op != op)
                v = v->next;
        return v;
}

static void verb_reply(Verb *v, const Failure *f) {
        if (v->reply)
                v->reply(f, &v->uuid, v->userdata);
        for (size_t i = 0; i < v->n_followers; i++)
                v->followers[i].reply(f, &v->uuid, v->followers[i].userdata);
}

static Cause cause_of(const Verb *v, bool over) {
        Cause cause = {
                .uuid = &v->uuid,
                .kind = v->kind,
                .parent = v->parent,
                .type = v->type,
                .who = &v->who,
        };
        uint64_t now;

        if (over && sd_event_now(v->m->event, CLOCK_MONOTONIC, &now) >= 0)
                cause.took_usec = MAX(now - v->began_usec, UINT64_C(1));
        return cause;
}

/* What is known of an operation that nobody has told the end of, but a look has been at what it left: then
 * all definitions were told, and those that were not are not there. */
static bool is_known_by_look(const Verb *v) {
        return v->adopted || v->looked;
}

/* Facts */

static void remember_told(Verb *v, const char *parent, bool exists) {
        char *copy = strdup(parent);

        if (!copy || grow((void **) &v->told, &v->n_told_allocated, v->n_told + 1, sizeof *v->told) < 0) {
                v->missed = true;
                (void) memory_check(-ENOMEM);
                free(copy);
                return;
        }
        v->told[v->n_told++] = (Told){ .parent = copy, .exists = exists };
}

static bool was_seen(const Verb *v, const char *parent) {
        for (size_t i = 0; i < v->n_told; i++)
                if (v->told[i].exists && streq(v->told[i].parent, parent))
                        return true;

        return false;
}

/* What a reading said of that file before is out of date. */
static void file_is_told(Verb *v, const char *parent, bool exists) {
        _cleanup_(freep) char *path = NULL;

        remember_told(v, parent, exists);
        files_touched(v->m, &v->uuid, parent);
        if (asprintf(&path, DEFINITIONS_PATH "/%s/%s", parent, UUID_TEXT(&v->uuid)) < 0)
                path = NULL;
        if (path)
                invalid_sweep(v->m, text_make_printable(path), 0);
}

void verb_on_fact(const Frame *fact, void *owner) {
        Verb *v = owner;
        Registry *r = v->m->registry;
        int rc = 0;

        switch (fact->kind) {
        case FRAME_SIGHTING:
                /* A look that began when nothing was known of the device may not have found it. */
                if (is_known_by_look(v) && !verb_moves(v)) {
                        reconcile_device(v->m, &v->uuid);
                        break;
                }
                rc = registry_observe(r, &v->uuid, &fact->sighting, v->op);
                break;
        case FRAME_DEFINITION:
                file_is_told(v, fact->definition.parent, fact->exists);
                rc = registry_observe_definition(r, &v->uuid, fact->definition.parent,
                                fact->exists ? &fact->definition : NULL, v->op);
                break;
        case FRAME_INVALID:
                /* What cannot be read is not gone. */
                v->missed = v->missed || (is_known_by_look(v) && fact->spares != SPARES_NOTHING);
                rc = invalid_add(v->m, fact->path, fact->reason, 0);
                break;
        case FRAME_SCRIPT:
        case FRAME_CAPABILITY:
                callouts_take_in(v->m, fact, &v->uuid);
                break;
        case FRAME_ACTION:
                unfinished_take_in(&v->unfinished, fact);
                break;
        case FRAME_TYPES:
        case FRAME_ATTRIBUTES:
        case FRAME_RESULT:
        case _FRAME_KIND_MAX:
                break;
        }

        if (memory_check(rc) < 0) {
                v->missed = true;
                log_warning_errno(rc, "What a worker told of %s could not be taken in: %s",
                                UUID_TEXT(&v->uuid), strerror(-rc));
        }
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

/* A removal may succeed on a disk that takes nothing. */
static void tell_of_disk(const Verb *v, const Failure *f) {
        if (failure_is_set(f) || (v->n_told > 0 && v->kind != OPERATION_UNDEFINE && !is_known_by_look(v)))
                troubles_store_said(v->m, f);
}

static void log_failure(const Verb *v) {
        const Failure *f = &v->failure;
        LogField fields[3 + CAUSE_FIELDS_MAX] = {
                { "MDEVD_UUID", UUID_TEXT(&v->uuid) },
                { "MDEVD_PARENT", f->parent },
                { "MDEVD_TYPE", f->type },
        };
        const Cause cause = cause_of(v, true);
        char numbers[3][24];
        static const char *const names[_OPERATION_KIND_MAX] = {
                [OPERATION_NONE] = "look at",
                [OPERATION_CREATE] = "create",
                [OPERATION_REMOVE] = "remove",
                [OPERATION_DEFINE] = "define",
                [OPERATION_MODIFY] = "modify",
                [OPERATION_UNDEFINE] = "undefine",
        };
        int error = failure_errno(f);

        cause_to_fields(&cause, fields + 3, numbers);
        log_full(LOG_NOTICE, error, MDEVD_MESSAGE_OPERATION_FAILED, fields, __FILE__, __LINE__, __func__,
                        "Could not %s device %s%s%s: %s%s%s", names[v->kind], UUID_TEXT(&v->uuid),
                        f->parent ? " on " : "", strempty(f->parent), strerror(error), f->detail ? ": " : "",
                        strempty(f->detail));
}

/* What follows from the end of an operation, once the registry knows of it. */
static void follow_up(Verb *v, int hints, bool succeeded) {
        const Device *d = registry_find(v->m->registry, &v->uuid);
        Manager *m = v->m;

        for (size_t i = 0; i < v->n_told; i++)
                watching_operation_told(m, &v->uuid, v->told[i].parent, v->told[i].exists, succeeded);
        if ((hints & END_READ_AGAIN) || v->missed)
                watching_read_again(m, &v->uuid);
        watching_go_on(m);
        if ((hints & END_LOOK_AGAIN) || v->missed)
                reconcile_device(m, &v->uuid);
        /* No event tells of the end of these, nor what a look that failed would have seen. */
        if (d && (d->seen == PRESENCE_ARRIVING || d->seen == PRESENCE_ORPHAN))
                reconcile_device_later(m, &v->uuid);
        if (v->parent)
                capacity_changed(m, v->parent);
}

char *verb_last_path(const Verb *v) {
        _cleanup_(parent_sighting_done) ParentSighting seen = { .numa_node = -1 };
        const Device *d = registry_find(v->m->registry, &v->uuid);
        char *path;

        if (d && d->path)
                return strdup(d->path);
        if (!v->parent || v->m->sys_fd < 0 || sysfs_probe_parent(v->m->sys_fd, v->parent, &seen) < 0 ||
                        !seen.path || asprintf(&path, "%s/%s", seen.path, UUID_TEXT(&v->uuid)) < 0)
                return NULL;
        return path;
}

int verb_look(Verb *v, int lock_fd, const OperationHandler *handler) {
        _cleanup_(request_done) Request request = {
                .kind = REQUEST_LOOK,
                .op = v->op,
                .definition.uuid = v->uuid,
                .path = verb_last_path(v),
        };
        _cleanup_(failure_done) Failure f = FAILURE_INIT;

        if (unfinished_next(&v->unfinished, &request))
                callouts_prepare(v->m, false, &request);
        return operations_submit(v->m->operations, &request, OPERATION_NONE, lock_fd, NULL, handler, v, &f);
}

/* Whether another worker is to look at what there is, because the one that has ended did not tell all.
 * @died: it told nothing of its end. */
static bool needs_look(const Verb *v, bool died) {
        /* One look, and one more for each action that scripts are to hear the end of. */
        if (v->looked)
                return v->unfinished.n > 0;
        return died || v->missed;
}

static int look(Verb *v) {
        static const OperationHandler handler = { .fact = verb_on_fact, .done = verb_on_done };
        int r;

        r = verb_look(v, -EBADF, &handler);
        if (r < 0)
                return r;

        v->looked = true;
        v->missed = false;
        return 0;
}

/* What became of a creation of which nobody told the end: whoever waits for the device wants to know whether
 * it is there now, and whole. */
static void judge_creation(Verb *v) {
        const Device *d = registry_find(v->m->registry, &v->uuid);

        if (!v->parent || !v->type)
                return;
        if (d && device_is_active(d) && streq(d->parent->name, v->parent) && streq_ptr(d->type, v->type)) {
                if (d->error && d->error->kind == FAILURE_INCOMPLETE)
                        failure_copy(d->error, &v->failure);
                return;
        }

        (void) failure_set(&v->failure, FAILURE_WORKER, 0, NULL,
                        "it worked for an earlier mdevd, what went wrong was not told, and there is no such device");
        (void) failure_set_device(&v->failure, &v->uuid, v->parent, v->type);
        log_failure(v);
        registry_set_error(v->m->registry, &v->uuid, &v->failure);
}

/* The end: the registry is told, then all who want to know. @result: the last worker's; @died: it told
 * nothing of its end. */
static void conclude(Verb *v, const Frame *result, bool died) {
        bool looked = is_known_by_look(v), blind = looked && failure_is_set(&result->failure);
        const Failure *f = &v->failure;
        Manager *m = v->m;
        Cause cause;
        int rc;

        if (blind) {
                v->missed = true;
                tell_of_disk(v, &result->failure);
                log_warning_errno(-failure_errno(&result->failure),
                                "Cannot see all that is left of the work on %s, ignoring: %s",
                                UUID_TEXT(&v->uuid), strerror(failure_errno(&result->failure)));
        }
        if (looked && !v->missed)
                drop_unseen_definitions(v);
        /* A look that was none finds nothing out; else the record, below, has the last word. */
        if (v->kind == OPERATION_CREATE && !result->created && !blind)
                registry_set_origin(m->registry, &v->uuid, ORIGIN_EXTERNAL);
        tell_of_disk(v, f);
        troubles_memory_said(f, v->began_usec);
        if (failure_is_set(f))
                log_failure(v);
        if (verb_moves(v))
                registry_set_error(m->registry, &v->uuid, f);

        rc = registry_end(m->registry, &v->uuid, v->op);
        if (died)
                reconcile_device_later(m, &v->uuid);
        follow_up(v, rc > 0 ? rc : 0, !failure_is_set(f));
        if (looked)
                recognise_device(m, &v->uuid);
        if (v->adopted && v->kind == OPERATION_CREATE)
                judge_creation(v);

        cause = cause_of(v, true);
        manager_commit_because(m, &cause);
        verb_reply(v, failure_is_set(f) ? f : NULL);
}

void verb_on_done(Frame *result, void *owner) {
        bool died = result->failure.kind == FAILURE_WORKER;
        _cleanup_(verb_freep) Verb *v = owner;

        /* The daemon is stopping: the registry is not needed any more, only the answer is. */
        if (result->failure.kind == FAILURE_CANCELLED) {
                verb_reply(v, &result->failure);
                return;
        }

        troubles_memory_said(&result->failure, 0);
        /* A look that fails is not what was asked for. */
        if (!is_known_by_look(v))
                failure_move(&v->failure, &result->failure);
        if (needs_look(v, died) && look(v) >= 0) {
                TAKE_PTR(v);
                return;
        }
        conclude(v, result, died);
}

/* Creations wait for others in the same driver, what is about files for its like, and a removal for nobody.
 */
static Lane *lane_for(Manager *m, const Request *request) {
        switch (request->kind) {
        case REQUEST_CREATE:
                return manager_driver_lane(m, "create", request->definition.parent, m->limits.creations_max);
        case REQUEST_MODIFY:
                if (request->live)
                        return manager_driver_lane(
                                        m, "modify", request->definition.parent, m->limits.creations_max);
                return operations_lane(m->operations, "files", m->limits.operations_max);
        case REQUEST_DEFINE:
        case REQUEST_UNDEFINE:
                return operations_lane(m->operations, "files", m->limits.operations_max);
        case REQUEST_REMOVE:
        case REQUEST_LOOK:
        case REQUEST_SCAN:
        case REQUEST_TYPES:
        case REQUEST_ATTRIBUTES:
        case _REQUEST_KIND_MAX:
                break;
        }

        return NULL;
}

/* Gives the request of a verb that the registry has let begin to a worker; takes the verb over. */
static int submit(Verb *v, Request *request, bool force, Failure *f) {
        static const OperationHandler handler = { .fact = verb_on_fact, .done = verb_on_done };
        Manager *m = v->m;
        Cause cause;
        int r;

        callouts_prepare(m, force, request);
        request->op = v->op;
        request->definition.uuid = v->uuid;
        r = operations_submit(m->operations, request, v->kind, -EBADF, lane_for(m, request), &handler, v, f);
        if (r < 0) {
                (void) registry_end(m->registry, &v->uuid, v->op);
                manager_commit(m);
                (void) verb_free(v);
                return r;
        }

        cause = cause_of(v, false);
        manager_commit_because(m, &cause);
        return 0;
}

static int no_memory(Failure *f) {
        return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
}

/* An event that is on its way must not make an answer wrong: the device, known or not, and a parent that was
 * not there are looked at now. It costs some readlinks. */
static void look_first(Manager *m, const Uuid *uuid, const char *parent) {
        const Parent *p = parent ? registry_find_parent(m->registry, parent) : NULL;

        reconcile_device(m, uuid);
        if (parent && (!p || !p->present))
                reconcile_parent(m, parent);
        manager_commit(m);
}

/* Verbs */

int manager_define(Manager *m, const Definition *d, const DefineOptions *options, Failure *f,
                ManagerReply reply, void *userdata) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_DEFINE };
        _cleanup_(verb_freep) Verb *v = NULL;
        int r;

        if (definition_copy(d, &request.definition) < 0 ||
                        free_and_strdup(&request.text, options->text) < 0 ||
                        verb_new(m, OPERATION_DEFINE, &d->uuid, reply, userdata, &v) < 0)
                return no_memory(f);

        r = registry_begin_define(m->registry, &d->uuid, d->parent, options->alternate, v->op, f);
        if (r < 0)
                return r;
        return submit(TAKE_PTR(v), &request, options->force, f);
}

int manager_modify(Manager *m, const Definition *d, const Modification *modification,
                const ModifyOptions *options, Failure *f, ManagerReply reply, void *userdata) {
        _cleanup_(request_done) Request request = {
                .kind = REQUEST_MODIFY,
                .define = options->defined,
                .live = options->live,
                .direct = options->direct,
        };
        const Device *device = registry_find(m->registry, &d->uuid);
        _cleanup_(verb_freep) Verb *v = NULL;
        int r;

        if (definition_copy(d, &request.definition) < 0 ||
                        free_and_strdup(&request.text, options->text) < 0 ||
                        (device && free_and_strdup(&request.path, device->path) < 0) ||
                        modification_copy(modification, &request.modification) < 0 ||
                        verb_new(m, OPERATION_MODIFY, &d->uuid, reply, userdata, &v) < 0)
                return no_memory(f);

        r = options->live ? registry_begin_live(m->registry, &d->uuid, d->parent, options->defined, v->op, f)
                          : registry_begin_modify(m->registry, &d->uuid, d->parent, v->op, f);
        if (r < 0)
                return r;
        return submit(TAKE_PTR(v), &request, options->force, f);
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

int manager_undefine(Manager *m, const Uuid *uuid, const char *parent, bool force, Failure *f,
                ManagerReply reply, void *userdata) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_UNDEFINE };
        _cleanup_(verb_freep) Verb *v = NULL;
        int r;

        request.parents = copy_parents(registry_find(m->registry, uuid), parent);
        if (!request.parents || verb_new(m, OPERATION_UNDEFINE, uuid, reply, userdata, &v) < 0)
                return no_memory(f);

        r = registry_begin_undefine(m->registry, uuid, parent, v->op, f);
        if (r < 0)
                return r;
        return submit(TAKE_PTR(v), &request, force, f);
}

/* If just that device is being created already, by us, waits for the end of that. Return: 1 if so; 0;
 * -ENOMEM. */
static int join_creation(Manager *m, const Definition *d, ManagerReply reply, void *userdata) {
        const Device *device = registry_find(m->registry, &d->uuid);
        Verb *v;
        int r;

        if (!device || device->op_kind != OPERATION_CREATE || !device->parent ||
                        !streq(device->parent->name, d->parent) || !streq_ptr(device->type, d->type))
                return 0;
        v = find_verb(m, device->op);
        if (!v)
                return 0;

        r = grow((void **) &v->followers, &v->n_followers_allocated, v->n_followers + 1,
                        sizeof *v->followers);
        if (r < 0)
                return r;
        v->followers[v->n_followers++] = (Follower){ .reply = reply, .userdata = userdata };
        return 1;
}

int manager_create(Manager *m, const Definition *d, const CreateOptions *options, Failure *f,
                ManagerReply reply, void *userdata) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_CREATE, .define = options->define };
        _cleanup_(verb_freep) Verb *v = NULL;
        const Device *device;
        int r;

        look_first(m, &d->uuid, d->parent);
        device = registry_find(m->registry, &d->uuid);
        if (options->exist_ok && device && device_is_active(device) &&
                        streq(device->parent->name, d->parent) && streq_ptr(device->type, d->type))
                return 1;
        if (options->exist_ok && !options->define) {
                r = join_creation(m, d, reply, userdata);
                if (r != 0)
                        return r < 0 ? no_memory(f) : 0;
        }

        if (definition_copy(d, &request.definition) < 0 ||
                        free_and_strdup(&request.text, options->text) < 0 ||
                        verb_new(m, OPERATION_CREATE, &d->uuid, reply, userdata, &v) < 0 ||
                        free_and_strdup(&v->parent, d->parent) < 0 || free_and_strdup(&v->type, d->type) < 0)
                return no_memory(f);
        v->n_readings = capacity_count_readings(m, d->parent);

        r = options->define ? registry_begin_create_and_define(m->registry, &d->uuid, d->parent, d->type,
                                              options->alternate, v->op, f)
                            : registry_begin_create(m->registry, &d->uuid, d->parent, d->type, v->op, f);
        if (r < 0)
                return r;
        return submit(TAKE_PTR(v), &request, options->force, f);
}

static int on_deadline(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Verb *v = userdata;
        ManagerReply reply = v->reply;

        v->reply = NULL;
        (void) failure_set(&f, FAILURE_PENDING, 0, NULL, NULL);
        (void) failure_set_device(&f, &v->uuid, NULL, NULL);
        if (reply)
                reply(&f, &v->uuid, v->userdata);
        return 0;
}

int manager_stop(Manager *m, const Uuid *uuid, const char *parent, const StopOptions *options, Failure *f,
                ManagerReply reply, void *userdata) {
        _cleanup_(request_done) Request request = {
                .kind = REQUEST_REMOVE,
                .wait_for_release = options->wait_for_release,
        };
        _cleanup_(verb_freep) Verb *v = NULL;
        const Device *d;
        int r;

        look_first(m, uuid, NULL);
        d = registry_find(m->registry, uuid);
        (void) failure_set_device(f, uuid, parent, NULL);
        if (d && device_is_active(d) && !streq_ptr(d->parent->name, parent))
                return failure_set(f, FAILURE_CHANGED_MEANWHILE, 0, NULL, NULL);
        if (verb_new(m, OPERATION_REMOVE, uuid, reply, userdata, &v) < 0)
                return no_memory(f);
        if (d && d->parent &&
                        (free_and_strdup(&request.definition.parent, d->parent->name) < 0 ||
                                        free_and_strdup(&v->parent, d->parent->name) < 0 ||
                                        free_and_strdup(&v->type, d->type) < 0 ||
                                        free_and_strdup(&request.definition.type, d->type) < 0 ||
                                        free_and_strdup(&request.path, d->path) < 0))
                return no_memory(f);
        if (options->timeout_usec <= DEADLINE_MAX_USEC &&
                        sd_event_add_time_relative(m->event, &v->deadline, CLOCK_MONOTONIC,
                                        options->timeout_usec, 0, on_deadline, v) < 0)
                return no_memory(f);

        r = registry_begin_remove(m->registry, uuid, v->op, f);
        if (r < 0)
                return r;
        return submit(TAKE_PTR(v), &request, options->force, f);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "api/mdevd-messages.h"
#include "base/log.h"
#include "core/callouts.h"
#include "core/manager-private.h"

void callouts_prepare(Manager *m, bool force, Request *request) {
        Capabilities copy;

        request->force = force;
        request->script_timeout_sec = m->script_timeout_sec;

        /* Without memory they are asked anew. */
        if (capabilities_copy(&m->capabilities, &copy) >= 0) {
                capabilities_done(&request->capabilities);
                request->capabilities = copy;
        }
}

static void learn(Manager *m, const Frame *fact) {
        const Capability *c = &fact->capability;
        Capability copy = { .actions = c->actions, .events = c->events };

        if (free_and_strdup(&copy.type, c->type) < 0 || free_and_strdup(&copy.script, c->script) < 0)
                capability_done(&copy);
        else
                (void) capabilities_add(&m->capabilities, fact->fingerprint, &copy);
}

static void log_said(const Frame *fact, const Uuid *uuid) {
        const LogField fields[] = {
                { "MDEVD_UUID", UUID_TEXT(uuid) },
                { "MDEVD_SCRIPT", fact->path },
                {},
        };

        log_event(fact->failed ? LOG_WARNING : LOG_INFO, MDEVD_MESSAGE_SCRIPT, fields,
                        "Script %s, called for device %s%s: %s", fact->path, UUID_TEXT(uuid),
                        fact->failed ? ", failed" : "", fact->reason);
}

void callouts_take_in(Manager *m, const Frame *fact, const Uuid *uuid) {
        if (fact->kind == FRAME_CAPABILITY)
                learn(m, fact);
        else if (fact->kind == FRAME_SCRIPT)
                log_said(fact, uuid);
}

void callouts_forget(Manager *m) {
        capabilities_done(&m->capabilities);
}

/* Actions under way */

void unfinished_done(Unfinished *u) {
        for (size_t i = 0; i < u->n; i++)
                frame_done(&u->actions[i]);
        free(u->actions);
        *u = (Unfinished){};
}

static void forget_action(Unfinished *u, const Frame *fact) {
        for (size_t i = u->n; i-- > 0;)
                if (u->actions[i].action == fact->action &&
                                streq(u->actions[i].definition.parent, fact->definition.parent)) {
                        frame_done(&u->actions[i]);
                        u->actions[i] = u->actions[--u->n];
                        return;
                }
}

void unfinished_take_in(Unfinished *u, const Frame *fact) {
        Frame begun = FRAME_INIT;

        if (!fact->exists) {
                forget_action(u, fact);
                return;
        }
        if (grow((void **) &u->actions, &u->n_allocated, u->n + 1, sizeof *u->actions) < 0 ||
                        definition_copy(&fact->definition, &begun.definition) < 0)
                return;
        begun.action = fact->action;
        u->actions[u->n++] = begun;
}

bool unfinished_next(Unfinished *u, Request *request) {
        Frame *last;

        if (u->n == 0)
                return false;

        last = &u->actions[--u->n];
        request->finish = true;
        request->action = last->action;
        definition_done(&request->definition);
        request->definition = last->definition;
        last->definition = (Definition){};
        frame_done(last);
        return true;
}

/* GetAttributes */

typedef struct Question {
        Manager *m;
        Uuid uuid;
        Attributes attributes;
        bool missed; /* them, for want of memory */
        ManagerAttributesReply reply;
        void *userdata;
} Question;

static void on_fact(const Frame *fact, void *owner) {
        Question *q = owner;

        if (fact->kind == FRAME_ATTRIBUTES) {
                attributes_done(&q->attributes);
                q->missed = attributes_copy(&fact->attributes, &q->attributes) < 0;
        } else
                callouts_take_in(q->m, fact, &q->uuid);
}

static void on_done(Frame *result, void *owner) {
        Question *q = owner;

        if (q->missed && !failure_is_set(&result->failure))
                (void) failure_set(&result->failure, FAILURE_NO_MEMORY, 0, NULL, NULL);
        q->reply(failure_is_set(&result->failure) ? &result->failure : NULL, &q->attributes, q->userdata);
        attributes_done(&q->attributes);
        free(q);
}

static const OperationHandler handler = { .fact = on_fact, .done = on_done };

int manager_get_attributes(
                Manager *m, const Definition *d, Failure *f, ManagerAttributesReply reply, void *userdata) {
        _cleanup_(request_done) Request request = { .kind = REQUEST_ATTRIBUTES };
        Question *q;
        int r;

        q = malloc(sizeof *q);
        if (!q || definition_copy(d, &request.definition) < 0) {
                free(q);
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        }
        *q = (Question){ .m = m, .uuid = d->uuid, .reply = reply, .userdata = userdata };

        request.op = operations_next_id(m->operations);
        callouts_prepare(m, false, &request);
        r = operations_submit(m->operations, &request, OPERATION_NONE, -EBADF,
                        operations_lane(m->operations, "attributes", m->limits.operations_max), &handler, q,
                        f);
        if (r < 0)
                free(q);
        return r;
}

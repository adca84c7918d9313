/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starting, on request and at once, what is marked on one parent. */

#include "base/memory.h"
#include "core/manager-private.h"

/* One parent's devices being started, all at once. */
typedef struct StartParent {
        unsigned n_left; /* of the devices, and one while they are being begun */
        StartFailure *failures;
        size_t n_failures;
        ManagerStartParentReply reply;
        void *userdata;
} StartParent;

static void start_parent_unref(StartParent *s) {
        if (--s->n_left > 0)
                return;

        s->reply(s->failures, s->n_failures, s->userdata);
        for (size_t i = 0; i < s->n_failures; i++)
                failure_done(&s->failures[i].failure);
        free(s->failures);
        free(s);
}

static void add_failure(StartParent *s, const Uuid *uuid, const Failure *f) {
        s->failures[s->n_failures] = (StartFailure){ .uuid = *uuid, .failure = FAILURE_INIT };
        failure_copy(f, &s->failures[s->n_failures++].failure);
}

static void on_started(const Failure *f, const Uuid *uuid, void *userdata) {
        StartParent *s = userdata;

        if (f)
                add_failure(s, uuid, f);
        start_parent_unref(s);
}

static void start_one(Manager *m, StartParent *s, const Definition *definition) {
        const CreateOptions options = { .exist_ok = true };
        _cleanup_(definition_done) Definition copy = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Uuid uuid = definition->uuid;
        int r;

        /* What is borrowed from the registry may be gone after the next commit. */
        if (definition_copy(definition, &copy) < 0)
                r = failure_set(&f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        else
                r = manager_create(m, &copy, &options, &f, on_started, s);
        if (memory_check(r) == 0)
                s->n_left++;
        else if (r < 0)
                add_failure(s, &uuid, &f);
}

static bool is_marked(const Device *d, const char *parent) {
        const Definition *definition = device_find_definition(d, parent);

        return definition && definition->autostart;
}

static size_t count_marked(Device *const *devices, size_t n, const char *parent) {
        size_t n_marked = 0;

        for (size_t i = 0; i < n; i++)
                n_marked += is_marked(devices[i], parent);
        return n_marked;
}

int manager_start_parent(
                Manager *m, const char *parent, Failure *f, ManagerStartParentReply reply, void *userdata) {
        const Parent *p = registry_find_parent(m->registry, parent);
        _cleanup_(freep) Device **devices = NULL;
        StartParent *s;
        size_t n = 0;

        (void) failure_set_device(f, NULL, parent, NULL);
        if (!p)
                return failure_set(f, FAILURE_NO_SUCH_PARENT, 0, NULL, NULL);
        if (!p->present)
                return failure_set(f, FAILURE_PARENT_ABSENT, 0, NULL, NULL);

        s = calloc(1, sizeof *s);
        if (!s || registry_list(m->registry, &devices, &n) < 0) {
                free(s);
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        }
        *s = (StartParent){ .n_left = 1, .reply = reply, .userdata = userdata };
        /* For all of them, so that none is kept quiet about. */
        s->failures = calloc(count_marked(devices, n, parent) + 1, sizeof *s->failures);
        if (!s->failures) {
                free(s);
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        }

        for (size_t i = 0; i < n; i++)
                if (is_marked(devices[i], parent))
                        start_one(m, s, device_find_definition(devices[i], parent));

        start_parent_unref(s);
        return 0;
}

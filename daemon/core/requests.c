/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a request means that leaves something to be found out: which parent, which type, which definition.
 * Reading only; what follows is verbs.c's. */

#include <stdio.h>

#include "core/verb.h"
#include "host/codec.h"

static int no_memory(Failure *f) {
        return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
}

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
        const Type *t = p->present ? parent_find_type(p, type) : NULL;

        return t ? t->available_instances : 0;
}

/* What is left on a parent when those that are being created there are in place. The last reading has counted
 * those for which the kernel had set an instance aside by then, which it does before it calls the driver:
 * none that began after the reading, and perhaps not all that began before, for scripts and others of their
 * driver come first. So there are two answers. */
typedef struct Left {
        uint32_t at_least, at_most;
} Left;

static Left instances_left(const Manager *m, const Parent *p, const char *type) {
        Left left = { .at_most = available_instances(p, type) };
        uint32_t n = 0, n_since = 0;

        for (const Verb *v = m->verbs; v; v = v->next)
                if (v->kind == OPERATION_CREATE && streq_ptr(v->parent, p->name) &&
                                streq_ptr(v->type, type)) {
                        n++;
                        n_since += v->n_readings >= p->n_readings;
                }

        left.at_least = left.at_most - MIN(left.at_most, n);
        left.at_most -= MIN(left.at_most, n_since);
        return left;
}

/* One that has room for sure comes before one that perhaps has; else the more, the better. */
static bool is_better(Left a, Left b) {
        if ((a.at_least > 0) != (b.at_least > 0))
                return a.at_least > 0;
        return a.at_most > b.at_most;
}

int manager_complete_creation(Manager *m, Definition *d, Failure *f) {
        _cleanup_(freep) Parent **parents = NULL;
        const Parent *best = NULL;
        Left most = {};
        size_t n;

        (void) failure_set_device(f, &d->uuid, d->parent, d->type);
        if (isempty(d->type))
                return failure_set(f, FAILURE_UNDERSPECIFIED, 0, "type", NULL);
        if (!isempty(d->parent))
                return 0;

        if (registry_list_parents(m->registry, &parents, &n) < 0)
                return no_memory(f);
        for (size_t i = 0; i < n; i++) {
                Left left = instances_left(m, parents[i], d->type);

                if (is_better(left, most)) {
                        most = left;
                        best = parents[i];
                }
        }
        if (!best)
                return failure_set(f, FAILURE_NO_CAPACITY, 0, NULL, NULL);

        return free_and_strdup(&d->parent, best->name) < 0 ? no_memory(f) : 0;
}

int manager_complete_live(Manager *m, Definition *d, bool defined, Failure *f) {
        const Device *device = registry_find(m->registry, &d->uuid);
        const Definition *definition;

        (void) failure_set_device(f, &d->uuid, d->parent, d->type);
        if (!device || !device_is_visible(device))
                return failure_set(f, FAILURE_NO_SUCH_DEVICE, 0, NULL, NULL);
        if (!device_is_active(device) || (!isempty(d->parent) && !streq(d->parent, device->parent->name)))
                return failure_set(f, FAILURE_NOT_ACTIVE, 0, NULL, NULL);
        if (!isempty(d->type) && !streq_ptr(d->type, device->type))
                return failure_set(f, FAILURE_BAD_OPTION, 0, "live",
                                "the type of an active device cannot be changed");
        if (free_and_strdup(&d->parent, device->parent->name) < 0 ||
                        free_and_strdup(&d->type, strempty(device->type)) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        if (!defined)
                return 0;

        definition = device_find_definition(device, d->parent);
        if (!definition)
                return failure_set(f, FAILURE_NO_SUCH_DEFINITION, 0, NULL, NULL);
        if (!streq(definition->type, d->type))
                return failure_set(f, FAILURE_BAD_OPTION, 0, "defined",
                                "the type of the active device and that of its definition differ");
        return 0;
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

/* The first that has room; if none has, the first whose parent is there. */
static const Definition *first_that_can(const Manager *m, const Device *d) {
        const Definition *there = NULL;

        for (uint32_t i = 0; i < d->n_definitions; i++) {
                const Parent *p = registry_find_parent(m->registry, d->definitions[i].parent);

                if (!p || !p->present)
                        continue;
                if (available_instances(p, d->definitions[i].type) > 0)
                        return &d->definitions[i];
                there = there ?: &d->definitions[i];
        }

        return there ?: &d->definitions[0];
}

int manager_pick_definition(
                Manager *m, const Uuid *uuid, const char *parent, bool any, Definition *ret, Failure *f) {
        const Device *d = registry_find(m->registry, uuid);
        const Definition *picked;

        (void) failure_set_device(f, uuid, parent, NULL);
        if (!d || !device_is_visible(d))
                return failure_set(f, FAILURE_NO_SUCH_DEVICE, 0, NULL, NULL);

        picked = device_find_definition(d, isempty(parent) ? NULL : parent);
        if (!picked && device_state(d) == DEVICE_CREATING)
                return failure_set(f, FAILURE_BEING_CREATED, 0, NULL, NULL);
        if (!picked && device_state(d) == DEVICE_REMOVING)
                return failure_set(f, FAILURE_BEING_REMOVED, 0, NULL, NULL);
        if (!picked)
                return failure_set(f, FAILURE_NO_SUCH_DEFINITION, 0, NULL, NULL);
        if (isempty(parent) && d->n_definitions > 1) {
                _cleanup_(freep) char *parents = list_parents(d);

                if (!any)
                        return failure_set(f, FAILURE_AMBIGUOUS, 0, NULL, parents);
                picked = first_that_can(m, d);
        }

        return definition_copy(picked, ret) < 0 ? no_memory(f) : 0;
}

void manager_explain_start(Manager *m, Failure *f) {
        const Device *d = f->has_uuid ? registry_find(m->registry, &f->uuid) : NULL;
        Uuid uuid;

        if (!failure_is_set(f) || !d || !device_is_visible(d) || device_state(d) == DEVICE_DEFINED ||
                        f->kind == FAILURE_AMBIGUOUS)
                return;

        uuid = d->uuid;
        (void) failure_set(f, FAILURE_EXISTS, 0, NULL, NULL);
        f->state = (int) device_state(d);
        (void) failure_set_device(f, &uuid, d->parent ? d->parent->name : NULL, d->type);
}

bool manager_is_active(Manager *m, Definition *d) {
        const Device *device = registry_find(m->registry, &d->uuid);

        return device && device_is_active(device) &&
                        (isempty(d->parent) || streq(d->parent, device->parent->name)) &&
                        streq_ptr(d->type, device->type) &&
                        free_and_strdup(&d->parent, device->parent->name) >= 0;
}

int manager_parse_definition(const char *json, Definition *d, Failure *f) {
        _cleanup_(definition_done) Definition parsed = {};
        _cleanup_(freep) char *reason = NULL;
        int r;

        (void) failure_set_device(f, NULL, d->parent, NULL);
        r = codec_parse(json, strlen(json), &d->uuid, strempty(d->parent), &parsed, &reason);
        if (r == -EBADMSG)
                return failure_set(f, FAILURE_INVALID_DEFINITION, 0, NULL, reason);
        if (r < 0)
                return no_memory(f);

        definition_done(d);
        *d = parsed;
        parsed = (Definition){};
        return 0;
}

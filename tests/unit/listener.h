/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A client's view of a registry, as text: what it would know that saw one full listing and after that nothing
 * but the changes. Each part of an object's text is renewed only when the change that announces it says so,
 * so a change that says too little leaves a part that a fresh listing shows to be out of date. */

#include <limits.h>

#include "unit.h"

#include "model/registry.h"

#define LISTENER_MAX 32

enum {
        N_PARTS = 7
}; /* one for each bit of ChangeMask, in their order */

static const char *const part_names[N_PARTS] = { "state", "live", "definitions", "error", "parent", "types",
        "waiting" };

typedef struct View {
        char key[64]; /* the UUID, or "parent " and the name */
        char parts[N_PARTS][160];
} View;

typedef struct Listener {
        View views[LISTENER_MAX]; /* sorted by key */
        size_t n;

        /* What the last listener_apply() would have announced: "+uuid", "-uuid", "uuid: old>new live". */
        char news[1024];
} Listener;

static inline char *add(char *p, const char *text) {
        *p++ = ' ';
        return stpcpy(p, text ?: "(none)");
}

static inline char *add_number(char *p, int number) {
        return p + sprintf(p, " %d", number);
}

static inline void view_key(const Device *d, const Parent *p, char ret[static 64]) {
        if (d)
                (void) uuid_to_text(&d->uuid, ret);
        else
                (void) stpcpy(stpcpy(ret, "parent "), p->name);
}

/* Renders the parts of an object that are in the mask. */
static inline void view_render(View *v, const Device *d, const Parent *p, unsigned what) {
        char *at;

        if (d && (what & CHANGED_STATE))
                (void) stpcpy(v->parts[0], device_state_to_string(device_state(d)));
        if (d && (what & CHANGED_LIVE)) {
                at = add(v->parts[1], d->parent ? d->parent->name : NULL);
                at = add(at, d->type);
                at = add(at, d->path);
                at = add(at, origin_to_string(d->origin));
                if (d->iommu_group != -1)
                        (void) add_number(at, d->iommu_group);
        }
        if (d && (what & CHANGED_DEFINITIONS)) {
                at = v->parts[2];
                *at = '\0';
                for (uint32_t i = 0; i < d->n_definitions; i++) {
                        const Definition *definition = &d->definitions[i];

                        at = add(at, definition->parent);
                        at = add(at, definition->type);
                        at = add(at, definition->autostart ? "auto" : "manual");
                        FOREACH_ATTRIBUTE(name, value, &definition->attributes)
                                at = add(add(at, name), value);
                }
        }
        if (d && (what & CHANGED_ERROR)) {
                v->parts[3][0] = '\0';
                if (d->error)
                        (void) add(add_number(add_number(v->parts[3], (int) d->error->kind), d->error->error),
                                        d->error->subject);
        }
        if (d && (what & CHANGED_WAITING))
                (void) stpcpy(v->parts[6], waiting_to_string(d->waiting));
        if (p && (what & CHANGED_PARENT)) {
                at = add(v->parts[4], p->present ? "present" : "absent");
                at = add(at, p->path);
                at = add(at, p->driver);
                if (p->numa_node != -1)
                        (void) add_number(at, p->numa_node);
        }
        if (p && (what & CHANGED_TYPES)) {
                at = v->parts[5];
                *at = '\0';
                for (size_t i = 0; i < p->types.n; i++)
                        at = add_number(add(at, p->types.types[i].name),
                                        (int) p->types.types[i].available_instances);
        }
}

/* The place of a key, or where it belongs. */
static inline View *listener_place(Listener *l, const char *key, bool *ret_found) {
        size_t i = 0;

        while (i < l->n && strcmp(l->views[i].key, key) < 0)
                i++;
        *ret_found = i < l->n && streq(l->views[i].key, key);
        return &l->views[i];
}

static inline View *listener_add(Listener *l, const char *key, const Device *d, const Parent *p) {
        bool found;
        View *v = listener_place(l, key, &found);

        assert_false(found);
        assert_true(l->n < LISTENER_MAX);
        memmove(v + 1, v, (size_t) (l->views + l->n - v) * sizeof *v);
        l->n++;
        memset(v, 0, sizeof *v);
        (void) stpcpy(v->key, key);
        view_render(v, d, p, UINT_MAX);
        return v;
}

/* What a client finds that asks now. */
static inline void listener_list(Listener *l, const Registry *r) {
        _cleanup_(freep) Device **devices = NULL;
        _cleanup_(freep) Parent **parents = NULL;
        size_t n_devices, n_parents;
        char key[64];

        l->n = 0;
        assert_int_equal(registry_list(r, &devices, &n_devices), 0);
        assert_int_equal(registry_list_parents(r, &parents, &n_parents), 0);
        for (size_t i = 0; i < n_devices; i++) {
                assert_true(i == 0 || uuid_order(&devices[i - 1]->uuid, &devices[i]->uuid) < 0);
                assert_true(device_is_visible(devices[i]));
                view_key(devices[i], NULL, key);
                (void) listener_add(l, key, devices[i], NULL);
        }
        for (size_t i = 0; i < n_parents; i++) {
                assert_true(i == 0 || strcmp(parents[i - 1]->name, parents[i]->name) < 0);
                assert_true(parent_is_visible(parents[i]));
                view_key(NULL, parents[i], key);
                (void) listener_add(l, key, NULL, parents[i]);
        }
}

/* Takes in what changed, checks what a change must be, and has the registry forget it. */
static inline void listener_apply(Listener *l, Registry *r) {
        const Change *changes;
        char *at = l->news;
        size_t n;

        *at = '\0';
        changes = registry_changes(r, &n);
        for (size_t i = 0; i < n; i++) {
                const Change *c = &changes[i];
                const Device *d = c->device;
                const Parent *p = c->parent;
                bool visible, found;
                char key[64];
                View *v;

                /* Either or; one change for each object; what died can still be found, what never was cannot.
                 */
                assert_true((d != NULL) != (p != NULL));
                for (size_t k = 0; k < i; k++)
                        assert_false(changes[k].device == d && changes[k].parent == p);
                visible = d ? device_is_visible(d) : parent_is_visible(p);
                if (d)
                        assert_ptr_equal(registry_find(r, &d->uuid), visible || c->was_visible ? d : NULL);
                else
                        assert_ptr_equal(registry_find_parent(r, p->name),
                                        visible || c->was_visible ? p : NULL);
                assert_int_equal(c->what & (d ? ~0x4fU : ~0x30U), 0);

                view_key(d, p, key);
                v = listener_place(l, key, &found);
                assert_int_equal(found, c->was_visible);
                if (found && d)
                        assert_string_equal(v->parts[0], device_state_to_string(c->old_state));

                /* Enough room for the longest; a test that makes more news does not read them. */
                if (at > l->news + sizeof l->news - 160)
                        at = l->news;
                if (!found && visible) {
                        (void) listener_add(l, key, d, p);
                        at += sprintf(at, "+%s;", key);
                } else if (found && !visible) {
                        at += sprintf(at, "-%s;", key);
                        l->n--;
                        memmove(v, v + 1, (size_t) (l->views + l->n - v) * sizeof *v);
                } else if (found && c->what != 0) {
                        at = stpcpy(stpcpy(at, key), ":");
                        for (unsigned part = 0; part < N_PARTS; part++)
                                if (c->what & (1U << part))
                                        at = add(at, part_names[part]);
                        at = stpcpy(at, ";");
                        view_render(v, d, p, c->what);
                }
        }

        registry_drop_changes(r);
        (void) registry_changes(r, &n);
        assert_int_equal(n, 0);
}

/* Both know the same. */
static inline void listener_compare(const Listener *a, const Listener *b) {
        assert_int_equal(a->n, b->n);
        for (size_t i = 0; i < a->n; i++) {
                assert_string_equal(a->views[i].key, b->views[i].key);
                for (unsigned part = 0; part < N_PARTS; part++)
                        if (!streq(a->views[i].parts[part], b->views[i].parts[part]))
                                fail_msg("%s, %s: '%s' is '%s'", a->views[i].key, part_names[part],
                                                a->views[i].parts[part], b->views[i].parts[part]);
        }
}

/* What the listener knows from the changes is what a listing shows. */
static inline void listener_check(Listener *l, Registry *r) {
        static Listener fresh;

        listener_apply(l, r);
        listener_list(&fresh, r);
        listener_compare(l, &fresh);
}

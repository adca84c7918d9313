/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A registry with three parents, a listener beside it, and short forms of what the tests of it do all the
 * time: there is one device that everything is about, and sometimes another. */

#include "unit.h"

#include "listener.h"

#define P "0000:3b:00.0" /* three parents that are there, in this order */
#define Q "matrix"
#define Z "zfcp"
#define GONE "nowhere" /* and one that is not */

static const Uuid uuid = { { 0x11, 0x22 } }, uuid2 = { { 0x99 } };
#define UUID "11220000-0000-0000-0000-000000000000"
#define UUID2 "99000000-0000-0000-0000-000000000000"

static Registry *r;
static Listener listener;
static Failure f;
static OpId last_op;

/* Fixture */

static inline int start(size_t max_devices) {
        assert_int_equal(registry_new(&r, max_devices), 0);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(registry_observe_parent(r,
                                                 &(ParentSighting){
                                                                 .name = (char *[]){ P, Q, Z }[i],
                                                                 .present = true,
                                                                 .path = (char *) "/sys/devices/parent",
                                                                 .numa_node = -1,
                                                 }),
                                0);
        f = FAILURE_INIT;
        last_op = 100;
        listener.n = 0;
        listener_check(&listener, r);
        return 0;
}

static inline int stop(void) {
        failure_done(&f);
        r = registry_free(r);
        assert_null(r);
        return 0;
}

static inline int setup(void **state) {
        (void) state;

        return start(100);
}

static inline int teardown(void **state) {
        (void) state;

        return stop();
}

/* Takes in the changes and says what they were. */
static inline const char *news(void) {
        listener_check(&listener, r);
        return listener.news;
}

#define assert_news(expected) assert_string_equal(news(), expected)

/* Of one call that is news of two things, nobody says which comes first. */
static inline void assert_news_both(const char *a, const char *b) {
        const char *text = news();

        assert_int_equal(strlen(text), strlen(a) + strlen(b));
        if (!strstr(text, a) || !strstr(text, b))
                fail_msg("'%s' is not '%s' and '%s'", text, a, b);
}

static inline Device *device(const Uuid *u) {
        Device *d = registry_find(r, u);

        return d && device_is_visible(d) ? d : NULL;
}

static inline void assert_counts(
                size_t n_visible, size_t n_active, size_t n_operations, size_t n_definitions) {
        RegistryCounts counts = registry_count(r);

        assert_int_equal(counts.n_visible, n_visible);
        assert_int_equal(counts.n_active, n_active);
        assert_int_equal(counts.n_operations, n_operations);
        assert_int_equal(counts.n_definitions, n_definitions);
}

/* Short forms */

static inline int look_at(const Uuid *u, Presence presence, const char *parent, const char *type, OpId op) {
        bool lives = presence != PRESENCE_ABSENT && presence != PRESENCE_UNKNOWN;
        Sighting seen = {
                .presence = presence,
                .iommu_group = presence == PRESENCE_PRESENT ? 7 : -1,
                .parent = lives ? (char *) parent : NULL,
                .path = lives ? (char *) "/sys/devices/parent/u" : NULL,
                .type = lives ? (char *) type : NULL,
        };

        return registry_observe(r, u, &seen, op);
}

/* As a look finds it: an arriving or leaving device has no type. */
static inline int see(Presence presence, OpId op) {
        bool typed = presence == PRESENCE_PRESENT || presence == PRESENCE_ORPHAN;

        return look_at(&uuid, presence, P, typed ? "type" : NULL, op);
}

static inline int read_definition(const Uuid *u, const char *parent, const char *type, OpId op) {
        Definition d = { .uuid = *u, .parent = (char *) parent, .type = (char *) type };

        return registry_observe_definition(r, u, parent, type ? &d : NULL, op);
}

static inline OpId begun(int result) {
        assert_int_equal(result, 0);
        assert_false(failure_is_set(&f));
        return last_op;
}

static inline OpId begin_create(void) {
        return begun(registry_begin_create(r, &uuid, P, "type", ++last_op, &f));
}

static inline OpId begin_remove(void) {
        return begun(registry_begin_remove(r, &uuid, ++last_op, &f));
}

static inline OpId begin_define(const char *parent) {
        return begun(registry_begin_define(r, &uuid, parent, true, ++last_op, &f));
}

static inline OpId begin_modify(void) {
        return begun(registry_begin_modify(r, &uuid, NULL, ++last_op, &f));
}

static inline OpId begin_undefine(void) {
        return begun(registry_begin_undefine(r, &uuid, NULL, ++last_op, &f));
}

static inline OpId adopt(OperationKind kind) {
        return begun(registry_adopt(r, &uuid, kind, P, "type", ++last_op));
}

static inline void end(OpId op) {
        assert_int_equal(registry_end(r, &uuid, op), 0);
}

/* The last look of an operation, and its end. */
static inline void end_with(OpId op, Presence presence) {
        assert_int_equal(see(presence, op), 0);
        end(op);
}

static inline void seen(Presence presence) {
        assert_int_equal(see(presence, 0), 0);
}

/* States by name, with one for what is not there */

typedef enum Column {
        UNKNOWN,
        DEFINED,
        CREATING,
        ACTIVE,
        REMOVING,
        ORPHANED,
        N_COLUMNS
} Column;

static const char *const column_names[N_COLUMNS] = { "unknown", "defined", "creating", "active", "removing",
        "orphaned" };

static inline Column column_now(void) {
        static const Column columns[_DEVICE_STATE_MAX] = { [DEVICE_DEFINED] = DEFINED,
                [DEVICE_CREATING] = CREATING,
                [DEVICE_ACTIVE] = ACTIVE,
                [DEVICE_REMOVING] = REMOVING,
                [DEVICE_ORPHANED] = ORPHANED };
        const Device *d = device(&uuid);

        return d ? columns[device_state(d)] : UNKNOWN;
}

static inline void assert_column(Column expected) {
        assert_string_equal(column_names[column_now()], column_names[expected]);
}

/* All that a call which is refused must leave alone. */
typedef struct Snapshot {
        Listener listing;
        size_t n_changes;
        RegistryCounts counts;
        OpId op;
        OperationKind kind;
        bool hint;
} Snapshot;

static inline void take(Snapshot *s) {
        const Device *d = device(&uuid);

        memset(s, 0, sizeof *s);
        listener_list(&s->listing, r);
        s->counts = registry_count(r);
        (void) registry_changes(r, &s->n_changes);
        if (d) {
                s->op = d->op;
                s->kind = d->op_kind;
                s->hint = d->look_again;
        }
}

static inline void assert_unchanged(const Snapshot *before) {
        static Snapshot now;

        take(&now);
        listener_compare(&before->listing, &now.listing);
        assert_memory_equal(&before->counts, &now.counts, sizeof now.counts);
        assert_int_equal(before->n_changes, now.n_changes);
        assert_true(before->op == now.op && before->kind == now.kind && before->hint == now.hint);
}

/* Some ways into them */

static inline void creation_failed(void) {
        end_with(begin_create(), PRESENCE_ABSENT);
}

static inline void creating(void) {
        (void) begin_create();
}

static inline void present(void) {
        seen(PRESENCE_PRESENT);
}

static inline void created(void) {
        end_with(begin_create(), PRESENCE_PRESENT);
}

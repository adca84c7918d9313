/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The registry against an oracle, with events as they come: test-registry-random [SEED [EVENTS]].
 *
 * The oracle is the table at the head of model/registry.h and the few sentences around it, with arrays in
 * place of trees and no notion of changes: it says what each call answers and what a listing shows after it.
 * The changes are judged by a listener that knows nothing else and must come to the same picture. */

#include "unit.h"

#include <inttypes.h>
#include <sys/random.h>

#include "listener.h"

#define N_UUIDS 8
#define N_PARENTS 4
#define N_TYPES 3
#define MAX_DEVICES 5 /* fewer than there are, so that the bound is met */

static const char *const parent_names[N_PARENTS] = { "0000:3b:00.0", "matrix", "mdpy", "mtty" };
static const char *const type_names[N_TYPES] = { "mtty-1", "mtty-2", "nvidia-35" };

static uint64_t seed, event, n_events = 1000000;

/* Oracle */

typedef enum Column {
        UNKNOWN,
        DEFINED,
        CREATING,
        ACTIVE,
        REMOVING,
        ORPHANED,
        N_COLUMNS
} Column;
typedef enum Call {
        CREATE,
        REMOVE,
        DEFINE_FIRST,
        DEFINE_AGAIN,
        DEFINE_OTHER,
        CHANGE,
        CHANGE_NONE,
        N_CALLS
} Call;

static const int answers[N_CALLS][N_COLUMNS] = {
        /*                   UNKNOWN DEFINED CREATING ACTIVE  REMOVING ORPHANED */
        [CREATE] = { 0, 0, EEXIST, EEXIST, EEXIST, EEXIST },
        [REMOVE] = { ENODEV, ENODEV, EAGAIN, 0, EAGAIN, ENOTRECOVERABLE },
        [DEFINE_FIRST] = { 0, 0, EAGAIN, 0, EAGAIN, 0 },
        [DEFINE_AGAIN] = { 0, EEXIST, EAGAIN, EEXIST, EAGAIN, EEXIST },
        [DEFINE_OTHER] = { 0, EEXIST, EAGAIN, EEXIST, EAGAIN, EEXIST },
        [CHANGE] = { 0, 0, EAGAIN, 0, EAGAIN, 0 },
        [CHANGE_NONE] = { ENODEV, ENODEV, EAGAIN, ENODEV, EAGAIN, ENODEV },
};

static struct Slot {
        bool kept; /* there is a slot for it */
        Presence seen;
        int parent, type; /* of what lives; -1: none, not known */
        Origin origin;
        OpId op;
        OperationKind kind;
        bool writes; /* the operation is at the definitions */
        int hints;
        int definitions[N_PARENTS]; /* which of them; 0: none */
        int error;
} slots[N_UUIDS];

static struct {
        bool present;
        unsigned types;
} parents[N_PARENTS];

static unsigned count_definitions(const struct Slot *s) {
        unsigned n = 0;

        for (size_t p = 0; p < N_PARENTS; p++)
                n += s->definitions[p] != 0;
        return n;
}

static Column column(const struct Slot *s) {
        static const Column lives[_PRESENCE_MAX] = { [PRESENCE_ARRIVING] = CREATING,
                [PRESENCE_PRESENT] = ACTIVE,
                [PRESENCE_LEAVING] = REMOVING,
                [PRESENCE_ORPHAN] = ORPHANED };

        if (s->kind == OPERATION_CREATE || s->kind == OPERATION_REMOVE)
                return s->kind == OPERATION_CREATE ? CREATING : REMOVING;
        return s->seen != PRESENCE_ABSENT ? lives[s->seen] : count_definitions(s) > 0 ? DEFINED : UNKNOWN;
}

/* Asks for an operation: the table first, the other operation next, the bound last. @parent: -1 for any.
 * @define: a creation is also a definition. */
static int oracle_begin(
                struct Slot *s, OperationKind kind, int parent, bool define, bool alternate, OpId op) {
        unsigned n = count_definitions(s), n_kept = 0;
        bool has = parent < 0 ? n > 0 : s->definitions[parent] != 0;
        Call call = CREATE;
        int error;

        if (kind == OPERATION_REMOVE)
                call = REMOVE;
        else if (kind == OPERATION_DEFINE)
                call = has ? DEFINE_AGAIN : n == 0 || alternate ? DEFINE_FIRST : DEFINE_OTHER;
        else if (kind != OPERATION_CREATE)
                call = has ? CHANGE : CHANGE_NONE;

        error = answers[call][column(s)];
        if (error == 0 && define)
                error = answers[has                                   ? DEFINE_AGAIN
                                                : n == 0 || alternate ? DEFINE_FIRST
                                                                      : DEFINE_OTHER][column(s)];
        for (size_t i = 0; i < N_UUIDS; i++)
                n_kept += slots[i].kept;
        if (error == 0 && kind == OPERATION_CREATE && !parents[parent].present)
                error = ENXIO;
        if (error == 0 && s->op != 0)
                error = EAGAIN;
        if (error == 0 && !s->kept && n_kept >= MAX_DEVICES)
                error = EUSERS;
        if (error == 0) {
                s->kept = true;
                s->op = op;
                s->kind = kind;
                s->writes = define || (kind != OPERATION_CREATE && kind != OPERATION_REMOVE);
                s->hints = 0;
        }
        return -error;
}

/* Whether a fact counts: 1; else 0, or -ESTALE. */
static int oracle_owns(struct Slot *s, OpId op, bool held, EndHint hint) {
        if (op == 0 && held)
                s->hints |= hint;
        return op != 0 && op != s->op ? -ESTALE : op != 0 || !held;
}

static void oracle_nothing_lives(struct Slot *s) {
        s->seen = PRESENCE_ABSENT;
        s->parent = s->type = -1;
        s->origin = ORIGIN_EXTERNAL;
}

static void oracle_observe(struct Slot *s, Presence seen, int parent, int type) {
        if (seen == PRESENCE_UNKNOWN || (seen == PRESENCE_ABSENT && s->seen == PRESENCE_ABSENT))
                return;
        s->kept = true;
        if (seen == PRESENCE_ABSENT) {
                oracle_nothing_lives(s);
                return;
        }
        s->type = type >= 0 ? type : parent == s->parent ? s->type : -1;
        s->parent = parent;
        s->seen = seen;
}

static int oracle_end(struct Slot *s, OpId op) {
        if (op == 0 || op != s->op)
                return -ESTALE;
        s->op = 0;
        s->kind = OPERATION_NONE;
        s->writes = false;
        if (s->seen == PRESENCE_ABSENT)
                oracle_nothing_lives(s);
        return s->hints;
}

static void oracle_drop(void) {
        for (size_t i = 0; i < N_UUIDS; i++)
                if (slots[i].kept && slots[i].op == 0 && column(&slots[i]) == UNKNOWN)
                        slots[i] = (struct Slot){ .parent = -1, .type = -1 };
}

/* The registry beside it */

static Registry *registry;
static Listener listener;
static Uuid uuids[N_UUIDS]; /* ascending */

static uint64_t random_state;

static uint64_t random_number(void) {
        uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

static unsigned below(unsigned n) {
        return (unsigned) (random_number() % n);
}

/* One of few possible definitions for a parent, all of it borrowed; 0 is none. */
static Definition make_definition(size_t u, size_t parent, int which) {
        Definition d = {
                .uuid = uuids[u],
                .autostart = which & 1,
                .parent = (char *) parent_names[parent],
                .type = (char *) type_names[which % N_TYPES],
        };

        if (which & 2)
                d.attributes = (Attributes){ .data = (char *) "a\0"
                                                              "1",
                        .size = 4,
                        .n = 1 };
        return d;
}

static Types make_types(unsigned which) {
        Types t = { .types = calloc(N_TYPES, sizeof *t.types) };

        assert_non_null(t.types);
        for (unsigned i = 0; i < which % (N_TYPES + 1); i++) {
                t.types[t.n++] = (Type){
                        .name = strdup(type_names[i]),
                        .label = strdup(""),
                        .device_api = strdup("vfio-pci"),
                        .description = strdup(""),
                        .available_instances = which,
                };
        }
        return t;
}

static void compare_device(size_t u, const Device *d) {
        static const DeviceState states[N_COLUMNS] = { [DEFINED] = DEVICE_DEFINED,
                [CREATING] = DEVICE_CREATING,
                [ACTIVE] = DEVICE_ACTIVE,
                [REMOVING] = DEVICE_REMOVING,
                [ORPHANED] = DEVICE_ORPHANED };
        const struct Slot *s = &slots[u];
        bool transitory = device_state(d) == DEVICE_CREATING || device_state(d) == DEVICE_REMOVING;
        uint32_t n = 0;

        assert_true(uuid_equal(&d->uuid, &uuids[u]));
        assert_int_equal(device_state(d), states[column(s)]);
        assert_int_equal(device_is_active(d), column(s) == ACTIVE);
        assert_int_equal(transitory,
                        s->kind == OPERATION_CREATE || s->kind == OPERATION_REMOVE ||
                                        s->seen == PRESENCE_ARRIVING || s->seen == PRESENCE_LEAVING);
        assert_true(d->op == s->op && d->op_kind == s->kind);
        assert_streq_ptr(d->parent ? d->parent->name : NULL, s->parent < 0 ? NULL : parent_names[s->parent]);
        assert_streq_ptr(d->type, s->type < 0 ? NULL : type_names[s->type]);
        assert_int_equal(d->path != NULL, s->seen != PRESENCE_ABSENT);
        assert_int_equal(d->origin, s->origin);
        assert_int_equal(d->error ? (int) d->error->kind : 0, s->error);
        for (size_t p = 0; p < N_PARENTS; p++)
                if (s->definitions[p] != 0) {
                        Definition expected = make_definition(u, p, s->definitions[p]);

                        assert_true(n < d->n_definitions);
                        assert_true(definition_equal(&d->definitions[n], &expected));
                        assert_ptr_equal(device_find_definition(d, parent_names[p]), &d->definitions[n]);
                        n++;
                } else
                        assert_null(device_find_definition(d, parent_names[p]));
        assert_int_equal(d->n_definitions, n);
}

/* A part of a listing: what of the whole is in it, and nothing else. */
static void compare_range(Device *const *whole, size_t n_whole, const UuidRange *range) {
        _cleanup_(freep) Device **part = NULL;
        size_t n_part, n = 0;

        assert_int_equal(registry_list_range(registry, range, &part, &n_part), 0);
        for (size_t i = 0; i < n_whole; i++) {
                if (range->after && uuid_order(&whole[i]->uuid, range->after) <= 0)
                        continue;
                if (range->until && uuid_order(&whole[i]->uuid, range->until) > 0)
                        continue;
                assert_true(n < n_part);
                assert_ptr_equal(part[n++], whole[i]);
        }
        assert_int_equal(n_part, n);
}

/* A listing shows what the oracle has, and so do the counts. */
static void compare(void) {
        _cleanup_(freep) Device **devices = NULL;
        _cleanup_(freep) Parent **list = NULL;
        RegistryCounts counts = registry_count(registry), recount = {};
        unsigned references[N_PARENTS] = {};
        size_t n_devices, n_parents, n = 0;

        assert_int_equal(registry_list(registry, &devices, &n_devices), 0);
        for (size_t u = 0; u < N_UUIDS; u++) {
                const struct Slot *s = &slots[u];

                recount.n_operations += s->op != 0;
                recount.n_active += column(s) == ACTIVE;
                recount.n_definitions += count_definitions(s);
                for (size_t p = 0; p < N_PARENTS; p++)
                        references[p] += (s->definitions[p] != 0) + (s->parent == (int) p);
                if (column(s) == UNKNOWN)
                        continue;
                assert_true(n < n_devices);
                assert_ptr_equal(registry_find(registry, &uuids[u]), devices[n]);
                compare_device(u, devices[n++]);
        }
        assert_int_equal(n_devices, n);
        compare_range(devices, n, &(UuidRange){ &uuids[below(N_UUIDS)], &uuids[below(N_UUIDS)] });
        compare_range(devices, n, &(UuidRange){ .after = &uuids[below(N_UUIDS)] });
        compare_range(devices, n, &(UuidRange){ .until = &uuids[below(N_UUIDS)] });
        assert_int_equal(counts.n_visible, n);
        assert_int_equal(counts.n_active, recount.n_active);
        assert_int_equal(counts.n_operations, recount.n_operations);
        assert_int_equal(counts.n_definitions, recount.n_definitions);

        n = 0;
        assert_int_equal(registry_list_parents(registry, &list, &n_parents), 0);
        for (size_t p = 0; p < N_PARENTS; p++)
                if (parents[p].present || references[p] > 0) {
                        assert_true(n < n_parents);
                        assert_string_equal(list[n]->name, parent_names[p]);
                        assert_int_equal(list[n]->present, parents[p].present);
                        assert_int_equal(list[n]->n_references, references[p]);
                        assert_int_equal(list[n]->types.n, parents[p].types % (N_TYPES + 1));
                        n++;
                }
        assert_int_equal(n_parents, n);
}

/* Events */

static void begin(size_t u) {
        static OpId last;
        OperationKind kind =
                        (OperationKind) (OPERATION_CREATE + below(_OPERATION_KIND_MAX - OPERATION_CREATE));
        int parent = (int) below(N_PARENTS), type = (int) below(N_TYPES), r = 0, expected;
        bool alternate = below(2), any = below(4) == 0, define = kind == OPERATION_CREATE && below(2);
        Column before = column(&slots[u]);
        Failure f = FAILURE_INIT;
        OpId op = ++last;

        if (any && (kind == OPERATION_MODIFY || kind == OPERATION_UNDEFINE))
                parent = -1;
        expected = oracle_begin(&slots[u], kind, parent, define, alternate, op);
        switch (kind) {
        case OPERATION_CREATE:
                r = define ? registry_begin_create_and_define(registry, &uuids[u], parent_names[parent],
                                             type_names[type], alternate, op, &f)
                           : registry_begin_create(registry, &uuids[u], parent_names[parent],
                                             type_names[type], op, &f);
                if (expected == 0) {
                        slots[u].parent = parent;
                        slots[u].type = type;
                        slots[u].origin = ORIGIN_MDEVD;
                }
                break;
        case OPERATION_REMOVE:
                r = registry_begin_remove(registry, &uuids[u], op, &f);
                break;
        case OPERATION_DEFINE:
                r = registry_begin_define(registry, &uuids[u], parent_names[parent], alternate, op, &f);
                break;
        case OPERATION_MODIFY:
                r = registry_begin_modify(
                                registry, &uuids[u], parent < 0 ? NULL : parent_names[parent], op, &f);
                break;
        case OPERATION_UNDEFINE:
                r = registry_begin_undefine(
                                registry, &uuids[u], parent < 0 ? NULL : parent_names[parent], op, &f);
                break;
        case OPERATION_NONE:
        case _OPERATION_KIND_MAX:
                fail();
        }

        assert_int_equal(r, expected);
        assert_int_equal(failure_is_set(&f), r < 0);
        assert_int_equal(failure_errno(&f), -r);
        assert_true(f.has_uuid && uuid_equal(&f.uuid, &uuids[u]));
        if (f.state >= 0)
                assert_int_equal(f.state + 1, before == UNKNOWN ? DEFINED : before);
        failure_done(&f);
}

static void adopt(size_t u) {
        static OpId last = UINT64_C(1) << 40;
        OperationKind kind =
                        (OperationKind) (OPERATION_CREATE + below(_OPERATION_KIND_MAX - OPERATION_CREATE));
        int parent = (int) below(N_PARENTS + 1) - 1, type = (int) below(N_TYPES + 1) - 1;
        struct Slot *s = &slots[u];
        int expected = s->op != 0 ? -EBUSY : 0;

        assert_int_equal(registry_adopt(registry, &uuids[u], kind, parent < 0 ? NULL : parent_names[parent],
                                         type < 0 ? NULL : type_names[type], ++last),
                        expected);
        if (expected < 0)
                return;
        s->kept = true;
        s->op = last;
        s->kind = kind;
        s->writes = false;
        s->hints = 0;
        if ((kind == OPERATION_CREATE || kind == OPERATION_REMOVE) && parent >= 0 && s->parent < 0) {
                s->parent = parent;
                s->type = type;
                if (kind == OPERATION_CREATE)
                        s->origin = ORIGIN_MDEVD;
        }
}

/* Mostly the operation under way; none, or a wrong one. */
static OpId some_op(const struct Slot *s) {
        unsigned what = below(8);

        return what < 5 ? s->op : what < 7 ? 0 : s->op + 1 + below(3);
}

static void observe(size_t u) {
        Presence seen = (Presence) below(_PRESENCE_MAX);
        int parent = (int) below(N_PARENTS), type = below(2) ? (int) below(N_TYPES) : -1, owns;
        bool lives = seen != PRESENCE_ABSENT && seen != PRESENCE_UNKNOWN;
        OpId op = some_op(&slots[u]);
        Sighting sighting = { .presence = seen, .iommu_group = -1 };

        /* Devices rarely move. */
        if (slots[u].parent >= 0 && below(8) > 0)
                parent = slots[u].parent;
        if (lives) {
                sighting.iommu_group = (int) below(3) - 1;
                sighting.parent = (char *) parent_names[parent];
                sighting.path = below(2) ? (char *) "/sys/devices/a/u" : (char *) "/sys/devices/b/u";
                sighting.type = type < 0 ? NULL : (char *) type_names[type];
        }
        owns = oracle_owns(&slots[u], op,
                        slots[u].kind == OPERATION_CREATE || slots[u].kind == OPERATION_REMOVE,
                        END_LOOK_AGAIN);
        assert_int_equal(registry_observe(registry, &uuids[u], &sighting, op), MIN(owns, 0));
        if (owns > 0)
                oracle_observe(&slots[u], seen, parent, lives ? type : -1);
}

static void observe_definition(size_t u) {
        size_t parent = below(N_PARENTS);
        int which = below(3) ? (int) below(4) + 1 : 0, owns;
        OpId op = some_op(&slots[u]);
        Definition d = make_definition(u, parent, which);

        owns = oracle_owns(&slots[u], op, slots[u].op != 0 && slots[u].writes, END_READ_AGAIN);
        assert_int_equal(registry_observe_definition(
                                         registry, &uuids[u], parent_names[parent], which ? &d : NULL, op),
                        MIN(owns, 0));
        if (owns > 0 && slots[u].definitions[parent] != which) {
                slots[u].definitions[parent] = which;
                slots[u].kept = true;
        }
}

static void end(size_t u) {
        OpId op = below(8) ? slots[u].op : some_op(&slots[u]);
        int expected = oracle_end(&slots[u], op);

        assert_int_equal(registry_end(registry, &uuids[u], op), expected);
        if (expected >= 0)
                assert_int_equal(registry_end(registry, &uuids[u], op), -ESTALE); /* once is enough */
}

static void observe_parent(void) {
        size_t p = below(N_PARENTS);
        bool present = below(3) > 0;
        ParentSighting seen = {
                .name = (char *) parent_names[p],
                .present = present,
                .path = present ? (char *) "/sys/devices/p" : NULL,
                .driver = present && below(2) ? (char *) "driver" : NULL,
                .numa_node = present ? (int) below(2) : -1,
        };

        assert_int_equal(registry_observe_parent(registry, &seen), 0);
        parents[p].present = present;
        if (!present)
                parents[p].types = 0;
}

static void observe_types(void) {
        unsigned which = below(12);
        size_t p = below(N_PARENTS);
        Types types = make_types(which);

        assert_int_equal(registry_observe_types(registry, parent_names[p], &types), 0);
        assert_null(types.types);
        assert_int_equal(types.n, 0);
        if (parents[p].present)
                parents[p].types = which;
}

static void set_error(size_t u) {
        static const FailureKind kinds[] = { FAILURE_NONE, FAILURE_KERNEL, FAILURE_STORE };
        FailureKind kind = kinds[below(ELEMENTSOF(kinds))];
        Failure f = FAILURE_INIT;

        (void) failure_set(&f, kind, EIO, "create", NULL);
        registry_set_error(registry, &uuids[u], kind == FAILURE_NONE && below(2) ? NULL : &f);
        if (slots[u].kept)
                slots[u].error = (int) kind;
        failure_done(&f);
}

static void set_origin(size_t u) {
        Origin origin = below(2) ? ORIGIN_MDEVD : ORIGIN_EXTERNAL;

        registry_set_origin(registry, &uuids[u], origin);
        if (slots[u].kept)
                slots[u].origin = origin;
}

static void commit(void) {
        listener_check(&listener, registry);
        oracle_drop();
}

static void one_event(void) {
        size_t u = below(N_UUIDS);
        unsigned what = below(100);

        if (what < 28)
                begin(u);
        else if (what < 30)
                adopt(u);
        else if (what < 48)
                observe(u);
        else if (what < 58)
                observe_definition(u);
        else if (what < 76)
                end(u);
        else if (what < 80)
                observe_parent();
        else if (what < 82)
                observe_types();
        else if (what < 84)
                set_error(u);
        else if (what < 85)
                set_origin(u);
        else
                commit();
}

/* Everything comes to its end, and then nothing is left. */
static void end_everything(void) {
        size_t n;

        for (size_t u = 0; u < N_UUIDS; u++)
                if (slots[u].op != 0) {
                        OpId op = slots[u].op;

                        assert_int_equal(registry_end(registry, &uuids[u], op), oracle_end(&slots[u], op));
                        compare();
                }
        assert_int_equal(registry_count(registry).n_operations, 0);
        commit();

        for (size_t u = 0; u < N_UUIDS; u++) {
                Sighting absent = { .presence = PRESENCE_ABSENT, .iommu_group = -1 };

                assert_int_equal(registry_observe(registry, &uuids[u], &absent, 0), 0);
                oracle_observe(&slots[u], PRESENCE_ABSENT, -1, -1);
                compare();
                for (size_t p = 0; p < N_PARENTS; p++) {
                        assert_int_equal(registry_observe_definition(
                                                         registry, &uuids[u], parent_names[p], NULL, 0),
                                        0);
                        slots[u].definitions[p] = 0;
                        compare();
                }
        }
        for (size_t p = 0; p < N_PARENTS; p++) {
                ParentSighting absent = { .name = (char *) parent_names[p], .numa_node = -1 };

                assert_int_equal(registry_observe_parent(registry, &absent), 0);
                parents[p].present = false;
                parents[p].types = 0;
                compare();
        }
        commit();

        assert_int_equal(listener.n, 0);
        (void) registry_changes(registry, &n);
        assert_int_equal(n, 0);
        for (size_t u = 0; u < N_UUIDS; u++)
                assert_null(registry_find(registry, &uuids[u]));
        for (size_t p = 0; p < N_PARENTS; p++)
                assert_null(registry_find_parent(registry, parent_names[p]));
}

static void test_random(void **state) {
        (void) state;

        print_message("# seed %" PRIu64 ", %" PRIu64 " events\n", seed, n_events);
        random_state = seed;
        assert_int_equal(registry_new(&registry, MAX_DEVICES), 0);
        for (size_t u = 0; u < N_UUIDS; u++) {
                uuids[u] = (Uuid){ { [0] = (uint8_t) (u * 32), [15] = (uint8_t) (255 - u) } };
                slots[u] = (struct Slot){ .parent = -1, .type = -1 };
        }

        for (event = 1; event <= n_events; event++) {
                one_event();
                compare();
                if (event % 10000 == 0)
                        end_everything();
        }

        end_everything();
        /* Freed in the midst of operations, too. */
        for (unsigned i = 0; i < 100; i++) {
                one_event();
                compare();
        }
}

static int teardown(void **state) {
        (void) state;

        if (event <= n_events)
                print_message("# seed %" PRIu64 ", stopped at event %" PRIu64 "\n", seed, event);
        registry = registry_free(registry);
        return 0;
}

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(test_random, teardown),
        };

        if (argc > 1)
                seed = strtoull(argv[1], NULL, 0);
        else if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
                return EXIT_FAILURE;
        if (argc > 2)
                n_events = strtoull(argv[2], NULL, 0);

        return cmocka_run_group_tests_name("registry-random", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tables at the head of model/registry.h, cell by cell: each call in each state, the state reached in
 * every way that leads to it, with every set of definitions that the row speaks of; then each thing that a
 * look at sysfs can show, in each of these situations. test-registry-rules has what is no table. */

#include "registry-fixture.h"

/* Ways into the states. They begin with the definitions in place, if there are any. */

static void nothing(void) {}

static void came_and_went(void) {
        seen(PRESENCE_PRESENT);
        listener_check(&listener, r);
        seen(PRESENCE_ABSENT);
}

static void creation_failed_unseen(void) {
        end_with(begin_create(), PRESENCE_UNKNOWN);
}

static void removed_by_us(void) {
        seen(PRESENCE_PRESENT);
        end_with(begin_remove(), PRESENCE_ABSENT);
}

static void removal_became_free(void) {
        seen(PRESENCE_PRESENT);
        end_with(begin_remove(), PRESENCE_LEAVING);
        seen(PRESENCE_ABSENT);
}

static void definition_failed(void) {
        end(begin_define(Z));
}

static void defining(void) {
        (void) begin_define(Z);
}

static void defining_adopted(void) {
        (void) adopt(OPERATION_DEFINE);
}

static void modifying(void) {
        (void) begin_modify();
}

static void undefining(void) {
        (void) begin_undefine();
}

static void creating_and_seen(void) {
        assert_int_equal(see(PRESENCE_ARRIVING, begin_create()), 0);
}

static void creating_and_done(void) {
        assert_int_equal(see(PRESENCE_PRESENT, begin_create()), 0);
}

static void creating_after_failure(void) {
        creation_failed();
        (void) begin_create();
}

static void creating_adopted(void) {
        (void) adopt(OPERATION_CREATE);
}

static void creating_adopted_and_there(void) {
        seen(PRESENCE_ARRIVING);
        (void) adopt(OPERATION_CREATE);
}

static void arriving(void) {
        seen(PRESENCE_ARRIVING);
}

static void arriving_after_creation(void) {
        end_with(begin_create(), PRESENCE_ARRIVING);
}

static void arriving_while_defining(void) {
        assert_int_equal(see(PRESENCE_ARRIVING, begin_define(Z)), 0);
}

static void arrived(void) {
        seen(PRESENCE_ARRIVING);
        seen(PRESENCE_PRESENT);
}

static void removal_failed(void) {
        seen(PRESENCE_PRESENT);
        end_with(begin_remove(), PRESENCE_PRESENT);
}

static void removal_ended_unseen(void) {
        seen(PRESENCE_PRESENT);
        end_with(begin_remove(), PRESENCE_UNKNOWN);
}

static void present_again(void) {
        seen(PRESENCE_ORPHAN);
        seen(PRESENCE_PRESENT);
}

static void active_defining(void) {
        present();
        defining();
}

static void active_modifying(void) {
        present();
        modifying();
}

static void active_undefining(void) {
        created();
        undefining();
}

static void active_while_defining(void) {
        assert_int_equal(see(PRESENCE_PRESENT, begin_define(Z)), 0);
}

static void removing(void) {
        seen(PRESENCE_PRESENT);
        (void) begin_remove();
}

static void removing_and_gone(void) {
        seen(PRESENCE_PRESENT);
        assert_int_equal(see(PRESENCE_ABSENT, begin_remove()), 0);
}

static void removing_adopted(void) {
        (void) adopt(OPERATION_REMOVE);
}

static void removing_adopted_and_there(void) {
        seen(PRESENCE_LEAVING);
        (void) adopt(OPERATION_REMOVE);
}

static void leaving(void) {
        seen(PRESENCE_LEAVING);
}

static void leaving_after_removal(void) {
        removing();
        end_with(last_op, PRESENCE_LEAVING);
}

static void leaving_while_modifying(void) {
        assert_int_equal(see(PRESENCE_LEAVING, begin_modify()), 0);
}

static void orphan(void) {
        seen(PRESENCE_ORPHAN);
}

static void orphaned_by_removal(void) {
        removing();
        end_with(last_op, PRESENCE_ORPHAN);
}

static void orphan_defining(void) {
        orphan();
        defining();
}

static void orphan_modifying(void) {
        orphan();
        modifying();
}

enum {
        BUSY = 1 << 0,  /* an operation is under way that the state does not show */
        NEEDS = 1 << 1, /* only if there are definitions */
};

static const struct Way {
        Column column; /* if there are definitions, what is unknown otherwise is defined */
        const char *name;
        void (*go)(void);
        unsigned flags;
} ways[] = {
        { UNKNOWN, "nothing happened", nothing, 0 },
        { UNKNOWN, "came and went", came_and_went, 0 },
        { UNKNOWN, "creation failed", creation_failed, 0 },
        { UNKNOWN, "creation failed, not looked at", creation_failed_unseen, 0 },
        { UNKNOWN, "removed by us", removed_by_us, 0 },
        { UNKNOWN, "removed by us, late", removal_became_free, 0 },
        { UNKNOWN, "definition failed", definition_failed, 0 },
        { UNKNOWN, "being defined", defining, BUSY },
        { UNKNOWN, "being defined, adopted", defining_adopted, BUSY },
        { UNKNOWN, "being modified", modifying, BUSY | NEEDS },
        { UNKNOWN, "being undefined", undefining, BUSY | NEEDS },

        { CREATING, "by us", creating, 0 },
        { CREATING, "by us, arriving", creating_and_seen, 0 },
        { CREATING, "by us, present", creating_and_done, 0 },
        { CREATING, "by us, after a failure", creating_after_failure, 0 },
        { CREATING, "by us, adopted", creating_adopted, 0 },
        { CREATING, "by us, adopted and arriving", creating_adopted_and_there, 0 },
        { CREATING, "foreign", arriving, 0 },
        { CREATING, "ended while arriving", arriving_after_creation, 0 },
        { CREATING, "foreign, seen by a definition", arriving_while_defining, 0 },

        { ACTIVE, "foreign", present, 0 },
        { ACTIVE, "by us", created, 0 },
        { ACTIVE, "foreign, arrived", arrived, 0 },
        { ACTIVE, "removal failed", removal_failed, 0 },
        { ACTIVE, "removal ended, not looked at", removal_ended_unseen, 0 },
        { ACTIVE, "no orphan any more", present_again, 0 },
        { ACTIVE, "being defined", active_defining, BUSY },
        { ACTIVE, "being defined, seen by it", active_while_defining, BUSY },
        { ACTIVE, "being modified", active_modifying, BUSY | NEEDS },
        { ACTIVE, "by us, being undefined", active_undefining, BUSY | NEEDS },

        { REMOVING, "by us", removing, 0 },
        { REMOVING, "by us, gone", removing_and_gone, 0 },
        { REMOVING, "by us, adopted", removing_adopted, 0 },
        { REMOVING, "by us, adopted and leaving", removing_adopted_and_there, 0 },
        { REMOVING, "foreign", leaving, 0 },
        { REMOVING, "ended while leaving", leaving_after_removal, 0 },
        { REMOVING, "foreign, seen by a modification", leaving_while_modifying, NEEDS },

        { ORPHANED, "foreign", orphan, 0 },
        { ORPHANED, "by our removal", orphaned_by_removal, 0 },
        { ORPHANED, "being defined", orphan_defining, BUSY },
        { ORPHANED, "being modified", orphan_modifying, BUSY | NEEDS },
};

/* Which definitions there are before: a set of sets. */
enum {
        NONE = 1 << 0,
        ON_P = 1 << 1,
        ON_Q = 1 << 2,
        ON_BOTH = 1 << 3,
        SOME = ON_P | ON_Q | ON_BOTH,
        ANY = NONE | SOME,
        N_SETS = 4,
};

static Column column_with(const struct Way *way, unsigned set) {
        return way->column == UNKNOWN && set != 0 ? DEFINED : way->column;
}

static bool way_exists(const struct Way *way, unsigned set) {
        return !(way->flags & NEEDS) || set != 0;
}

/* Builds the situation from nothing. @set: bit 0: P, bit 1: Q. */
static void arrange(const struct Way *way, unsigned set, bool by_operation, bool committed) {
        static const char *const parents[] = { P, Q };

        (void) start(100);
        for (size_t i = 0; i < ELEMENTSOF(parents); i++)
                if (set & (1U << i)) {
                        OpId op = by_operation ? begin_define(parents[i]) : 0;

                        assert_int_equal(read_definition(&uuid, parents[i], "defined-type", op), 0);
                        if (by_operation)
                                end(op);
                }
        way->go();
        failure_done(&f);
        if (committed)
                listener_check(&listener, r);
}

/* The table of calls */

static int call_create(OpId op) {
        return registry_begin_create(r, &uuid, P, "type", op, &f);
}

static int call_create_on_other(OpId op) {
        return registry_begin_create(r, &uuid, Q, "type", op, &f);
}

static int call_create_on_absent(OpId op) {
        return registry_begin_create(r, &uuid, GONE, "type", op, &f);
}

static int call_remove(OpId op) {
        return registry_begin_remove(r, &uuid, op, &f);
}

static int call_define(OpId op) {
        return registry_begin_define(r, &uuid, P, false, op, &f);
}

static int call_define_alternate(OpId op) {
        return registry_begin_define(r, &uuid, P, true, op, &f);
}

static int call_define_on_absent(OpId op) {
        return registry_begin_define(r, &uuid, GONE, false, op, &f);
}

static int call_modify(OpId op) {
        return registry_begin_modify(r, &uuid, P, op, &f);
}

static int call_modify_any(OpId op) {
        return registry_begin_modify(r, &uuid, NULL, op, &f);
}

static int call_modify_on_absent(OpId op) {
        return registry_begin_modify(r, &uuid, GONE, op, &f);
}

static int call_undefine(OpId op) {
        return registry_begin_undefine(r, &uuid, P, op, &f);
}

static int call_undefine_any(OpId op) {
        return registry_begin_undefine(r, &uuid, NULL, op, &f);
}

static int call_undefine_on_absent(OpId op) {
        return registry_begin_undefine(r, &uuid, GONE, op, &f);
}

static int call_live(OpId op) {
        return registry_begin_live(r, &uuid, P, false, op, &f);
}

static int call_live_on_other(OpId op) {
        return registry_begin_live(r, &uuid, Q, false, op, &f);
}

static int call_live_and_defined(OpId op) {
        return registry_begin_live(r, &uuid, P, true, op, &f);
}

typedef struct Cell {
        int error; /* 0: begins */
        FailureKind kind;
} Cell;

#define REFUSED(error, kind) \
        { error, FAILURE_##kind }

/* Short, so that what follows is a table. */
#define OK REFUSED(0, NONE)
#define NEVER REFUSED(-1, NONE) /* the definitions that the row wants make this column impossible */
#define TAKEN REFUSED(EEXIST, EXISTS)
#define HERE REFUSED(EEXIST, EXISTS_DEFINED)
#define THERE REFUSED(EEXIST, EXISTS_ELSEWHERE)
#define COMING REFUSED(EAGAIN, BEING_CREATED)
#define GOING REFUSED(EAGAIN, BEING_REMOVED)
#define NODEV REFUSED(ENODEV, NO_SUCH_DEVICE)
#define NODEF REFUSED(ENODEV, NO_SUCH_DEFINITION)
#define IDLE REFUSED(ENODEV, NOT_ACTIVE)
#define ABSENT REFUSED(ENXIO, PARENT_ABSENT)
#define STUCK REFUSED(ENOTRECOVERABLE, ORPHANED)
#define MOVED REFUSED(EAGAIN, CHANGED_MEANWHILE)

/* clang-format off */
static const struct Row {
        const char *name;
        int (*call)(OpId op);
        OperationKind kind;
        unsigned sets;      /* of definitions */
        const char *parent; /* what the failure names where it is about definitions */
        Cell cells[N_COLUMNS];
} rows[] = {
          /* unknown defined creating active  removing orphaned */
        { "create", call_create, OPERATION_CREATE, ANY, NULL,
          { OK,      OK,      TAKEN,   TAKEN,   TAKEN,   TAKEN } },
        { "create on another parent", call_create_on_other, OPERATION_CREATE, ANY, NULL,
          { OK,      OK,      TAKEN,   TAKEN,   TAKEN,   TAKEN } },
        { "create, parent absent", call_create_on_absent, OPERATION_CREATE, ANY, GONE,
          { ABSENT,  ABSENT,  TAKEN,   TAKEN,   TAKEN,   TAKEN } },
        { "remove", call_remove, OPERATION_REMOVE, ANY, NULL,
          { NODEV,   IDLE,    COMING,  OK,      GOING,   STUCK } },

        { "define, no definition", call_define, OPERATION_DEFINE, NONE, NULL,
          { OK,      NEVER,   COMING,  OK,      GOING,   OK } },
        { "define as alternate, no definition", call_define_alternate, OPERATION_DEFINE, NONE, NULL,
          { OK,      NEVER,   COMING,  OK,      GOING,   OK } },
        { "define, no definition, parent absent", call_define_on_absent, OPERATION_DEFINE, NONE, NULL,
          { OK,      NEVER,   COMING,  OK,      GOING,   OK } },
        { "define, on this parent", call_define, OPERATION_DEFINE, ON_P | ON_BOTH, P,
          { NEVER,   HERE,    COMING,  HERE,    GOING,   HERE } },
        { "define as alternate, on this parent", call_define_alternate, OPERATION_DEFINE, ON_P | ON_BOTH, P,
          { NEVER,   HERE,    COMING,  HERE,    GOING,   HERE } },
        { "define, on others only", call_define, OPERATION_DEFINE, ON_Q, Q,
          { NEVER,   THERE,   COMING,  THERE,   GOING,   THERE } },
        { "define, on others only, parent absent", call_define_on_absent, OPERATION_DEFINE, ON_Q, Q,
          { NEVER,   THERE,   COMING,  THERE,   GOING,   THERE } },
        { "define as alternate, on others only", call_define_alternate, OPERATION_DEFINE, ON_Q, NULL,
          { NEVER,   OK,      COMING,  OK,      GOING,   OK } },

        { "modify", call_modify, OPERATION_MODIFY, ON_P | ON_BOTH, NULL,
          { NEVER,   OK,      COMING,  OK,      GOING,   OK } },
        { "modify, any parent", call_modify_any, OPERATION_MODIFY, SOME, NULL,
          { NEVER,   OK,      COMING,  OK,      GOING,   OK } },
        { "modify, none on this parent", call_modify, OPERATION_MODIFY, ON_Q, P,
          { NEVER,   NODEF,   COMING,  NODEF,   GOING,   NODEF } },
        { "modify, none on an absent parent", call_modify_on_absent, OPERATION_MODIFY, SOME, GONE,
          { NEVER,   NODEF,   COMING,  NODEF,   GOING,   NODEF } },
        { "modify, no definition", call_modify, OPERATION_MODIFY, NONE, P,
          { NODEV,   NEVER,   COMING,  NODEF,   GOING,   NODEF } },
        { "modify, any parent, no definition", call_modify_any, OPERATION_MODIFY, NONE, NULL,
          { NODEV,   NEVER,   COMING,  NODEF,   GOING,   NODEF } },

        { "undefine", call_undefine, OPERATION_UNDEFINE, ON_P | ON_BOTH, NULL,
          { NEVER,   OK,      COMING,  OK,      GOING,   OK } },
        { "undefine, any parent", call_undefine_any, OPERATION_UNDEFINE, SOME, NULL,
          { NEVER,   OK,      COMING,  OK,      GOING,   OK } },
        { "undefine, none on this parent", call_undefine, OPERATION_UNDEFINE, ON_Q, P,
          { NEVER,   NODEF,   COMING,  NODEF,   GOING,   NODEF } },
        { "undefine, none on an absent parent", call_undefine_on_absent, OPERATION_UNDEFINE, SOME, GONE,
          { NEVER,   NODEF,   COMING,  NODEF,   GOING,   NODEF } },
        { "undefine, no definition", call_undefine, OPERATION_UNDEFINE, NONE, P,
          { NODEV,   NEVER,   COMING,  NODEF,   GOING,   NODEF } },
        { "undefine, any parent, no definition", call_undefine_any, OPERATION_UNDEFINE, NONE, NULL,
          { NODEV,   NEVER,   COMING,  NODEF,   GOING,   NODEF } },

        { "change live", call_live, OPERATION_MODIFY, ANY, P,
          { NODEV,   IDLE,    COMING,  OK,      GOING,   STUCK } },
        { "change live, on another parent", call_live_on_other, OPERATION_MODIFY, ANY, Q,
          { NODEV,   IDLE,    COMING,  MOVED,   GOING,   STUCK } },
        { "change live and defined", call_live_and_defined, OPERATION_MODIFY, ON_P | ON_BOTH, NULL,
          { NEVER,   IDLE,    COMING,  OK,      GOING,   STUCK } },
        { "change live and defined, on others only", call_live_and_defined, OPERATION_MODIFY, ON_Q, P,
          { NEVER,   IDLE,    COMING,  NODEF,   GOING,   STUCK } },
        { "change live and defined, no definition", call_live_and_defined, OPERATION_MODIFY, NONE, P,
          { NODEV,   NEVER,   COMING,  NODEF,   GOING,   STUCK } },
};
/* clang-format on */

static void assert_begun(const struct Row *row, Column before, OpId op) {
        Presence last_seen;
        const Device *d;

        assert_false(failure_is_set(&f));
        if (row->kind == OPERATION_CREATE)
                assert_column(CREATING);
        else if (row->kind == OPERATION_REMOVE)
                assert_column(REMOVING);
        else
                assert_column(before);

        d = device(&uuid);
        assert_int_equal(d == NULL, before == UNKNOWN && row->kind != OPERATION_CREATE);
        last_seen = d ? d->seen : PRESENCE_ABSENT;
        if (d) {
                assert_true(d->op == op);
                assert_int_equal(d->op_kind, row->kind);
                assert_false(d->look_again || d->read_again);
        }
        if (row->kind == OPERATION_CREATE) {
                assert_string_equal(d->parent->name, row->call == call_create ? P : Q);
                assert_string_equal(d->type, "type");
                assert_null(d->path);
                assert_int_equal(d->origin, ORIGIN_MDEVD);
        }
        assert_int_equal(registry_count(r).n_operations, 1);
        (void) news();

        /* One at a time. */
        assert_true(registry_begin_create(r, &uuid, P, "type", op + 1, &f) < 0);
        assert_true(registry_begin_remove(r, &uuid, op + 1, &f) < 0);
        assert_true(registry_begin_define(r, &uuid, Z, true, op + 1, &f) < 0);
        assert_true(registry_begin_modify(r, &uuid, NULL, op + 1, &f) < 0);
        assert_true(registry_begin_undefine(r, &uuid, NULL, op + 1, &f) < 0);
        assert_int_equal(registry_adopt(r, &uuid, row->kind, P, "type", op + 1), -EBUSY);
        assert_int_equal(registry_end(r, &uuid, op + 1), -ESTALE);

        /* Its end by itself decides nothing: what was seen last does. */
        assert_int_equal(registry_end(r, &uuid, op), 0);
        assert_int_equal(registry_end(r, &uuid, op), -ESTALE);
        assert_column(last_seen == PRESENCE_ABSENT && before != DEFINED ? UNKNOWN : before);
        (void) news();
        assert_column(before);
        assert_int_equal(registry_count(r).n_operations, 0);
}

static void assert_refused(const struct Row *row, const Cell *cell, Column before, const Snapshot *snapshot) {
        const Device *d = device(&uuid);

        assert_int_equal(f.kind, cell->kind);
        assert_int_equal(failure_errno(&f), cell->error);
        assert_true(f.has_uuid && uuid_equal(&f.uuid, &uuid));
        if (d) {
                assert_string_equal(column_names[before], device_state_to_string((DeviceState) f.state));
        } else
                assert_true(f.state == -1 || f.state == DEVICE_DEFINED);

        if (cell->kind == FAILURE_EXISTS || cell->kind == FAILURE_BEING_CREATED ||
                        cell->kind == FAILURE_BEING_REMOVED || cell->kind == FAILURE_ORPHANED) {
                /* Who is in the way. */
                assert_non_null(d);
                assert_streq_ptr(f.parent, d->parent ? d->parent->name : NULL);
                assert_streq_ptr(f.type, d->type);
        } else if (cell->kind == FAILURE_NOT_ACTIVE) {
                assert_non_null(d);
                assert_string_equal(f.parent, d->definitions[0].parent);
                assert_string_equal(f.type, "defined-type");
        } else if (cell->kind != FAILURE_BUSY) {
                assert_streq_ptr(f.parent, row->parent);
                assert_streq_ptr(f.type,
                                cell->kind == FAILURE_EXISTS_DEFINED || cell->kind == FAILURE_EXISTS_ELSEWHERE
                                                ? "defined-type"
                                                : cell->kind == FAILURE_PARENT_ABSENT ? "type"
                                                                                      : NULL);
        }
        assert_unchanged(snapshot);
}

static void check_cell(const struct Row *row, const struct Way *way, unsigned set) {
        static const Cell busy = REFUSED(EAGAIN, BUSY);
        static Snapshot before;
        Column column = column_with(way, set);
        const Cell *cell = &row->cells[column];
        OpId op;
        int result;

        assert_int_not_equal(cell->error, -1);
        assert_column(column);
        /* What the table lets begin waits for the operation that is under way. */
        if (cell->error == 0 && (way->flags & BUSY))
                cell = &busy;

        take(&before);
        op = ++last_op;
        result = row->call(op);
        assert_int_equal(result, -cell->error);
        if (result < 0)
                assert_refused(row, cell, column, &before);
        else
                assert_begun(row, column, op);
}

typedef struct Case {
        const struct Row *row;
        const struct Way *way;
        Presence presence;
        char name[128];
} Case;

static void test_cell(void **state) {
        const Case *c = *state;

        for (unsigned set = 0; set < N_SETS; set++)
                for (unsigned variant = 0; variant < 4; variant++)
                        if ((c->row->sets & (1U << set)) && way_exists(c->way, set)) {
                                arrange(c->way, set, variant & 1, variant & 2);
                                check_cell(c->row, c->way, set);
                                (void) stop();
                        }
}

/* The table of sightings */

static Column column_after(Presence presence, unsigned set) {
        static const Column lives[_PRESENCE_MAX] = { [PRESENCE_ARRIVING] = CREATING,
                [PRESENCE_PRESENT] = ACTIVE,
                [PRESENCE_LEAVING] = REMOVING,
                [PRESENCE_ORPHAN] = ORPHANED };

        return presence != PRESENCE_ABSENT ? lives[presence] : set != 0 ? DEFINED : UNKNOWN;
}

static void assert_live(Presence presence) {
        const Device *d = device(&uuid);

        if (presence == PRESENCE_ABSENT) {
                if (d) {
                        assert_null(d->parent);
                        assert_null(d->type);
                        assert_null(d->path);
                        assert_int_equal(d->iommu_group, -1);
                        assert_int_equal(d->origin, ORIGIN_EXTERNAL);
                }
                return;
        }

        assert_non_null(d);
        assert_int_equal(d->seen, presence);
        assert_string_equal(d->parent->name, P);
        assert_string_equal(d->path, "/sys/devices/parent/u");
        assert_int_equal(d->iommu_group, presence == PRESENCE_PRESENT ? 7 : -1);
        if (presence == PRESENCE_PRESENT || presence == PRESENCE_ORPHAN)
                assert_string_equal(d->type, "type");
}

/* A look for no operation's sake, at a device that none creates or removes. */
static void check_look(const Case *c, unsigned set) {
        Column before = column_now();

        assert_int_equal(see(c->presence, 0), 0);
        if (c->presence == PRESENCE_UNKNOWN)
                assert_column(before);
        else {
                assert_column(column_after(c->presence, set));
                assert_live(c->presence);
        }
        (void) news();

        /* The same again is no news. */
        assert_int_equal(see(c->presence, 0), 0);
        assert_news("");
}

/* The same, while one does: nothing now, and a second look later. */
static void check_look_meanwhile(const Case *c, OpId op) {
        static Snapshot before;

        take(&before);
        before.hint = before.op != 0; /* of a slot that is not visible it cannot be read */
        assert_int_equal(see(c->presence, 0), 0);
        assert_unchanged(&before);
        assert_int_equal(registry_end(r, &uuid, op), END_LOOK_AGAIN);
        (void) news();
}

static void check_look_of_operation(const Case *c, unsigned set, OpId op, OperationKind kind, Presence last) {
        Presence decides = c->presence == PRESENCE_UNKNOWN ? last : c->presence;

        assert_int_equal(see(c->presence, op), 0);
        if (kind == OPERATION_CREATE || kind == OPERATION_REMOVE)
                assert_column(kind == OPERATION_CREATE ? CREATING : REMOVING);
        else
                assert_column(column_after(decides, set));
        assert_int_equal(registry_end(r, &uuid, op), 0);
        assert_column(column_after(decides, set));
        if (c->presence != PRESENCE_UNKNOWN)
                assert_live(c->presence);
        (void) news();
}

static void test_sighting(void **state) {
        const Case *c = *state;

        for (unsigned set = 0; set < N_SETS; set++)
                for (unsigned variant = 0; variant < 12; variant++) {
                        static Snapshot before;
                        const Change *changes;
                        const Device *d = NULL;
                        OpId op = 0;
                        OperationKind kind = OPERATION_NONE;
                        Presence last = PRESENCE_ABSENT;
                        size_t n;

                        if (!way_exists(c->way, set))
                                continue;
                        arrange(c->way, set, variant & 1, false);
                        assert_column(column_with(c->way, set));

                        /* The slot, even of what is not visible yet. */
                        changes = registry_changes(r, &n);
                        for (size_t i = 0; i < n; i++)
                                if (changes[i].device && uuid_equal(&changes[i].device->uuid, &uuid))
                                        d = changes[i].device;
                        if (d) {
                                op = d->op;
                                kind = d->op_kind;
                                last = d->seen;
                        }
                        if (variant & 2)
                                listener_check(&listener, r);

                        switch (variant / 4) {
                        case 0: /* for another reason */
                                if (kind == OPERATION_CREATE || kind == OPERATION_REMOVE)
                                        check_look_meanwhile(c, op);
                                else
                                        check_look(c, set);
                                if (op != 0 && kind != OPERATION_CREATE && kind != OPERATION_REMOVE)
                                        assert_int_equal(registry_end(r, &uuid, op), 0);
                                break;
                        case 1: /* of the operation */
                                if (op != 0)
                                        check_look_of_operation(c, set, op, kind, last);
                                break;
                        default: /* of an operation of the past */
                                take(&before);
                                assert_int_equal(see(c->presence, op + 1), -ESTALE);
                                assert_unchanged(&before);
                                if (op != 0)
                                        assert_int_equal(registry_end(r, &uuid, op), 0);
                                break;
                        }
                        (void) stop();
                }
}

static const char *const presence_names[_PRESENCE_MAX] = { "absent", "arriving", "present", "leaving",
        "orphan", "unknown" };

static const char *columns_of(const struct Way *way, unsigned sets) {
        if (way->column != UNKNOWN)
                return column_names[way->column];
        if (sets == NONE)
                return "unknown";
        return (sets & NONE) && !(way->flags & NEEDS) ? "unknown and defined" : "defined";
}

int main(void) {
        static Case cases[(ELEMENTSOF(rows) + _PRESENCE_MAX) * ELEMENTSOF(ways)];
        static struct CMUnitTest tests[ELEMENTSOF(cases)];
        size_t n = 0, n_cases = 0;

        for (size_t w = 0; w < ELEMENTSOF(ways); w++) {
                for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                        Case *c = &cases[n_cases];
                        unsigned wanted = 0;

                        for (unsigned set = 0; set < N_SETS; set++)
                                wanted |= way_exists(&ways[w], set) && (rows[i].sets & (1U << set));
                        if (!wanted)
                                continue;

                        *c = (Case){ .row = &rows[i], .way = &ways[w] };
                        (void) snprintf(c->name, sizeof c->name, "%s / %s (%s)", rows[i].name,
                                        columns_of(&ways[w], rows[i].sets), ways[w].name);
                        tests[n++] = (struct CMUnitTest){
                                .name = c->name,
                                .test_func = test_cell,
                                .initial_state = c,
                        };
                        n_cases++;
                }

                for (Presence presence = 0; presence < _PRESENCE_MAX; presence++) {
                        Case *c = &cases[n_cases++];

                        *c = (Case){ .way = &ways[w], .presence = presence };
                        (void) snprintf(c->name, sizeof c->name, "seen %s / %s (%s)",
                                        presence_names[presence], columns_of(&ways[w], ANY), ways[w].name);
                        tests[n++] = (struct CMUnitTest){
                                .name = c->name,
                                .test_func = test_sighting,
                                .initial_state = c,
                        };
                }
        }

        return _cmocka_run_group_tests("registry", tests, n, NULL, NULL);
}

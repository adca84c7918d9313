/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What model/registry.h promises besides the tables, which test-registry goes through. */

#include "registry-fixture.h"

/* What is known of a live device */

/* A device that is arriving or leaving cannot say its type; what was known of it holds, on the same parent.
 */
static void test_type_is_remembered(void **state) {
        static const Presence untyped[] = { PRESENCE_ARRIVING, PRESENCE_LEAVING, PRESENCE_ORPHAN };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(untyped); i++) {
                assert_int_equal(look_at(&uuid, PRESENCE_PRESENT, P, "a", 0), 0);
                assert_int_equal(look_at(&uuid, untyped[i], P, NULL, 0), 0);
                assert_string_equal(device(&uuid)->type, "a");
                assert_int_equal(look_at(&uuid, untyped[i], P, "b", 0), 0);
                assert_string_equal(device(&uuid)->type, "b");
                assert_int_equal(look_at(&uuid, untyped[i], Q, NULL, 0), 0);
                assert_string_equal(device(&uuid)->parent->name, Q);
                assert_null(device(&uuid)->type);
                seen(PRESENCE_ABSENT);
                assert_int_equal(look_at(&uuid, untyped[i], P, NULL, 0), 0);
                assert_null(device(&uuid)->type);
        }

        /* What is asked for is known before it can be seen. */
        seen(PRESENCE_ABSENT);
        assert_int_equal(look_at(&uuid, PRESENCE_ARRIVING, P, NULL, begin_create()), 0);
        assert_string_equal(device(&uuid)->type, "type");
        end(last_op);
        assert_string_equal(device(&uuid)->type, "type");
}

/* Each field of a sighting by itself is news. */
static void test_sighting_fields(void **state) {
        Sighting s = { PRESENCE_PRESENT, -1, (char *) P, (char *) "/sys/a", (char *) "t" };

        (void) state;

        assert_int_equal(registry_observe(r, &uuid, &s, 0), 0);
        assert_news("+" UUID ";");
        assert_int_equal(registry_observe(r, &uuid, &s, 0), 0);
        assert_news("");

        s.iommu_group = 3;
        assert_int_equal(registry_observe(r, &uuid, &s, 0), 0);
        assert_news(UUID ": live;");
        assert_int_equal(device(&uuid)->iommu_group, 3);
        s.path = (char *) "/sys/b";
        assert_int_equal(registry_observe(r, &uuid, &s, 0), 0);
        assert_news(UUID ": live;");
        assert_string_equal(device(&uuid)->path, "/sys/b");
        s.type = (char *) "u";
        assert_int_equal(registry_observe(r, &uuid, &s, 0), 0);
        assert_news(UUID ": live;");
        assert_string_equal(device(&uuid)->type, "u");
        s.parent = (char *) Q;
        assert_int_equal(registry_observe(r, &uuid, &s, 0), 0);
        assert_news(UUID ": live;");
        assert_string_equal(device(&uuid)->parent->name, Q);
        s.presence = PRESENCE_LEAVING;
        assert_int_equal(registry_observe(r, &uuid, &s, 0), 0);
        assert_news(UUID ": state live;");
        s.type = NULL;
        assert_int_equal(registry_observe(r, &uuid, &s, 0), 0);
        assert_news("");
        s.path = NULL;
        assert_int_equal(registry_observe(r, &uuid, &s, 0), 0);
        assert_news(UUID ": live;");
}

static void test_sighting_is_copied(void **state) {
        char parent[] = P, path[] = "/sys/a", type[] = "t";
        Sighting s = { PRESENCE_PRESENT, 1, parent, path, type };

        (void) state;

        assert_int_equal(registry_observe(r, &uuid, &s, 0), 0);
        parent[0] = path[0] = type[0] = 'X';
        assert_string_equal(device(&uuid)->parent->name, P);
        assert_string_equal(device(&uuid)->path, "/sys/a");
        assert_string_equal(device(&uuid)->type, "t");
}

/* What lives somewhere, but nobody knows where, cannot be taken in. */
static void test_sighting_without_parent(void **state) {
        static Snapshot before;

        (void) state;

        take(&before);
        assert_int_equal(look_at(&uuid, PRESENCE_PRESENT, NULL, "t", 0), -EINVAL);
        assert_unchanged(&before);
        present();
        take(&before);
        assert_int_equal(look_at(&uuid, PRESENCE_LEAVING, NULL, NULL, 0), -EINVAL);
        assert_unchanged(&before);
}

static void test_origin(void **state) {
        (void) state;

        present();
        assert_int_equal(device(&uuid)->origin, ORIGIN_EXTERNAL);
        seen(PRESENCE_ABSENT);

        (void) begin_create();
        assert_int_equal(device(&uuid)->origin, ORIGIN_MDEVD);
        end_with(last_op, PRESENCE_PRESENT);
        assert_int_equal(device(&uuid)->origin, ORIGIN_MDEVD);
        seen(PRESENCE_PRESENT);
        assert_int_equal(device(&uuid)->origin, ORIGIN_MDEVD);
        end_with(begin_remove(), PRESENCE_LEAVING);
        assert_int_equal(device(&uuid)->origin, ORIGIN_MDEVD);
        seen(PRESENCE_ABSENT);

        present();
        assert_int_equal(device(&uuid)->origin, ORIGIN_EXTERNAL);
        (void) news();
        registry_set_origin(r, &uuid, ORIGIN_EXTERNAL);
        assert_news("");
        registry_set_origin(r, &uuid, ORIGIN_MDEVD);
        assert_int_equal(device(&uuid)->origin, ORIGIN_MDEVD);
        assert_news(UUID ": live;");
        registry_set_origin(r, &uuid2, ORIGIN_MDEVD); /* nobody */
        assert_null(registry_find(r, &uuid2));
        assert_news("");

        assert_int_equal(read_definition(&uuid, P, "t", 0), 0);
        seen(PRESENCE_ABSENT);
        assert_int_equal(device(&uuid)->origin, ORIGIN_EXTERNAL);
}

/* Operations and hints */

static void test_hints(void **state) {
        (void) state;

        /* By a look at the device, by a look that failed, by a look at a definition. */
        for (unsigned what = 0; what < 3; what++) {
                assert_int_equal(registry_begin_create_and_define(r, &uuid, P, "type", false, ++last_op, &f),
                                0);
                if (what < 2)
                        seen(what == 0 ? PRESENCE_PRESENT : PRESENCE_UNKNOWN);
                else
                        assert_int_equal(read_definition(&uuid, Q, "t", 0), 0);
                assert_column(CREATING);
                assert_int_equal(device(&uuid)->n_definitions, 0);
                assert_int_equal(see(PRESENCE_ABSENT, last_op), 0);
                assert_int_equal(registry_end(r, &uuid, last_op), what < 2 ? END_LOOK_AGAIN : END_READ_AGAIN);
                assert_column(UNKNOWN);

                /* And is forgotten then. */
                end_with(begin_create(), PRESENCE_ABSENT);
                (void) news();
        }

        /* A hint of one device is none of another. */
        (void) begin_create();
        assert_int_equal(look_at(&uuid2, PRESENCE_PRESENT, P, "t", 0), 0);
        end(last_op);
}

/* A removal may wait for a VM for days, and an operation that was taken over says nothing of files till it is
 * over: what is on disk is told all the same. */
static void test_definitions_meanwhile(void **state) {
        (void) state;

        (void) begin_create();
        assert_int_equal(read_definition(&uuid, P, "t", 0), 0);
        assert_int_equal(device(&uuid)->n_definitions, 1);
        end_with(last_op, PRESENCE_PRESENT);

        (void) begin_remove();
        assert_int_equal(read_definition(&uuid, P, NULL, 0), 0);
        assert_int_equal(device(&uuid)->n_definitions, 0);
        end_with(last_op, PRESENCE_ABSENT);

        for (int kind = OPERATION_CREATE; kind < _OPERATION_KIND_MAX; kind++) {
                assert_int_equal(registry_adopt(r, &uuid, (OperationKind) kind, P, "t", ++last_op), 0);
                assert_int_equal(read_definition(&uuid, Q, "t", 0), 0);
                assert_int_equal(device(&uuid)->n_definitions, 1);
                assert_int_equal(see(PRESENCE_ABSENT, last_op), 0);
                end(last_op);
                assert_int_equal(read_definition(&uuid, Q, NULL, 0), 0);
                assert_column(UNKNOWN);
        }
}

/* A creation that is also a definition is refused as both would be. */
static void test_create_and_define(void **state) {
        (void) state;

        assert_int_equal(read_definition(&uuid, Q, "t", 0), 0);
        assert_int_equal(registry_begin_create_and_define(r, &uuid, Q, "t", true, 1, &f), -EEXIST);
        assert_int_equal(f.kind, FAILURE_EXISTS_DEFINED);
        assert_int_equal(registry_begin_create_and_define(r, &uuid, P, "t", false, 1, &f), -EEXIST);
        assert_int_equal(f.kind, FAILURE_EXISTS_ELSEWHERE);
        assert_string_equal(f.parent, Q);
        assert_column(DEFINED);

        assert_int_equal(registry_begin_create_and_define(r, &uuid, P, "t", true, 1, &f), 0);
        assert_column(CREATING);
        assert_int_equal(registry_begin_create_and_define(r, &uuid, P, "t", true, 2, &f), -EEXIST);
        assert_int_equal(f.kind, FAILURE_EXISTS);
}

static void test_waiting(void **state) {
        (void) state;

        registry_set_waiting(r, &uuid, WAITING_PARENT); /* of nothing */
        assert_int_equal(read_definition(&uuid, P, "t", 0), 0);
        (void) news();
        registry_set_waiting(r, &uuid, WAITING_CAPACITY);
        assert_int_equal(device(&uuid)->waiting, WAITING_CAPACITY);
        {
                size_t n;
                const Change *c = registry_changes(r, &n);

                assert_int_equal(n, 1);
                assert_int_equal(c->what, CHANGED_WAITING);
        }
        (void) news();
        registry_set_waiting(r, &uuid, WAITING_CAPACITY); /* no news */
        assert_news("");
        for (int w = 0; w < _WAITING_MAX; w++)
                assert_non_null(waiting_to_string((Waiting) w));
        assert_string_equal(waiting_to_string(WAITING_NOT), "");
}

/* Gone and there again between two looks: all that was known of it is of its earlier life. */
static void test_parent_lives(void **state) {
        ParentSighting seen = { .name = (char *) P, .present = true, .life = 7, .numa_node = -1 };
        Types types = {};
        const Parent *p;

        (void) state;

        assert_int_equal(registry_observe_parent(r, &seen), 0);
        p = registry_find_parent(r, P);
        assert_int_equal(p->life, 7);
        assert_false(p->types_known);
        types.types = calloc(1, sizeof *types.types);
        types.n = 1;
        types.types[0] = (Type){ strdup("t"), strdup(""), strdup(""), strdup(""), 3 };
        assert_int_equal(registry_observe_types(r, P, &types), 0);
        assert_true(p->types_known);
        assert_int_equal(p->types_serial, 1);
        assert_non_null(parent_find_type(p, "t"));
        assert_null(parent_find_type(p, "u"));
        (void) news();

        seen.life = 8;
        assert_int_equal(registry_observe_parent(r, &seen), 0);
        assert_true(p->present && p->life == 8 && !p->types_known);
        assert_int_equal(p->types.n, 0);
        {
                size_t n;
                const Change *c = registry_changes(r, &n);

                assert_int_equal(n, 1);
                assert_int_equal(c->what, CHANGED_PARENT | CHANGED_TYPES);
        }
        (void) news();

        seen = (ParentSighting){ .name = (char *) P, .numa_node = -1 };
        assert_int_equal(read_definition(&uuid, P, "t", 0), 0); /* so that it stays */
        assert_int_equal(registry_observe_parent(r, &seen), 0);
        assert_int_equal(p->life, 0);
}

static void test_stale(void **state) {
        static Snapshot before;
        OpId old, op;

        (void) state;

        assert_int_equal(registry_end(r, &uuid, 1), -ESTALE);
        assert_int_equal(registry_end(r, &uuid, 0), -ESTALE);
        assert_int_equal(see(PRESENCE_PRESENT, 1), -ESTALE);
        assert_int_equal(read_definition(&uuid, P, "t", 1), -ESTALE);
        assert_int_equal(read_definition(&uuid, P, NULL, 1), -ESTALE);
        assert_null(registry_find(r, &uuid));

        old = begin_create();
        end_with(old, PRESENCE_PRESENT);
        take(&before);
        assert_int_equal(registry_end(r, &uuid, 0), -ESTALE);
        assert_int_equal(registry_end(r, &uuid, old), -ESTALE);
        assert_int_equal(see(PRESENCE_ABSENT, old), -ESTALE);
        assert_int_equal(read_definition(&uuid, P, "t", old), -ESTALE);
        assert_unchanged(&before);

        op = begin_remove();
        take(&before);
        assert_int_equal(registry_end(r, &uuid, 0), -ESTALE);
        assert_int_equal(registry_end(r, &uuid, old), -ESTALE);
        assert_int_equal(see(PRESENCE_ABSENT, old), -ESTALE);
        assert_int_equal(read_definition(&uuid, P, "t", old), -ESTALE);
        assert_unchanged(&before);
        end(op); /* nor was any of it a hint */
}

/* An operation tells as much as it knows, also of what it is not named after. */
static void test_operation_tells_both(void **state) {
        OpId op;

        (void) state;

        op = begin_create();
        assert_int_equal(read_definition(&uuid, P, "t", op), 0);
        assert_int_equal(see(PRESENCE_PRESENT, op), 0);
        end(op);
        assert_column(ACTIVE);
        assert_int_equal(device(&uuid)->n_definitions, 1);

        op = begin_undefine();
        assert_int_equal(read_definition(&uuid, P, NULL, op), 0);
        assert_int_equal(see(PRESENCE_ABSENT, op), 0);
        assert_column(UNKNOWN);
        end(op);
        assert_news("");
        assert_null(registry_find(r, &uuid));
}

/* Of many who ask for one UUID at a time, one gets it, whatever the parent. */
static void test_one_of_many(void **state) {
        static const char *const parents[] = { P, Q, Z };
        unsigned n = 0;

        (void) state;

        for (unsigned i = 0; i < 100; i++) {
                int result = registry_begin_create(r, &uuid, parents[i % 3], "t", i + 1, &f);

                n += result == 0;
                if (i > 0) {
                        assert_int_equal(result, -EEXIST);
                        assert_string_equal(f.parent, P);
                        assert_int_equal(f.state, DEVICE_CREATING);
                }
        }
        assert_int_equal(n, 1);
        assert_true(device(&uuid)->op == 1);
}

/* No order among the devices of one parent. */
static void test_parallel(void **state) {
        Uuid u[50];

        (void) state;

        for (uint8_t i = 0; i < 50; i++) {
                u[i] = (Uuid){ { 1, i } };
                assert_int_equal(registry_begin_create(r, &u[i], P, "t", i + 1U, &f), 0);
        }
        assert_counts(50, 0, 50, 0);
        for (unsigned i = 50; i-- > 0;) {
                assert_int_equal(look_at(&u[i], PRESENCE_PRESENT, P, "t", i + 1), 0);
                assert_int_equal(registry_end(r, &u[i], i + 1), 0);
                assert_counts(50, 50 - i, i, 0);
        }
        for (unsigned i = 0; i < 50; i++)
                assert_int_equal(registry_begin_remove(r, &u[i], 100 + i, &f), 0);
        assert_counts(50, 0, 50, 0);
}

static void test_adopt(void **state) {
        (void) state;

        /* Nothing known: it is what the operation makes of it. */
        (void) adopt(OPERATION_CREATE);
        assert_column(CREATING);
        assert_string_equal(device(&uuid)->parent->name, P);
        assert_string_equal(device(&uuid)->type, "type");
        assert_int_equal(device(&uuid)->origin, ORIGIN_MDEVD);
        assert_news("+" UUID ";");
        assert_int_equal(registry_adopt(r, &uuid, OPERATION_CREATE, P, "type", 5), -EBUSY);
        end_with(last_op, PRESENCE_PRESENT);
        assert_column(ACTIVE);
        assert_int_equal(device(&uuid)->origin, ORIGIN_MDEVD);

        /* Something known: that holds. */
        assert_int_equal(registry_adopt(r, &uuid, OPERATION_REMOVE, Q, "other", ++last_op), 0);
        assert_column(REMOVING);
        assert_string_equal(device(&uuid)->parent->name, P);
        assert_string_equal(device(&uuid)->type, "type");
        end_with(last_op, PRESENCE_ABSENT);
        assert_column(UNKNOWN);
        assert_news("-" UUID ";");

        /* Neither parent nor type known. */
        assert_int_equal(registry_adopt(r, &uuid, OPERATION_REMOVE, NULL, NULL, ++last_op), 0);
        assert_column(REMOVING);
        assert_null(device(&uuid)->parent);
        end_with(last_op, PRESENCE_LEAVING);
        assert_column(REMOVING);
        assert_string_equal(device(&uuid)->parent->name, P);
        seen(PRESENCE_ABSENT);
        (void) news();

        /* Parent known, but not there, and not the type. */
        assert_int_equal(registry_adopt(r, &uuid, OPERATION_REMOVE, GONE, NULL, ++last_op), 0);
        assert_string_equal(device(&uuid)->parent->name, GONE);
        assert_null(device(&uuid)->type);
        assert_int_equal(device(&uuid)->origin, ORIGIN_EXTERNAL);
        assert_news_both("+" UUID ";", "+parent " GONE ";");
        end_with(last_op, PRESENCE_ABSENT);
        assert_news_both("-" UUID ";", "-parent " GONE ";");

        /* Those on definitions say nothing of what lives. */
        assert_int_equal(registry_adopt(r, &uuid, OPERATION_DEFINE, P, "type", ++last_op), 0);
        assert_column(UNKNOWN);
        assert_counts(0, 0, 1, 0);
        assert_int_equal(read_definition(&uuid, P, "type", last_op), 0);
        assert_column(DEFINED);
        assert_null(device(&uuid)->parent);
        end(last_op);
        for (OperationKind kind = OPERATION_MODIFY; kind <= OPERATION_UNDEFINE; kind++) {
                assert_int_equal(registry_adopt(r, &uuid, kind, P, "type", ++last_op), 0);
                assert_column(DEFINED);
                assert_null(device(&uuid)->parent);
                assert_int_equal(registry_begin_modify(r, &uuid, P, 1, &f), -EAGAIN);

                /* Nor do they hold up what is seen of it. */
                seen(PRESENCE_PRESENT);
                assert_column(ACTIVE);
                assert_int_equal(registry_begin_remove(r, &uuid, 1, &f), -EAGAIN);
                seen(PRESENCE_ABSENT);
                assert_column(DEFINED);
                end(last_op);
        }
}

/* Definitions */

static void test_definitions_sorted(void **state) {
        static const char *const parents[] = { Z, P, "b", Q, "a", "c" };
        const Device *d;

        (void) state;

        for (uint32_t i = 0; i < ELEMENTSOF(parents); i++) {
                assert_int_equal(read_definition(&uuid, parents[i], parents[i], 0), 0);
                d = device(&uuid);
                assert_int_equal(d->n_definitions, i + 1);
                for (uint32_t k = 1; k <= i; k++)
                        assert_true(strcmp(d->definitions[k - 1].parent, d->definitions[k].parent) < 0);
        }
        assert_counts(1, 0, 0, 6);
        d = device(&uuid);
        assert_ptr_equal(device_find_definition(d, NULL), &d->definitions[0]);
        assert_string_equal(device_find_definition(d, NULL)->parent, P);
        for (uint32_t i = 0; i < ELEMENTSOF(parents); i++)
                assert_string_equal(device_find_definition(d, parents[i])->type, parents[i]);
        assert_null(device_find_definition(d, "d"));
        assert_null(device_find_definition(d, ""));

        /* From the middle, the end, the beginning. */
        assert_int_equal(read_definition(&uuid, "b", NULL, 0), 0);
        assert_int_equal(read_definition(&uuid, Z, NULL, 0), 0);
        assert_int_equal(read_definition(&uuid, P, NULL, 0), 0);
        assert_int_equal(d->n_definitions, 3);
        assert_string_equal(d->definitions[0].parent, "a");
        assert_string_equal(d->definitions[1].parent, "c");
        assert_string_equal(d->definitions[2].parent, Q);
        assert_counts(1, 0, 0, 3);
}

static void test_definition_news(void **state) {
        char parent[] = P, type[] = "t";
        Definition definition = { .uuid = uuid, .parent = parent, .type = type };

        (void) state;

        assert_int_equal(registry_observe_definition(r, &uuid, P, NULL, 0), 0);
        assert_news("");
        assert_null(registry_find(r, &uuid));

        assert_int_equal(attributes_append(&definition.attributes, "a", "1"), 0);
        assert_int_equal(registry_observe_definition(r, &uuid, P, &definition, 0), 0);
        assert_news("+" UUID ";");
        assert_int_equal(registry_observe_definition(r, &uuid, P, &definition, 0), 0);
        assert_news("");

        definition.autostart = true;
        assert_int_equal(registry_observe_definition(r, &uuid, P, &definition, 0), 0);
        assert_news(UUID ": definitions;");
        assert_int_equal(attributes_append(&definition.attributes, "a", "1"), 0);
        assert_int_equal(registry_observe_definition(r, &uuid, P, &definition, 0), 0);
        assert_news(UUID ": definitions;");
        type[0] = 'u';
        assert_int_equal(registry_observe_definition(r, &uuid, P, &definition, 0), 0);
        assert_news(UUID ": definitions;");

        /* Copied. */
        type[0] = parent[0] = 'X';
        attributes_done(&definition.attributes);
        assert_string_equal(device(&uuid)->definitions[0].type, "u");
        assert_string_equal(device(&uuid)->definitions[0].parent, P);
        assert_int_equal(device(&uuid)->definitions[0].attributes.n, 2);

        assert_int_equal(read_definition(&uuid, Q, "t", 0), 0);
        assert_news(UUID ": definitions;");
        assert_int_equal(read_definition(&uuid, Z, NULL, 0), 0);
        assert_news("");
        assert_int_equal(read_definition(&uuid, P, NULL, 0), 0);
        assert_news(UUID ": definitions;");
        assert_int_equal(read_definition(&uuid, Q, NULL, 0), 0);
        assert_news("-" UUID ";");
        assert_null(registry_find(r, &uuid));
}

/* What an operation on a definition finds on disk decides, not what it was to do. */
static void test_definition_operations(void **state) {
        OpId op;

        (void) state;

        op = begin_define(P);
        assert_int_equal(read_definition(&uuid, P, "t", 0), 0); /* somebody else's word */
        assert_column(UNKNOWN);
        assert_int_equal(read_definition(&uuid, P, NULL, op), 0);
        assert_int_equal(registry_end(r, &uuid, op), END_READ_AGAIN);
        assert_column(UNKNOWN);
        assert_news("");

        op = begin_define(P);
        assert_int_equal(read_definition(&uuid, P, "t", op), 0);
        assert_column(DEFINED);
        end(op);
        assert_news("+" UUID ";");

        op = begin_modify();
        assert_int_equal(read_definition(&uuid, P, NULL, op), 0); /* somebody deleted it */
        assert_column(UNKNOWN);
        end(op);
        assert_news("-" UUID ";");

        assert_int_equal(read_definition(&uuid, P, "t", 0), 0);
        op = begin_undefine();
        assert_int_equal(read_definition(&uuid, P, "t", op), 0); /* the disk said no */
        end(op);
        assert_column(DEFINED);

        op = begin_undefine();
        assert_int_equal(read_definition(&uuid, P, NULL, op), 0);
        end(op);
        assert_news("");
        assert_null(registry_find(r, &uuid));
}

/* The definitions outlive the device, and the device the definitions. */
static void test_defined_and_alive(void **state) {
        (void) state;

        assert_int_equal(read_definition(&uuid, Q, "t", 0), 0);
        assert_news("+" UUID ";");
        created();
        assert_news(UUID ": state live;");
        assert_counts(1, 1, 0, 1);
        assert_int_equal(read_definition(&uuid, Q, NULL, 0), 0);
        assert_news(UUID ": definitions;");
        assert_column(ACTIVE);
        assert_int_equal(read_definition(&uuid, Q, "t", 0), 0);
        seen(PRESENCE_ABSENT);
        assert_news(UUID ": state live definitions;");
        assert_column(DEFINED);
        assert_counts(1, 0, 0, 1);
}

/* Visibility and changes */

static void test_invisible_while_defined_first(void **state) {
        _cleanup_(freep) Device **list = NULL;
        size_t n;

        (void) state;

        assert_false(registry_is_written(r, &uuid));
        (void) begin_define(P);
        assert_true(registry_is_written(r, &uuid));
        assert_null(registry_find(r, &uuid));
        assert_int_equal(registry_list(r, &list, &n), 0);
        assert_int_equal(n, 0);
        assert_counts(0, 0, 1, 0);
        assert_news("");
        assert_null(registry_find(r, &uuid));

        /* It has survived the dropping of the changes: the UUID is still taken. */
        assert_int_equal(registry_begin_create(r, &uuid, P, "t", 1, &f), -EAGAIN);
        assert_int_equal(f.kind, FAILURE_BUSY);
        end(last_op);
        assert_news("");
        assert_int_equal(registry_begin_create(r, &uuid, P, "t", ++last_op, &f), 0);
}

static void test_changes_of_a_life(void **state) {
        (void) state;

        (void) begin_create();
        assert_news("+" UUID ";");
        assert_int_equal(see(PRESENCE_PRESENT, last_op), 0);
        assert_news(UUID ": live;");
        end(last_op);
        assert_news(UUID ": state;");
        (void) begin_remove();
        assert_news(UUID ": state;");
        end_with(last_op, PRESENCE_PRESENT);
        assert_news(UUID ": state;");
        (void) begin_remove();
        assert_news(UUID ": state;");
        end_with(last_op, PRESENCE_ABSENT);
        assert_news("-" UUID ";");
        assert_null(registry_find(r, &uuid));
}

/* A start that fails leaves nothing of what it was to become. */
static void test_changes_of_a_failed_start(void **state) {
        const Device *d;

        (void) state;

        assert_int_equal(read_definition(&uuid, Q, "t", 0), 0);
        (void) news();
        (void) begin_create();
        assert_news(UUID ": state live;");
        end_with(last_op, PRESENCE_ABSENT);
        assert_news(UUID ": state live;");
        d = device(&uuid);
        assert_null(d->parent);
        assert_null(d->type);
        assert_int_equal(d->origin, ORIGIN_EXTERNAL);
}

static void test_changes_coalesce(void **state) {
        const Change *changes;
        const Device *d;
        size_t n;

        (void) state;

        /* Came and went: no news. */
        creation_failed();
        assert_null(registry_find(r, &uuid));
        assert_news("");

        /* Came by many steps: one. */
        created();
        (void) begin_remove();
        end_with(last_op, PRESENCE_PRESENT);
        assert_int_equal(read_definition(&uuid, Q, "t", 0), 0);
        assert_news("+" UUID ";");

        /* Changed by many steps: one, with the state it had at first. */
        (void) begin_remove();
        end_with(last_op, PRESENCE_LEAVING);
        seen(PRESENCE_ORPHAN);
        changes = registry_changes(r, &n);
        d = device(&uuid);
        for (size_t i = 0; i < n; i++)
                if (changes[i].device) {
                        assert_ptr_equal(changes[i].device, d);
                        assert_true(changes[i].was_visible);
                        assert_int_equal(changes[i].old_state, DEVICE_ACTIVE);
                        assert_true(changes[i].what & CHANGED_STATE);
                        d = NULL;
                }
        assert_null(d);
        assert_news(UUID ": state live;");

        /* Went by many steps, and came back in between: gone. */
        seen(PRESENCE_ABSENT);
        assert_int_equal(read_definition(&uuid, Q, NULL, 0), 0);
        assert_column(UNKNOWN);
        present();
        assert_column(ACTIVE);
        seen(PRESENCE_ABSENT);
        assert_news("-" UUID ";");

        /* Went and came back: the same device, changed. */
        created();
        (void) news();
        seen(PRESENCE_ABSENT);
        assert_column(UNKNOWN);
        creating();
        assert_column(CREATING);
        assert_news(UUID ": state live;");
}

/* In the order of first change, and a dead one is there until the changes are dropped. */
static void test_changes_order_and_death(void **state) {
        const Change *changes;
        size_t n, at = 0;
        Device *d;

        (void) state;

        present();
        assert_int_equal(look_at(&uuid2, PRESENCE_PRESENT, Q, "t", 0), 0);
        assert_news("+" UUID ";+" UUID2 ";");

        d = device(&uuid);
        assert_int_equal(look_at(&uuid2, PRESENCE_LEAVING, Q, NULL, 0), 0);
        seen(PRESENCE_ABSENT);
        assert_int_equal(look_at(&uuid2, PRESENCE_PRESENT, Q, "t", 0), 0);

        changes = registry_changes(r, &n);
        for (size_t i = 0; i < n; i++)
                if (changes[i].device)
                        assert_true(uuid_equal(&changes[i].device->uuid, at++ == 0 ? &uuid2 : &uuid));
        assert_int_equal(at, 2);
        assert_ptr_equal(registry_find(r, &uuid), d);
        assert_false(device_is_visible(d));
        assert_true(uuid_equal(&d->uuid, &uuid));

        /* Dead is dead for those who ask for something. */
        assert_int_equal(registry_begin_remove(r, &uuid, 1, &f), -ENODEV);
        assert_int_equal(f.kind, FAILURE_NO_SUCH_DEVICE);
        assert_int_equal(f.state, -1);
        assert_int_equal(registry_begin_modify(r, &uuid, NULL, 1, &f), -ENODEV);
        assert_int_equal(f.kind, FAILURE_NO_SUCH_DEVICE);

        assert_news(UUID2 ": state live;-" UUID ";");
        assert_null(registry_find(r, &uuid));
        registry_drop_changes(r); /* of nothing */
        assert_non_null(registry_find(r, &uuid2));
}

static void test_list(void **state) {
        _cleanup_(freep) Device **list = NULL;
        size_t n;

        (void) state;

        assert_int_equal(registry_list(r, &list, &n), 0);
        assert_int_equal(n, 0);
        assert_non_null(list);

        /* Made out of order, listed in order, and every second one gone. */
        for (unsigned i = 0; i < 1000; i++) {
                Uuid u = { { (uint8_t) (i * 7), (uint8_t) (i / 4), (uint8_t) i } };

                assert_int_equal(look_at(&u, PRESENCE_PRESENT, P, "t", 0), 0);
        }
        for (unsigned i = 0; i < 1000; i += 2) {
                Uuid u = { { (uint8_t) (i * 7), (uint8_t) (i / 4), (uint8_t) i } };

                assert_int_equal(look_at(&u, PRESENCE_ABSENT, NULL, NULL, 0), 0);
        }
        for (unsigned dropped = 0; dropped < 2; dropped++) {
                free(list);
                list = NULL;
                assert_int_equal(registry_list(r, &list, &n), 0);
                assert_int_equal(n, 500);
                for (size_t i = 0; i < n; i++) {
                        assert_true(i == 0 || uuid_order(&list[i - 1]->uuid, &list[i]->uuid) < 0);
                        assert_int_equal(list[i]->uuid.bytes[2] % 2, 1);
                        assert_ptr_equal(registry_find(r, &list[i]->uuid), list[i]);
                }
                registry_drop_changes(r);
        }
        assert_counts(500, 500, 0, 0);
}

/* Parents */

static int see_parent(
                const char *name, bool is_present, const char *path, const char *driver, int numa_node) {
        return registry_observe_parent(r,
                        &(ParentSighting){
                                        .name = (char *) name,
                                        .present = is_present,
                                        .path = (char *) path,
                                        .driver = (char *) driver,
                                        .numa_node = numa_node,
                        });
}

static int see_types(const char *parent, const char *type, uint32_t available) {
        Types types = { .types = calloc(1, sizeof *types.types), .n = type ? 1 : 0 };
        int result;

        assert_non_null(types.types);
        if (type)
                types.types[0] =
                                (Type){ strdup(type), strdup(""), strdup("vfio-pci"), strdup(""), available };
        result = registry_observe_types(r, parent, &types);
        assert_null(types.types);
        assert_int_equal(types.n, 0);
        return result;
}

static void test_parent_comes_and_goes(void **state) {
        size_t n;

        (void) state;

        assert_null(registry_find_parent(r, "p"));
        assert_int_equal(see_parent("p", false, NULL, NULL, -1), 0);
        (void) registry_changes(r, &n);
        assert_int_equal(n, 0);
        assert_null(registry_find_parent(r, "p"));

        assert_int_equal(see_parent("p", true, "/sys/devices/p", "drv", 1), 0);
        assert_news("+parent p;");
        assert_true(registry_find_parent(r, "p")->present);
        assert_string_equal(registry_find_parent(r, "p")->path, "/sys/devices/p");
        assert_string_equal(registry_find_parent(r, "p")->driver, "drv");
        assert_int_equal(registry_find_parent(r, "p")->numa_node, 1);
        assert_int_equal(see_parent("p", true, "/sys/devices/p", "drv", 1), 0);
        assert_news("");

        assert_int_equal(see_parent("p", true, "/sys/devices/q", "drv", 1), 0);
        assert_news("parent p: parent;");
        assert_string_equal(registry_find_parent(r, "p")->path, "/sys/devices/q");
        assert_int_equal(see_parent("p", true, "/sys/devices/q", NULL, 1), 0);
        assert_news("parent p: parent;");
        assert_int_equal(see_parent("p", true, "/sys/devices/q", "d2", 1), 0);
        assert_news("parent p: parent;");
        assert_int_equal(see_parent("p", true, "/sys/devices/q", "d2", 0), 0);
        assert_news("parent p: parent;");

        assert_int_equal(see_parent("p", false, NULL, NULL, -1), 0);
        assert_non_null(registry_find_parent(r, "p")); /* until it was told */
        assert_false(parent_is_visible(registry_find_parent(r, "p")));
        assert_int_equal(registry_begin_create(r, &uuid, "p", "t", 1, &f), -ENXIO);
        assert_news("-parent p;");
        assert_null(registry_find_parent(r, "p"));
        assert_int_equal(see_parent("p", false, NULL, NULL, -1), 0);
        assert_news("");

        /* The next of that name is another one. */
        assert_int_equal(read_definition(&uuid, "p", "t", 0), 0);
        assert_non_null(registry_find_parent(r, "p"));
        assert_null(registry_find_parent(r, "p")->path);
        assert_int_equal(registry_find_parent(r, "p")->numa_node, -1);
}

/* Whoever is named by a definition or by a device is there to be seen, absent or not. */
static void test_parent_references(void **state) {
        Parent *p;

        (void) state;

        assert_int_equal(read_definition(&uuid, "p", "t", 0), 0);
        assert_news_both("+parent p;", "+" UUID ";");
        p = registry_find_parent(r, "p");
        assert_false(p->present);
        assert_null(p->path);
        assert_int_equal(p->n_references, 1);
        assert_int_equal(read_definition(&uuid2, "p", "t", 0), 0);
        assert_int_equal(p->n_references, 2);
        assert_int_equal(registry_begin_create(r, &uuid, "p", "t", 1, &f), -ENXIO);

        assert_int_equal(see_parent("p", true, "/sys/devices/p", NULL, -1), 0);
        assert_news_both("parent p: parent;", "+" UUID2 ";");
        assert_int_equal(look_at(&uuid, PRESENCE_PRESENT, "p", "t", 0), 0);
        assert_int_equal(look_at(&uuid, PRESENCE_PRESENT, "p", "u", 0), 0);
        assert_int_equal(p->n_references, 3);
        (void) news();

        /* It goes, they stay, and where it was is remembered. */
        assert_int_equal(see_parent("p", false, NULL, NULL, -1), 0);
        assert_news("parent p: parent;");
        assert_ptr_equal(registry_find_parent(r, "p"), p);
        assert_false(p->present);
        assert_string_equal(p->path, "/sys/devices/p");
        assert_column(ACTIVE);
        assert_int_equal(look_at(&uuid, PRESENCE_LEAVING, "p", NULL, 0), 0);
        assert_column(REMOVING);
        assert_int_equal(look_at(&uuid, PRESENCE_ABSENT, NULL, NULL, 0), 0);
        assert_int_equal(p->n_references, 2);
        assert_int_equal(read_definition(&uuid, "p", NULL, 0), 0);
        assert_int_equal(p->n_references, 1);
        assert_news("-" UUID ";");
        assert_int_equal(read_definition(&uuid2, "p", NULL, 0), 0);
        assert_news_both("-" UUID2 ";", "-parent p;");
}

/* The references of one device: its own place, that of each definition, and what it is being created on. */
static void test_parent_references_move(void **state) {
        (void) state;

        assert_int_equal(registry_find_parent(r, P)->n_references, 0);
        (void) begin_create();
        assert_int_equal(registry_find_parent(r, P)->n_references, 1);
        assert_int_equal(see(PRESENCE_PRESENT, last_op), 0);
        assert_int_equal(registry_find_parent(r, P)->n_references, 1);
        end(last_op);
        assert_int_equal(read_definition(&uuid, P, "t", 0), 0);
        assert_int_equal(registry_find_parent(r, P)->n_references, 2);
        assert_int_equal(look_at(&uuid, PRESENCE_PRESENT, Q, "t", 0), 0);
        assert_int_equal(registry_find_parent(r, P)->n_references, 1);
        assert_int_equal(registry_find_parent(r, Q)->n_references, 1);
        seen(PRESENCE_ABSENT);
        assert_int_equal(registry_find_parent(r, Q)->n_references, 0);
        (void) begin_create();
        assert_int_equal(registry_find_parent(r, P)->n_references, 2);
        end_with(last_op, PRESENCE_ABSENT);
        assert_int_equal(registry_find_parent(r, P)->n_references, 1);
}

static void test_parent_is_copied(void **state) {
        char name[] = "p", path[] = "/sys", driver[] = "d";
        Parent *p;

        (void) state;

        assert_int_equal(see_parent(name, true, path, driver, -1), 0);
        name[0] = path[0] = driver[0] = 'X';
        p = registry_find_parent(r, "p");
        assert_non_null(p);
        assert_string_equal(p->path, "/sys");
        assert_string_equal(p->driver, "d");
}

static void test_types(void **state) {
        (void) state;

        assert_int_equal(see_types(P, "t", 2), 0);
        assert_news("parent " P ": types;");
        assert_int_equal(registry_find_parent(r, P)->types.n, 1);
        assert_int_equal(see_types(P, "t", 2), 0);
        assert_news("");
        assert_int_equal(see_types(P, "t", 1), 0);
        assert_news("parent " P ": types;");
        assert_int_equal(registry_find_parent(r, P)->types.types[0].available_instances, 1);
        assert_int_equal(see_types(P, "u", 1), 0);
        assert_news("parent " P ": types;");
        assert_int_equal(see_types(P, NULL, 0), 0);
        assert_news("parent " P ": types;");
        assert_int_equal(see_types(P, NULL, 0), 0);
        assert_news("");

        /* A reading that comes too late, or of nobody. */
        assert_int_equal(see_types("p", "t", 1), 0);
        assert_null(registry_find_parent(r, "p"));
        assert_int_equal(read_definition(&uuid, "p", "t", 0), 0);
        (void) news();
        assert_int_equal(see_types("p", "t", 1), 0);
        assert_news("");
        assert_int_equal(registry_find_parent(r, "p")->types.n, 0);

        /* They go with the parent. */
        assert_int_equal(see_parent("p", true, "/sys/devices/p", NULL, -1), 0);
        assert_int_equal(see_types("p", "t", 1), 0);
        assert_news("parent p: parent types;");
        assert_int_equal(see_parent("p", false, NULL, NULL, -1), 0);
        assert_news("parent p: parent types;");
        assert_int_equal(registry_find_parent(r, "p")->types.n, 0);
}

/* Each field of a type makes a difference. */
static void test_types_equal(void **state) {
        (void) state;

        for (unsigned what = 0; what < 7; what++) {
                Type a = { (char *) "a", (char *) "b", (char *) "c", (char *) "d", 1 }, b = a;
                Types x = { &a, 1 }, y = { &b, 1 };

                assert_true(types_equal(&x, &y));
                *(what == 0                                 ? &b.name
                                                : what == 1 ? &b.label
                                                : what == 2 ? &b.device_api
                                                            : &b.description) = (char *) "x";
                if (what >= 4) {
                        b = a;
                        b.available_instances = what == 4 ? 2 : 1;
                        y.n = what == 5 ? 0 : 1;
                }
                assert_int_equal(types_equal(&x, &y), what == 6);
        }
}

/* Errors */

static void test_error(void **state) {
        Failure failure = FAILURE_INIT;
        const Failure *kept;

        (void) state;

        registry_set_error(r, &uuid, &failure); /* nobody, nothing */
        (void) failure_set(&failure, FAILURE_ATTRIBUTE, EINVAL, "subject", "detail");
        (void) failure_set_device(&failure, &uuid, "parent", "type");
        failure.index = 3;
        failure.state = DEVICE_ACTIVE;
        failure.rollback_error = EBUSY;
        failure.changed_store = true;
        registry_set_error(r, &uuid, &failure);
        assert_null(registry_find(r, &uuid));

        present();
        (void) news();
        registry_set_error(r, &uuid, NULL);
        assert_news("");
        registry_set_error(r, &uuid, &failure);
        assert_news(UUID ": error;");
        failure_done(&failure);

        kept = device(&uuid)->error;
        assert_non_null(kept);
        assert_int_equal(kept->kind, FAILURE_ATTRIBUTE);
        assert_int_equal(kept->error, EINVAL);
        assert_int_equal(kept->index, 3);
        assert_int_equal(kept->state, DEVICE_ACTIVE);
        assert_int_equal(kept->rollback_error, EBUSY);
        assert_true(kept->changed_store && !kept->changed_live);
        assert_true(kept->has_uuid && uuid_equal(&kept->uuid, &uuid));
        assert_string_equal(kept->parent, "parent");
        assert_string_equal(kept->type, "type");
        assert_string_equal(kept->subject, "subject");
        assert_string_equal(kept->detail, "detail");

        (void) failure_set(&failure, FAILURE_KERNEL, EIO, NULL, NULL);
        registry_set_error(r, &uuid, &failure);
        assert_int_equal(device(&uuid)->error->kind, FAILURE_KERNEL);
        assert_false(device(&uuid)->error->has_uuid);
        assert_news(UUID ": error;");
        failure_done(&failure);

        registry_set_error(r, &uuid, &failure); /* not set */
        assert_null(device(&uuid)->error);
        assert_news(UUID ": error;");
        registry_set_error(r, &uuid, NULL);
        assert_news("");
        assert_column(ACTIVE);
}

/* Limits and counts */

static void test_limit(void **state) {
        const Uuid a = { { 1 } }, b = { { 2 } }, c = { { 3 } }, d = { { 4 } };

        (void) state;

        (void) stop();
        (void) start(2);
        assert_int_equal(registry_begin_create(r, &a, P, "t", 1, &f), 0);
        assert_int_equal(registry_begin_define(r, &b, P, false, 2, &f), 0);
        assert_int_equal(registry_begin_create(r, &c, P, "t", 3, &f), -EUSERS);
        assert_int_equal(f.kind, FAILURE_TOO_MANY);
        assert_string_equal(f.subject, "devices");
        assert_int_equal(f.index, 2);
        assert_int_equal(registry_begin_define(r, &c, P, false, 3, &f), -EUSERS);
        assert_int_equal(f.kind, FAILURE_TOO_MANY);
        assert_null(registry_find(r, &c));
        failure_done(&f);

        /* The kernel and the disk are not bounded, nor is what is known already, nor what is taken over. */
        assert_int_equal(look_at(&c, PRESENCE_PRESENT, P, "t", 0), 0);
        assert_int_equal(read_definition(&d, P, "t", 0), 0);
        assert_counts(3, 1, 2, 1);
        assert_int_equal(registry_begin_define(r, &c, P, false, 3, &f), 0);
        assert_int_equal(registry_begin_create(r, &d, P, "t", 4, &f), 0);
        assert_int_equal(registry_adopt(r, &(Uuid){ { 5 } }, OPERATION_CREATE, P, "t", 5), 0);

        /* They are below the bound again when enough are gone. */
        assert_int_equal(registry_end(r, &a, 1), 0);
        assert_int_equal(registry_end(r, &b, 2), 0);
        assert_int_equal(registry_end(r, &c, 3), 0);
        assert_int_equal(registry_end(r, &d, 4), 0);
        assert_int_equal(registry_end(r, &(Uuid){ { 5 } }, 5), 0);
        (void) news();
        assert_int_equal(registry_begin_create(r, &a, P, "t", 6, &f), -EUSERS);
        assert_int_equal(look_at(&c, PRESENCE_ABSENT, NULL, NULL, 0), 0);
        (void) news();
        failure_done(&f);
        assert_int_equal(registry_begin_create(r, &a, P, "t", 6, &f), 0);
        assert_int_equal(registry_begin_create(r, &b, P, "t", 7, &f), -EUSERS);
}

static void test_limit_of_none(void **state) {
        (void) state;

        (void) stop();
        (void) start(0);
        assert_int_equal(registry_begin_create(r, &uuid, P, "t", 1, &f), -EUSERS);
        assert_int_equal(registry_begin_define(r, &uuid, P, false, 1, &f), -EUSERS);
        present();
        failure_done(&f);
        (void) begin_remove();
}

static void test_counts(void **state) {
        (void) state;

        assert_counts(0, 0, 0, 0);
        (void) begin_create();
        assert_counts(1, 0, 1, 0);
        assert_int_equal(see(PRESENCE_PRESENT, last_op), 0);
        assert_counts(1, 0, 1, 0);
        end(last_op);
        assert_counts(1, 1, 0, 0);
        assert_int_equal(read_definition(&uuid, P, "t", 0), 0);
        assert_int_equal(read_definition(&uuid, Q, "t", 0), 0);
        assert_counts(1, 1, 0, 2);
        assert_int_equal(read_definition(&uuid, Q, "u", 0), 0);
        assert_counts(1, 1, 0, 2);
        (void) begin_modify();
        assert_counts(1, 1, 1, 2);
        end(last_op);
        (void) begin_remove();
        assert_counts(1, 0, 1, 2);
        end_with(last_op, PRESENCE_LEAVING);
        assert_counts(1, 0, 0, 2);
        seen(PRESENCE_ORPHAN);
        assert_counts(1, 0, 0, 2);
        seen(PRESENCE_ABSENT);
        assert_counts(1, 0, 0, 2);
        assert_int_equal(read_definition(&uuid, P, NULL, 0), 0);
        assert_counts(1, 0, 0, 1);
        assert_int_equal(read_definition(&uuid, Q, NULL, 0), 0);
        assert_counts(0, 0, 0, 0);
        registry_drop_changes(r);
        assert_counts(0, 0, 0, 0);
}

/* Many changes before any is dropped, with operations that end among them. */
static void test_many_changes(void **state) {
        size_t n;

        (void) state;

        for (unsigned round = 0; round < 3; round++) {
                for (unsigned i = 0; i < 90; i++) {
                        Uuid u = { { (uint8_t) i, 1 } };
                        char parent[16];

                        (void) snprintf(parent, sizeof parent, "parent-%u", i);
                        assert_int_equal(see_parent(parent, true, "/sys", NULL, -1), 0);
                        assert_int_equal(registry_begin_create(r, &u, parent, "t", i + 1, &f), 0);
                }
                if (round == 1)
                        registry_drop_changes(r);
                for (unsigned i = 0; i < 90; i++) {
                        Uuid u = { { (uint8_t) i, 1 } };

                        assert_int_equal(registry_end(r, &u, i + 1), 0);
                }
                (void) registry_changes(r, &n);
                assert_int_equal(n, 180);
                registry_drop_changes(r);
                assert_counts(0, 0, 0, 0);
        }
}

static void test_strings(void **state) {
        (void) state;

        assert_string_equal(device_state_to_string(DEVICE_DEFINED), "defined");
        assert_string_equal(device_state_to_string(DEVICE_CREATING), "creating");
        assert_string_equal(device_state_to_string(DEVICE_ACTIVE), "active");
        assert_string_equal(device_state_to_string(DEVICE_REMOVING), "removing");
        assert_string_equal(device_state_to_string(DEVICE_ORPHANED), "orphaned");
        assert_int_equal(_DEVICE_STATE_MAX, 5);
        assert_string_equal(origin_to_string(ORIGIN_EXTERNAL), "external");
        assert_string_equal(origin_to_string(ORIGIN_MDEVD), "mdevd");
        assert_int_equal(_ORIGIN_MAX, 2);
}

/* Freed with everything in it: operations, definitions, errors, types, changes. */
static void test_free_full(void **state) {
        Failure failure = FAILURE_INIT;

        (void) state;

        assert_null(registry_free(NULL));
        assert_int_equal(see_types(P, "t", 2), 0);
        assert_int_equal(read_definition(&uuid, P, "t", 0), 0);
        assert_int_equal(read_definition(&uuid, Q, "t", 0), 0);
        (void) begin_create();
        (void) failure_set(&failure, FAILURE_KERNEL, EIO, "create", "detail");
        registry_set_error(r, &uuid, &failure);
        failure_done(&failure);
        assert_int_equal(registry_begin_define(r, &uuid2, "p", false, 1, &f), 0);
        assert_counts(1, 0, 2, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_type_is_remembered),
                TEST(test_sighting_fields),
                TEST(test_sighting_is_copied),
                TEST(test_sighting_without_parent),
                TEST(test_origin),
                TEST(test_hints),
                TEST(test_definitions_meanwhile),
                TEST(test_create_and_define),
                TEST(test_waiting),
                TEST(test_parent_lives),
                TEST(test_stale),
                TEST(test_operation_tells_both),
                TEST(test_one_of_many),
                TEST(test_parallel),
                TEST(test_adopt),
                TEST(test_definitions_sorted),
                TEST(test_definition_news),
                TEST(test_definition_operations),
                TEST(test_defined_and_alive),
                TEST(test_invisible_while_defined_first),
                TEST(test_changes_of_a_life),
                TEST(test_changes_of_a_failed_start),
                TEST(test_changes_coalesce),
                TEST(test_changes_order_and_death),
                TEST(test_list),
                TEST(test_parent_comes_and_goes),
                TEST(test_parent_references),
                TEST(test_parent_references_move),
                TEST(test_parent_is_copied),
                TEST(test_types),
                TEST(test_types_equal),
                TEST(test_error),
                TEST(test_limit),
                TEST(test_limit_of_none),
                TEST(test_counts),
                TEST(test_many_changes),
                TEST(test_strings),
                TEST(test_free_full),
        };

        return cmocka_run_group_tests_name("registry-rules", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit.h"

#include "model/modification.h"
#include "model/name.h"

/* Attributes as "name=value " each, which reads well in a table. */
static void describe(const Attributes *attributes, char ret[static 256]) {
        ret[0] = '\0';
        FOREACH_ATTRIBUTE(name, value, attributes)
                sprintf(strchr(ret, '\0'), "%s=%s ", name, value);
}

static Definition make(void) {
        Definition d = { .parent = strdup("p"), .type = strdup("t") };

        assert_int_equal(attributes_append(&d.attributes, "a", "1"), 0);
        assert_int_equal(attributes_append(&d.attributes, "b", "2"), 0);
        return d;
}

typedef struct Row {
        bool set, remove;
        uint32_t remove_index;
        const char *add;
        uint32_t add_index;
        const char *expected; /* NULL: -ERANGE */
} Row;

static const Row rows[] = {
        { .expected = "a=1 b=2 " },
        { .set = true, .expected = "s=5 " },
        { .remove = true, .remove_index = 0, .expected = "b=2 " },
        { .remove = true, .remove_index = 1, .expected = "a=1 " },
        { .remove = true, .remove_index = ATTRIBUTES_END, .expected = "a=1 " },
        { .remove = true, .remove_index = 2, .expected = NULL },
        { .add = "n", .add_index = 0, .expected = "n=9 a=1 b=2 " },
        { .add = "n", .add_index = 1, .expected = "a=1 n=9 b=2 " },
        { .add = "n", .add_index = 2, .expected = "a=1 b=2 n=9 " },
        { .add = "n", .add_index = ATTRIBUTES_END, .expected = "a=1 b=2 n=9 " },
        { .add = "n", .add_index = 3, .expected = NULL },
        { .remove = true, .remove_index = 0, .add = "a", .add_index = 0, .expected = "a=9 b=2 " },
        { .set = true, .remove = true, .remove_index = 0, .add = "n", .add_index = 0, .expected = "n=9 " },
        { .set = true, .remove = true, .remove_index = 1, .expected = NULL },
};

static void test_attributes(void **state) {
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(definition_done) Definition d = make(), before = make();
                _cleanup_(modification_done) Modification m = {
                        .set_attributes = rows[i].set,
                        .remove_attribute = rows[i].remove,
                        .remove_index = rows[i].remove_index,
                        .add_name = rows[i].add ? strdup(rows[i].add) : NULL,
                        .add_value = rows[i].add ? strdup("9") : NULL,
                        .add_index = rows[i].add_index,
                };
                _cleanup_(failure_done) Failure f = FAILURE_INIT;
                char text[256];

                assert_int_equal(attributes_append(&m.attributes, "s", "5"), 0);
                if (rows[i].expected) {
                        assert_int_equal(modification_apply(&m, &d, &f), 0);
                        describe(&d.attributes, text);
                        assert_string_equal(text, rows[i].expected);
                } else {
                        assert_int_equal(modification_apply(&m, &d, &f), -ERANGE);
                        assert_int_equal(f.kind, FAILURE_BAD_INDEX);
                        assert_true(definition_equal(&d, &before));
                }
        }
}

static void test_type_and_autostart(void **state) {
        _cleanup_(definition_done) Definition d = make();
        _cleanup_(modification_done)
                        Modification m = { .type = strdup("other"), .autostart = AUTOSTART_AUTO };
        Failure f = FAILURE_INIT;

        (void) state;

        assert_int_equal(modification_apply(&m, &d, &f), 0);
        assert_string_equal(d.type, "other");
        assert_true(d.autostart);
        assert_int_equal(d.attributes.n, 2);

        modification_done(&m);
        assert_int_equal(modification_apply(&m, &d, &f), 0);
        assert_string_equal(d.type, "other");
        assert_true(d.autostart);

        m.autostart = AUTOSTART_MANUAL;
        assert_int_equal(modification_apply(&m, &d, &f), 0);
        assert_false(d.autostart);
}

static void test_too_many(void **state) {
        _cleanup_(definition_done) Definition d = { .parent = strdup("p"), .type = strdup("t") };
        _cleanup_(modification_done) Modification m = {
                .type = strdup("other"),
                .add_name = strdup("n"),
                .add_value = strdup("v"),
                .add_index = ATTRIBUTES_END,
        };
        _cleanup_(failure_done) Failure f = FAILURE_INIT;

        (void) state;

        for (unsigned i = 0; i < ATTRIBUTES_MAX; i++)
                assert_int_equal(attributes_append(&d.attributes, "a", "b"), 0);
        assert_int_equal(modification_apply(&m, &d, &f), -EUSERS);
        assert_int_equal(f.kind, FAILURE_TOO_MANY);
        assert_string_equal(d.type, "t");
        assert_int_equal(d.attributes.n, ATTRIBUTES_MAX);
}

static void test_empty(void **state) {
        _cleanup_(modification_done) Modification type = { .type = strdup("t") },
                                                  add = { .add_name = strdup("n") };
        const Modification empty = {}, attributes = { .set_attributes = true },
                           remove = { .remove_attribute = true },
                           autostart = { .autostart = AUTOSTART_MANUAL };

        (void) state;

        assert_true(modification_is_empty(&empty));
        assert_false(modification_is_empty(&type));
        assert_false(modification_is_empty(&add));
        assert_false(modification_is_empty(&attributes));
        assert_false(modification_is_empty(&remove));
        assert_false(modification_is_empty(&autostart));
}

static void test_copy(void **state) {
        _cleanup_(modification_done) Modification m = {
                .type = strdup("t"),
                .autostart = AUTOSTART_AUTO,
                .set_attributes = true,
                .remove_attribute = true,
                .remove_index = 7,
                .add_name = strdup("n"),
                .add_value = strdup("v"),
                .add_index = 8,
        };
        _cleanup_(modification_done) Modification copy = {};

        (void) state;

        assert_int_equal(attributes_append(&m.attributes, "s", "5"), 0);
        assert_int_equal(modification_copy(&m, &copy), 0);
        modification_done(&m);
        assert_string_equal(copy.type, "t");
        assert_int_equal(copy.autostart, AUTOSTART_AUTO);
        assert_true(copy.set_attributes && copy.remove_attribute);
        assert_int_equal(copy.attributes.n, 1);
        assert_int_equal(copy.remove_index, 7);
        assert_string_equal(copy.add_name, "n");
        assert_string_equal(copy.add_value, "v");
        assert_int_equal(copy.add_index, 8);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_attributes),
                cmocka_unit_test(test_type_and_autostart),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_copy),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

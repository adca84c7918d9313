/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit.h"

#include "model/definition.h"

static Definition make(void) {
        Definition d = {
                .uuid = { { 0x12, 0x34 } },
                .autostart = true,
                .parent = strdup("0000:3b:00.0"),
                .type = strdup("nvidia-35"),
        };

        assert_non_null(d.parent);
        assert_non_null(d.type);
        assert_int_equal(attributes_append(&d.attributes, "a", "1"), 0);
        assert_int_equal(attributes_append(&d.attributes, "a", "2"), 0);
        return d;
}

static void test_copy_is_deep(void **state) {
        _cleanup_(definition_done) Definition d = make(), reference = make(), copy = {};

        (void) state;

        assert_int_equal(definition_copy(&d, &copy), 0);
        assert_true(definition_equal(&d, &copy));
        assert_true(copy.autostart);
        assert_ptr_not_equal(copy.parent, d.parent);
        assert_ptr_not_equal(copy.type, d.type);
        assert_ptr_not_equal(copy.attributes.data, d.attributes.data);

        definition_done(&d);
        assert_true(definition_equal(&copy, &reference));
}

static void test_copy_overwrites(void **state) {
        _cleanup_(definition_done) Definition d = make(), copy;

        (void) state;

        memset(&copy, 0xaa, sizeof copy);
        assert_int_equal(definition_copy(&d, &copy), 0);
        assert_true(definition_equal(&d, &copy));
}

static void test_copy_of_no_attributes(void **state) {
        _cleanup_(definition_done) Definition d = make(), copy = {};

        (void) state;

        attributes_done(&d.attributes);
        assert_int_equal(definition_copy(&d, &copy), 0);
        assert_int_equal(copy.attributes.n, 0);
        assert_true(definition_equal(&d, &copy));
}

/* Each field by itself makes a difference, both ways round. */
static void test_equal(void **state) {
        (void) state;

        for (int what = 0; what < 6; what++) {
                _cleanup_(definition_done) Definition a = make(), b = make();

                assert_true(definition_equal(&a, &b));
                switch (what) {
                case 0:
                        b.uuid.bytes[15] = 1;
                        break;
                case 1:
                        b.autostart = false;
                        break;
                case 2:
                        assert_int_equal(free_and_strdup(&b.parent, "0000:3b:00.1"), 0);
                        break;
                case 3:
                        assert_int_equal(free_and_strdup(&b.type, "nvidia-3"), 0);
                        break;
                case 4:
                        assert_int_equal(attributes_remove(&b.attributes, 1), 0);
                        break;
                default:
                        assert_int_equal(attributes_remove(&b.attributes, 0), 0);
                        assert_int_equal(attributes_append(&b.attributes, "a", "1"), 0);
                        break;
                }

                if (definition_equal(&a, &b) || definition_equal(&b, &a))
                        fail_msg("field %d makes no difference", what);
        }
}

static void test_done_and_free(void **state) {
        Definition d = make(), *heap = malloc(sizeof *heap);

        (void) state;

        definition_done(&d);
        assert_null(d.parent);
        assert_null(d.type);
        assert_null(d.attributes.data);
        assert_false(d.autostart);
        definition_done(&d);

        assert_non_null(heap);
        *heap = make();
        assert_null(definition_free(heap));
        assert_null(definition_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_copy_is_deep),
                cmocka_unit_test(test_copy_overwrites),
                cmocka_unit_test(test_copy_of_no_attributes),
                cmocka_unit_test(test_equal),
                cmocka_unit_test(test_done_and_free),
        };

        return cmocka_run_group_tests_name("definition", tests, NULL, NULL);
}

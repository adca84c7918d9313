/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit.h"

#include "model/attributes.h"
#include "model/name.h"

static Attributes attributes; /* emptied after each test */

static int setup(void **state) {
        (void) state;

        attributes = (Attributes){};
        return 0;
}

static int teardown(void **state) {
        (void) state;

        attributes_done(&attributes);
        return 0;
}

/* "a=1,b=2" and nothing else, also by count and size. */
static void assert_list(const char *expected) {
        char text[4096] = "", *p = text;
        uint32_t n = 0, size = 0;

        FOREACH_ATTRIBUTE(name, value, &attributes) {
                p += sprintf(p, "%s%s=%s", n > 0 ? "," : "", name, value);
                size += (uint32_t) (strlen(name) + strlen(value) + 2);
                n++;
        }

        assert_string_equal(text, expected);
        assert_int_equal(attributes.n, n);
        assert_int_equal(attributes.size, size);
}

static void append(const char *name, const char *value) {
        assert_int_equal(attributes_append(&attributes, name, value), 0);
}

static void test_empty(void **state) {
        Attributes none = {};

        (void) state;

        assert_list("");
        FOREACH_ATTRIBUTE(name, value, &none)
                fail_msg("%s=%s in an empty list", name, value);
        assert_int_equal(attributes_remove(&none, 0), -ERANGE);
        assert_int_equal(attributes_remove(&none, ATTRIBUTES_END), -ERANGE);
        attributes_done(&none);
        attributes_done(&none);
        assert_null(none.data);
}

static void test_order_and_duplicates(void **state) {
        (void) state;

        append("assign_adapter", "5");
        append("assign_domain", "0xab");
        append("assign_adapter", "6");
        append("assign_adapter", "5");
        append("assign_domain", "");
        assert_list("assign_adapter=5,assign_domain=0xab,assign_adapter=6,assign_adapter=5,assign_domain=");
}

static void test_insert(void **state) {
        (void) state;

        assert_int_equal(attributes_insert(&attributes, 0, "b", "2"), 0);
        assert_list("b=2");
        assert_int_equal(attributes_insert(&attributes, 0, "a", "1"), 0);
        assert_list("a=1,b=2");
        assert_int_equal(attributes_insert(&attributes, 2, "dd", "44"), 0);
        assert_list("a=1,b=2,dd=44");
        assert_int_equal(attributes_insert(&attributes, 2, "ccc", ""), 0);
        assert_list("a=1,b=2,ccc=,dd=44");
        assert_int_equal(attributes_insert(&attributes, ATTRIBUTES_END, "e", "5"), 0);
        assert_list("a=1,b=2,ccc=,dd=44,e=5");

        assert_int_equal(attributes_insert(&attributes, 6, "x", "y"), -ERANGE);
        assert_int_equal(attributes_insert(&attributes, ATTRIBUTES_END - 1, "x", "y"), -ERANGE);
        assert_int_equal(attributes_insert(&attributes, 0x80000000U, "x", "y"), -ERANGE);
        assert_list("a=1,b=2,ccc=,dd=44,e=5");
}

static void test_remove(void **state) {
        (void) state;

        append("a", "1");
        append("bb", "");
        append("c", "333");
        append("d", "4");
        append("e", "5");

        assert_int_equal(attributes_remove(&attributes, 5), -ERANGE);
        assert_int_equal(attributes_remove(&attributes, ATTRIBUTES_END - 1), -ERANGE);
        assert_list("a=1,bb=,c=333,d=4,e=5");

        assert_int_equal(attributes_remove(&attributes, 1), 0);
        assert_list("a=1,c=333,d=4,e=5");
        assert_int_equal(attributes_remove(&attributes, 3), 0);
        assert_list("a=1,c=333,d=4");
        assert_int_equal(attributes_remove(&attributes, 0), 0);
        assert_list("c=333,d=4");
        assert_int_equal(attributes_remove(&attributes, ATTRIBUTES_END), 0);
        assert_list("c=333");
        assert_int_equal(attributes_remove(&attributes, 1), -ERANGE);
        assert_list("c=333");
}

/* An emptied list still owns memory, with what was in it. */
static void test_emptied(void **state) {
        Attributes copy, none = {};

        (void) state;

        append("a", "1");
        assert_int_equal(attributes_remove(&attributes, 0), 0);
        assert_list("");
        assert_int_equal(attributes_remove(&attributes, ATTRIBUTES_END), -ERANGE);
        assert_true(attributes_equal(&attributes, &none));
        assert_true(attributes_equal(&none, &attributes));

        assert_int_equal(attributes_copy(&attributes, &copy), 0);
        assert_int_equal(copy.n, 0);
        assert_true(attributes_equal(&attributes, &copy));
        attributes_done(&copy);

        append("b", "2");
        assert_list("b=2");
}

static void test_foreach_leaves_early(void **state) {
        const char *last = NULL;
        unsigned n = 0, m = 0;

        (void) state;

        append("a", "1");
        append("b", "2");
        append("c", "3");

        FOREACH_ATTRIBUTE(name, value, &attributes) {
                if (streq(value, "1"))
                        continue;
                last = name;
                n++;
                break;
        }
        assert_string_equal(last, "b");
        assert_int_equal(n, 1);

        FOREACH_ATTRIBUTE(name, value, &attributes)
                FOREACH_ATTRIBUTE(inner, inner_value, &attributes)
                        m += streq(name, inner) && streq(value, inner_value);
        assert_int_equal(m, 3);
}

/* The names are judged before the index, the index before the bounds. */
static void test_refused(void **state) {
        static const char *const names[] = { "", "remove", "driver/unbind", "../x", "/x", "a\nb", "\xff" };

        (void) state;

        append("a", "1");
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                assert_int_equal(attributes_append(&attributes, names[i], "1"), -EINVAL);
                assert_int_equal(attributes_insert(&attributes, 7, names[i], "1"), -EINVAL);
        }
        assert_int_equal(attributes_append(&attributes, "b", "\xff"), -EINVAL);
        assert_list("a=1");

        append("b", "line\nline\n");
        assert_list("a=1,b=line\nline\n");
}

static void test_bound_of_number(void **state) {
        (void) state;

        assert_int_equal(ATTRIBUTES_MAX, 1024);
        for (unsigned i = 0; i < ATTRIBUTES_MAX; i++)
                append("a", "1");
        assert_int_equal(attributes.n, 1024);
        assert_int_equal(attributes_append(&attributes, "a", "1"), -EUSERS);
        assert_int_equal(attributes_insert(&attributes, 0, "a", "1"), -EUSERS);
        assert_int_equal(attributes_insert(&attributes, 1025, "a", "1"), -ERANGE);
        assert_int_equal(attributes.n, 1024);
        assert_int_equal(attributes.size, 4096);

        assert_int_equal(attributes_remove(&attributes, 1023), 0);
        append("b", "2");
        assert_int_equal(attributes_append(&attributes, "b", "2"), -EUSERS);
}

static void test_bound_of_size(void **state) {
        static char value[4096];

        (void) state;

        /* 16 pairs of 4096 bytes, NULs included, are just what fits. */
        memset(value, 'v', 4092);
        for (unsigned i = 0; i < 15; i++)
                append("aa", value);
        assert_int_equal(attributes.size, 15 * 4096);

        value[4092] = 'v';
        assert_int_equal(attributes_append(&attributes, "aa", value), -EUSERS);
        assert_int_equal(attributes.size, 15 * 4096);
        value[4092] = '\0';
        append("aa", value);
        assert_int_equal(attributes.size, ATTRIBUTES_SIZE_MAX);
        assert_int_equal(attributes_append(&attributes, "a", ""), -EUSERS);
        assert_int_equal(attributes_insert(&attributes, 3, "a", ""), -EUSERS);
        assert_int_equal(attributes.n, 16);
}

static void test_copy_and_equal(void **state) {
        Attributes copy = {}, other = {};

        (void) state;

        append("a", "1");
        append("b", "2");
        assert_int_equal(attributes_copy(&attributes, &copy), 0);
        assert_true(attributes_equal(&attributes, &copy));
        assert_ptr_not_equal(attributes.data, copy.data);

        copy.data[0] = 'z';
        assert_list("a=1,b=2");
        assert_false(attributes_equal(&attributes, &copy));
        attributes_done(&copy);

        /* The same pairs in another order, and other pairs of the same bytes but for a boundary. */
        assert_int_equal(attributes_append(&other, "b", "2"), 0);
        assert_false(attributes_equal(&attributes, &other));
        assert_int_equal(attributes_append(&other, "a", "1"), 0);
        assert_false(attributes_equal(&attributes, &other));
        assert_int_equal(attributes_remove(&other, 0), 0);
        assert_int_equal(attributes_append(&other, "b", "2"), 0);
        assert_true(attributes_equal(&attributes, &other));
        attributes_done(&other);

        assert_int_equal(attributes_append(&other, "a", "1b"), 0);
        assert_int_equal(attributes_append(&other, "2", ""), 0);
        assert_int_equal(other.size, 8);
        assert_false(attributes_equal(&attributes, &other));
        attributes_done(&other);
}

/* Each place of insertion and removal in lists of each length, against an array. */
static void test_every_place(void **state) {
        (void) state;

        for (uint32_t n = 0; n < 12; n++)
                for (uint32_t at = 0; at <= n; at++) {
                        char expected[256] = "", *p = expected;

                        for (uint32_t i = 0; i < n; i++) {
                                char text[] = { (char) ('a' + i), (char) ('a' + i % 3), '\0' };

                                append(text, text + 1);
                                p += sprintf(p, "%s%s=%s", i > 0 ? "," : "", text, text + 1);
                        }
                        assert_int_equal(attributes_insert(&attributes, at, "new", "x"), 0);
                        for (uint32_t i = 0; i <= n; i++) {
                                const char *name = attributes.data;

                                for (uint32_t k = 0; k < 2 * i; k++)
                                        name += strlen(name) + 1;
                                assert_int_equal(streq(name, "new"), i == at);
                        }
                        assert_int_equal(attributes_remove(&attributes, at), 0);
                        assert_list(expected);
                        attributes_done(&attributes);
                }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_empty),
                TEST(test_order_and_duplicates),
                TEST(test_insert),
                TEST(test_remove),
                TEST(test_emptied),
                TEST(test_foreach_leaves_early),
                TEST(test_refused),
                TEST(test_bound_of_number),
                TEST(test_bound_of_size),
                TEST(test_copy_and_equal),
                TEST(test_every_place),
        };

        return cmocka_run_group_tests_name("attributes", tests, NULL, NULL);
}

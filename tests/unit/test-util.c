/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit.h"

#include <fcntl.h>

static unsigned n_freed;

static void *counted_free(void *p) {
        n_freed++;
        free(p);
        return NULL;
}
DEFINE_CLEANUP(void *, counted_free);

static void test_take(void **state) {
        (void) state;

        for (unsigned take = 0; take < 2; take++) {
                void *kept = NULL;

                n_freed = 0;
                {
                        _cleanup_(counted_freep) void *p = malloc(1), *none = NULL;

                        assert_non_null(p);
                        if (take)
                                kept = TAKE_PTR(p);
                        assert_int_equal(p == NULL, take);
                        (void) none;
                }
                assert_int_equal(n_freed, 1 - take);
                free(kept);
        }
}

static void test_take_fd(void **state) {
        int kept, fd;

        (void) state;

        {
                _cleanup_(closep) int a = open("/dev/null", O_RDONLY | O_CLOEXEC);
                _cleanup_(closep) int b = open("/dev/null", O_RDONLY | O_CLOEXEC);
                _cleanup_(closep) int none = -EBADF;

                assert_true(a >= 0 && b >= 0);
                fd = a;
                kept = TAKE_FD(b);
                assert_int_equal(b, -EBADF);
                (void) none;
        }
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        assert_true(fcntl(kept, F_GETFD) >= 0);

        errno = ENOENT;
        assert_int_equal(safe_close(kept), -EBADF);
        assert_int_equal(safe_close(-EBADF), -EBADF);
        assert_int_equal(safe_close(1 << 20), -EBADF);
        assert_int_equal(errno, ENOENT);
        assert_int_equal(fcntl(kept, F_GETFD), -1);
}

static void test_strings(void **state) {
        (void) state;

        assert_true(streq("a", "a"));
        assert_false(streq("a", "ab"));
        assert_true(streq_ptr(NULL, NULL));
        assert_false(streq_ptr(NULL, ""));
        assert_false(streq_ptr("", NULL));
        assert_true(streq_ptr("a", "a"));
        assert_false(streq_ptr("a", "b"));
        assert_true(isempty(NULL));
        assert_true(isempty(""));
        assert_false(isempty("a"));
        assert_string_equal(strempty(NULL), "");
        assert_string_equal(strempty("a"), "a");
        assert_string_equal(startswith("prefix-rest", "prefix-"), "rest");
        assert_string_equal(startswith("prefix", "prefix"), "");
        assert_string_equal(startswith("x", ""), "x");
        assert_null(startswith("pre", "prefix"));
        assert_null(startswith("xprefix", "prefix"));
}

static void test_free_and_strdup(void **state) {
        char text[] = "text", *place = NULL;

        (void) state;

        assert_int_equal(free_and_strdup(&place, text), 0);
        assert_ptr_not_equal(place, text);
        assert_string_equal(place, "text");
        assert_int_equal(free_and_strdup(&place, place), 0); /* of itself */
        assert_string_equal(place, "text");
        assert_int_equal(free_and_strdup(&place, NULL), 0);
        assert_null(place);
        assert_int_equal(free_and_strdup(&place, NULL), 0);
}

/* That everything is freed, the sanitizer says. */
static void test_strv(void **state) {
        _cleanup_(strv_freep) char **v = calloc(3, sizeof *v), **none = NULL;

        (void) state;

        assert_non_null(v);
        v[0] = strdup("a");
        v[1] = strdup("b");
        assert_non_null(v[0]);
        assert_non_null(v[1]);
        assert_null(strv_free(TAKE_PTR(v)));
        assert_null(strv_free(none));
        v = calloc(1, sizeof *v);
        assert_non_null(v);
}

static void test_grow(void **state) {
        uint32_t *v = NULL;
        size_t n_allocated = 0, n_moves = 0;

        (void) state;

        assert_int_equal(grow((void **) &v, &n_allocated, 0, sizeof *v), 0);
        assert_null(v);
        for (uint32_t n = 0; n < 10000; n++) {
                size_t before = n_allocated;

                assert_int_equal(grow((void **) &v, &n_allocated, n + 1, sizeof *v), 0);
                assert_true(n_allocated > n);
                n_moves += n_allocated != before;
                v[n] = n;
        }
        for (uint32_t n = 0; n < 10000; n++)
                assert_int_equal(v[n], n);
        assert_true(n_moves < 20);
        assert_true(n_allocated < 20000);
        free(v);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_take),
                cmocka_unit_test(test_take_fd),
                cmocka_unit_test(test_strings),
                cmocka_unit_test(test_free_and_strdup),
                cmocka_unit_test(test_strv),
                cmocka_unit_test(test_grow),
        };

        return cmocka_run_group_tests_name("util", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree.h"

#include "host/memo.h"

#define PARENT "0000:3a:00.0"
#define MEMO MEMO_DIRECTORY "/" PARENT

static int memo_fd = -EBADF;

static int setup(void **state) {
        assert_int_equal(tree_setup(state), 0);
        memo_fd = memo_open_directory(tree_fd);
        assert_true(memo_fd >= 0);
        return 0;
}

static int teardown(void **state) {
        memo_fd = safe_close(memo_fd);
        return tree_teardown(state);
}

static void assert_memo(uint64_t life, const Uuid *uuids, size_t n) {
        _cleanup_(freep) Uuid *read = NULL;
        uint64_t read_life;
        size_t n_read;

        assert_int_equal(memo_read(memo_fd, PARENT, &read_life, &read, &n_read), 0);
        assert_int_equal(read_life, life);
        assert_int_equal(n_read, n);
        for (size_t i = 0; i < n; i++)
                assert_true(uuid_equal(&read[i], &uuids[i]));
}

static void assert_unreadable(int error) {
        _cleanup_(freep) Uuid *uuids = NULL;
        uint64_t life = 4711;
        size_t n = 4711;

        assert_int_equal(memo_read(memo_fd, PARENT, &life, &uuids, &n), error);
        assert_null(uuids);
        assert_int_equal(life, 4711);
        assert_int_equal(n, 4711);
}

static void test_what_is_written_is_read(void **state) {
        const Uuid uuids[] = { uuid_of(UUID_B), uuid_of(UUID_A) };

        (void) state;

        assert_unreadable(-ENOENT);
        assert_int_equal(memo_write(memo_fd, PARENT, UINT64_MAX, uuids, 2), 0);
        assert_file(MEMO, "18446744073709551615\n" UUID_B "\n" UUID_A "\n");
        assert_memo(UINT64_MAX, uuids, 2);

        /* The last one counts, and nothing else is left there. */
        assert_int_equal(memo_write(memo_fd, PARENT, 7, NULL, 0), 0);
        assert_memo(7, NULL, 0);
        assert_int_equal(tree_count(MEMO_DIRECTORY), 1);

        memo_remove(memo_fd, PARENT);
        memo_remove(memo_fd, PARENT);
        assert_unreadable(-ENOENT);
}

static void test_many(void **state) {
        enum {
                N = 10000
        };
        _cleanup_(freep) Uuid *uuids = calloc(N, sizeof *uuids);

        (void) state;

        assert_non_null(uuids);
        for (unsigned i = 0; i < N; i++)
                memcpy(&uuids[i], &(unsigned[]){ i, i, i, i }, sizeof *uuids);
        assert_int_equal(memo_write(memo_fd, PARENT, 1, uuids, N), 0);
        assert_memo(1, uuids, N);
}

static void test_what_nobody_wrote(void **state) {
        static const char *const texts[] = {
                "",
                "\n",
                "7",
                "x\n",
                "7 \n",
                "99999999999999999999999\n",
                "7\n" UUID_A,
                "7\n" UUID_A "\n\n",
                "7\n" UUID_A " ",
                "7\n" UUID_A "\n" UUID_B,
                "7\n0011223344556677-8899-aabb-ccddeeffxx\n",
                "7\n" UUID_A "\n------------------------------------\n",
        };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                tree_put(MEMO, texts[i]);
                assert_unreadable(-EBADMSG);
        }

        tree_put_bytes(MEMO, "7\n\0" UUID_A, sizeof "7\n\0" UUID_A - 1);
        assert_unreadable(-EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_what_is_written_is_read, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_nobody_wrote, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

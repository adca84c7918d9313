/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree.h"

#include "host/record.h"

#define FILE_A RECORD_DIRECTORY "/" UUID_A

static int record_fd = -EBADF;
static Uuid a;

static int setup(void **state) {
        assert_int_equal(tree_setup(state), 0);
        a = uuid_of(UUID_A);
        record_fd = record_open_directory(tree_fd);
        assert_true(record_fd >= 0);
        return 0;
}

static int teardown(void **state) {
        record_fd = safe_close(record_fd);
        return tree_teardown(state);
}

static void assert_record(bool whole, uint64_t life) {
        Record record = {};

        assert_int_equal(record_read(record_fd, &a, &record), 0);
        assert_int_equal(record.whole, whole);
        assert_int_equal(record.life, life);
}

static void assert_unreadable(int error) {
        Record record = { .life = 4711 };

        assert_int_equal(record_read(record_fd, &a, &record), error);
        assert_int_equal(record.life, 4711);
}

static void test_the_life_of_a_device(void **state) {
        (void) state;

        assert_unreadable(-ENOENT);
        assert_int_equal(record_write(record_fd, &a, &(Record){}), 0);
        assert_file(FILE_A, "");
        assert_record(false, 0);
        assert_int_equal(record_write(record_fd, &a, &(Record){ .whole = true, .life = UINT64_MAX }), 0);
        assert_record(true, UINT64_MAX);
        assert_int_equal(tree_count(RECORD_DIRECTORY), 1);

        /* The next device of that UUID. */
        assert_int_equal(record_write(record_fd, &a, &(Record){}), 0);
        assert_record(false, 0);
        assert_int_equal(record_write(record_fd, &a, &(Record){ .whole = true, .life = 7 }), 0);
        assert_file(FILE_A, "whole 7\n");

        record_remove(record_fd, &a);
        record_remove(record_fd, &a);
        assert_unreadable(-ENOENT);
}

static void test_what_nobody_wrote(void **state) {
        static const char *const texts[] = {
                "\n",
                "whole",
                "whole \n",
                "whole x\n",
                "whole 7",
                "whole 7\n\n",
                "half 7\n",
        };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                tree_put(FILE_A, texts[i]);
                assert_unreadable(-EBADMSG);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_the_life_of_a_device, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_nobody_wrote, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

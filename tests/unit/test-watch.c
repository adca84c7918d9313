/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree.h"

#include "host/watch.h"

#define TOP "etc/mdevctl.d"
#define PARENT "0000:3a:00.0"
#define FOLDER TOP "/" PARENT

static Watch *watch;

static int setup(void **state) {
        assert_int_equal(tree_setup(state), 0);
        assert_int_equal(watch_new(tree_fd, &watch), 0);
        return 0;
}

static int teardown(void **state) {
        watch = watch_free(watch);
        return tree_teardown(state);
}

static void begin(void) {
        tree_mkdir(FOLDER);
        assert_int_equal(watch_update(watch), 0);
}

static WatchEvent take(void) {
        WatchEvent event;

        assert_int_equal(watch_receive(watch, &event), 1);
        return event;
}

static void assert_nothing(void) {
        WatchEvent event;

        assert_int_equal(watch_receive(watch, &event), 0);
}

static void assert_told_of_file(const char *name, bool renamed_in, bool deleted) {
        WatchEvent event = take();

        assert_int_equal(event.kind, WATCH_FILE);
        assert_string_equal(event.parent, PARENT);
        assert_string_equal(event.name, name);
        assert_int_equal(event.renamed_in, renamed_in);
        assert_int_equal(event.deleted, deleted);
}

static void assert_told_of_directory(const char *parent) {
        WatchEvent event = take();

        assert_int_equal(event.kind, WATCH_DIRECTORY);
        assert_string_equal(event.parent, parent);
}

static void assert_told_of_everything(void) {
        WatchEvent event = take();

        assert_int_equal(event.kind, WATCH_EVERYTHING);
}

static void move(const char *from, const char *to) {
        assert_int_equal(renameat(tree_fd, from, tree_fd, to), 0);
}

static void test_a_file_counts_when_it_is_closed(void **state) {
        int fd;

        (void) state;
        begin();
        assert_nothing();

        fd = openat(tree_fd, FOLDER "/" UUID_A, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "{", 1), 1);
        assert_nothing();
        assert_int_equal(write(fd, "}", 1), 1);
        (void) close(fd);
        assert_told_of_file(UUID_A, false, false);
        assert_nothing();
}

static void test_how_a_file_comes_and_goes(void **state) {
        (void) state;
        begin();

        tree_put("elsewhere", "{}");
        move("elsewhere", FOLDER "/" UUID_A);
        assert_told_of_file(UUID_A, true, false);
        assert_int_equal(unlinkat(tree_fd, FOLDER "/" UUID_A, 0), 0);
        assert_told_of_file(UUID_A, false, true);

        tree_put("elsewhere", "{}");
        move("elsewhere", FOLDER "/" UUID_A);
        assert_told_of_file(UUID_A, true, false);
        move(FOLDER "/" UUID_A, "elsewhere");
        assert_told_of_file(UUID_A, false, false);
        assert_nothing();
}

/* What nobody will close after writing it. */
static void test_what_is_whole_at_once(void **state) {
        (void) state;
        begin();

        tree_link("nowhere", FOLDER "/" UUID_A);
        assert_told_of_file(UUID_A, false, false);
        tree_mkdir(FOLDER "/" UUID_B);
        assert_told_of_file(UUID_B, false, false);
        tree_fifo(FOLDER "/fifo");
        assert_told_of_file("fifo", false, false);
        assert_nothing();
}

static void test_folders(void **state) {
        (void) state;
        begin();

        tree_mkdir(TOP "/mtty");
        assert_told_of_directory("mtty");
        /* It is watched from then on. */
        tree_put(TOP "/mtty/" UUID_A, "{}");
        assert_string_equal(take().parent, "mtty");

        move(TOP "/mtty", TOP "/other");
        assert_told_of_directory("mtty");
        assert_told_of_directory("other");
        tree_put(TOP "/other/" UUID_B, "{}");
        assert_string_equal(take().parent, "other");

        tree_remove(TOP "/other");
        for (WatchEvent event = take(); event.kind != WATCH_DIRECTORY; event = take())
                assert_true(event.deleted);
        assert_nothing();

        /* Not a parent's, and a file that should be in one. */
        tree_mkdir(TOP "/scripts.d");
        tree_put(TOP "/notes", "");
        tree_put(TOP "/" UUID_A, "{}");
        assert_told_of_everything();
        assert_nothing();
}

static void test_the_tree_comes_later(void **state) {
        (void) state;

        assert_int_equal(watch_update(watch), 0);
        tree_mkdir("etc");
        assert_int_equal(watch_update(watch), 0);
        assert_nothing();

        tree_mkdir(FOLDER);
        assert_told_of_everything();
        assert_nothing();
        assert_int_equal(watch_update(watch), 0);
        tree_put(FOLDER "/" UUID_A, "{}");
        assert_told_of_file(UUID_A, false, false);
}

static void test_another_tree_in_its_place(void **state) {
        (void) state;
        begin();

        tree_put("new/" PARENT "/" UUID_A, "{}");
        move(TOP, "old");
        assert_told_of_everything();
        move("new", TOP);
        assert_told_of_everything();
        assert_int_equal(watch_update(watch), 0);
        assert_int_equal(unlinkat(tree_fd, FOLDER "/" UUID_A, 0), 0);
        assert_told_of_file(UUID_A, false, true);
}

static void test_a_folder_that_is_a_link_is_none(void **state) {
        (void) state;

        tree_mkdir("elsewhere");
        tree_link("../../elsewhere", FOLDER);
        assert_int_equal(watch_update(watch), 0);
        tree_put("elsewhere/" UUID_A, "{}");
        assert_nothing();
}

static void test_more_than_one_reading(void **state) {
        enum {
                N = 3000
        };

        (void) state;
        begin();

        for (unsigned i = 0; i < N; i++)
                tree_put(PATH(FOLDER "/%u", i), "");
        for (unsigned i = 0; i < N; i++)
                assert_told_of_file(PATH("%u", i), false, false);
        assert_nothing();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_a_file_counts_when_it_is_closed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_how_a_file_comes_and_goes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_is_whole_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_folders, setup, teardown),
                cmocka_unit_test_setup_teardown(test_the_tree_comes_later, setup, teardown),
                cmocka_unit_test_setup_teardown(test_another_tree_in_its_place, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_folder_that_is_a_link_is_none, setup, teardown),
                cmocka_unit_test_setup_teardown(test_more_than_one_reading, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

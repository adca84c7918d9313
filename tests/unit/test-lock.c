/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tree.h"

#include <sys/file.h>
#include <sys/wait.h>

#include "host/lock.h"
#include "model/name.h"

#define BUSY "run/mdevd/busy"

static int busy_fd = -EBADF;
static Uuid a, b;

static int setup(void **state) {
        assert_int_equal(tree_setup(state), 0);
        a = uuid_of(UUID_A);
        b = uuid_of(UUID_B);
        busy_fd = lock_open_directory(tree_fd);
        assert_true(busy_fd >= 0);
        return 0;
}

static int teardown(void **state) {
        busy_fd = safe_close(busy_fd);
        return tree_teardown(state);
}

static int acquire(const Uuid *uuid, OperationKind kind, const char *parent, const char *type) {
        return lock_acquire(busy_fd, uuid,
                        &(LockNote){ .kind = kind, .parent = (char *) parent, .type = (char *) type });
}

static void assert_held(const Uuid *uuid, OperationKind kind, const char *parent, const char *type) {
        LockNote note = { .kind = _OPERATION_KIND_MAX };
        int fd = -EBADF;

        assert_int_equal(lock_inspect(busy_fd, uuid, &fd, &note), 1);
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(note.kind, kind);
        assert_streq_ptr(note.parent, parent);
        assert_streq_ptr(note.type, type);
        lock_note_done(&note);
        assert_null(note.parent);
        (void) close(fd);
}

static void assert_free(const Uuid *uuid) {
        LockNote note = { .kind = _OPERATION_KIND_MAX };
        int fd = 4711;

        assert_int_equal(lock_inspect(busy_fd, uuid, &fd, &note), 0);
        assert_int_equal(fd, 4711);
        assert_int_equal(note.kind, _OPERATION_KIND_MAX);
}

static void test_directory(void **state) {
        int fd;

        (void) state;

        assert_int_equal(tree_mode("run"), S_IFDIR | 0755);
        assert_int_equal(tree_mode(BUSY), S_IFDIR | 0755);
        fd = lock_open_directory(tree_fd); /* and again */
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        (void) close(fd);

        tree_remove("run");
        tree_put("run/mdevd", "a file");
        assert_int_equal(lock_open_directory(tree_fd), -ENOTDIR);
        tree_remove("run");
        tree_mkdir("elsewhere");
        tree_link("../../elsewhere", BUSY);
        assert_int_equal(lock_open_directory(tree_fd), -ENOTDIR);
        assert_int_equal(lock_open_directory(-EBADF), -EBADF);
}

static void test_conflict(void **state) {
        int fd = acquire(&a, OPERATION_CREATE, "p", "t"), other;

        (void) state;

        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(acquire(&a, OPERATION_REMOVE, "q", NULL), -EWOULDBLOCK);
        assert_held(&a, OPERATION_CREATE, "p", "t"); /* the loser left no note */
        other = acquire(&b, OPERATION_REMOVE, "q", NULL);
        assert_true(other >= 0);
        assert_held(&b, OPERATION_REMOVE, "q", NULL);

        lock_release(busy_fd, &a);
        (void) close(fd);
        assert_false(tree_has(BUSY "/" UUID_A));
        fd = acquire(&a, OPERATION_DEFINE, "r", "t");
        assert_true(fd >= 0);
        assert_held(&a, OPERATION_DEFINE, "r", "t");
        (void) close(fd);
        (void) close(other);
}

static void test_notes(void **state) {
        char longest[NAME_LENGTH_MAX + 1];

        (void) state;

        memset(longest, 'x', NAME_LENGTH_MAX);
        longest[NAME_LENGTH_MAX] = '\0';
        for (int kind = 0; kind < _OPERATION_KIND_MAX; kind++) {
                int fd = acquire(&a, (OperationKind) kind, longest, longest);

                assert_true(fd >= 0);
                assert_held(&a, (OperationKind) kind, longest, longest);
                (void) close(fd);
        }

        /* A shorter note over a longer one that nobody took away. */
        {
                int fd = acquire(&a, OPERATION_UNDEFINE, NULL, "t");

                assert_true(fd >= 0);
                assert_held(&a, OPERATION_UNDEFINE, NULL, "t");
                assert_file(BUSY "/" UUID_A, "undefine\n\nt\n");
                assert_int_equal(tree_mode(BUSY "/" UUID_A), S_IFREG | 0600);
                (void) close(fd);
        }
}

/* What cannot be read is nothing, and no name that could not be one. */
static void test_odd_notes(void **state) {
        static const struct {
                const char *text;
                OperationKind kind;
                const char *parent, *type;
        } notes[] = {
                { "", OPERATION_NONE, NULL, NULL },
                { "\n\n\n", OPERATION_NONE, NULL, NULL },
                { "create", OPERATION_CREATE, NULL, NULL },
                { "create\np", OPERATION_CREATE, "p", NULL },
                { "modify\np\nt", OPERATION_MODIFY, "p", "t" },
                { "modify\np\nt\nmore\n", OPERATION_MODIFY, "p", "t" },
                { "Create\np\nt\n", OPERATION_NONE, "p", "t" },
                { "destroy\np\nt\n", OPERATION_NONE, "p", "t" },
                { "create\n../p\nt\n", OPERATION_CREATE, NULL, "t" },
                { "create\nscripts.d\na/b\n", OPERATION_CREATE, NULL, NULL },
                { "create\n\xff\n\xff\n", OPERATION_CREATE, NULL, NULL },
        };
        char large[5000];

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(notes); i++) {
                int fd;

                tree_put(BUSY "/" UUID_A, notes[i].text);
                fd = openat(busy_fd, UUID_A, O_RDWR | O_CLOEXEC);
                assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
                assert_held(&a, notes[i].kind, notes[i].parent, notes[i].type);
                (void) close(fd);
        }

        memset(large, 'x', sizeof large);
        tree_put_bytes(BUSY "/" UUID_A, large, sizeof large);
        {
                int fd = openat(busy_fd, UUID_A, O_RDWR | O_CLOEXEC);

                assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
                assert_held(&a, OPERATION_NONE, NULL, NULL);
                (void) close(fd);
        }
}

/* Left over by a machine or a worker that died: gone after the first look. */
static void test_stale(void **state) {
        int fd;

        (void) state;

        assert_free(&a); /* nothing there */
        tree_put(BUSY "/" UUID_A, "create\np\nt\n");
        assert_free(&a);
        assert_false(tree_has(BUSY "/" UUID_A));

        tree_put(BUSY "/" UUID_A, "create\np\nt\n");
        fd = acquire(&a, OPERATION_REMOVE, "q", NULL);
        assert_true(fd >= 0);
        assert_held(&a, OPERATION_REMOVE, "q", NULL);
        (void) close(fd);
        assert_free(&a);
}

static void test_odd_files(void **state) {
        LockNote note;
        int fd = -EBADF;

        (void) state;

        tree_put("outside", "untouched");
        tree_link("../../../outside", BUSY "/" UUID_A);
        assert_int_equal(acquire(&a, OPERATION_CREATE, "p", "t"), -ELOOP);
        assert_int_equal(lock_inspect(busy_fd, &a, &fd, &note), -ELOOP);
        assert_file("outside", "untouched");
        tree_mkdir(BUSY "/" UUID_B);
        assert_int_equal(acquire(&b, OPERATION_CREATE, "p", "t"), -EISDIR);
        tree_remove(BUSY "/" UUID_B);
        tree_fifo(BUSY "/" UUID_B);
        assert_free(&b); /* and is not waited for */
}

static void assert_list(const char *const *expected) {
        Uuid *uuids = NULL;
        size_t n = 4711;
        unsigned n_found = 0;

        assert_int_equal(lock_list(busy_fd, &uuids, &n), 0);
        for (size_t i = 0; expected[i]; i++)
                for (size_t k = 0; k < n; k++)
                        n_found += streq(UUID_TEXT(&uuids[k]), expected[i]);
        assert_int_equal(n_found, n);
        for (n_found = 0; expected[n_found];)
                n_found++;
        assert_int_equal(n_found, n);
        free(uuids);
}

static void test_list(void **state) {
        Uuid *uuids = NULL;
        size_t n = 4711;
        int fd;

        (void) state;

        assert_list((const char *const[]){ NULL });
        fd = acquire(&a, OPERATION_CREATE, "p", "t");
        tree_put(BUSY "/" UUID_C, "left over");
        tree_put(BUSY "/README", "");
        tree_put(BUSY "/10112233-4455-6677-8899-AABBCCDDEEFF", "");
        assert_list((const char *const[]){ UUID_A, UUID_C, NULL });
        assert_list((const char *const[]){
                        UUID_A, UUID_C, NULL }); /* the place in the directory is not kept */
        lock_release(busy_fd, &a);
        (void) close(fd);
        assert_list((const char *const[]){ UUID_C, NULL });
        assert_int_equal(lock_list(-EBADF, &uuids, &n), -EBADF);
        assert_int_equal(n, 4711);
}

/* The descriptor is what holds it: passed on to a process that goes on alone, it is held till that ends; and
 * who waits for it is woken then. */
static void test_inherited(void **state) {
        int fd = acquire(&a, OPERATION_CREATE, "p", "t"), gate[2], inspected = -EBADF, status;
        LockNote note;
        pid_t pid;

        (void) state;

        assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                char c;

                (void) close(gate[1]);
                _exit(read(gate[0], &c, 1) == 0 ? 0 : 1); /* until the other end is closed */
        }
        (void) close(fd);
        (void) close(gate[0]);

        assert_held(&a, OPERATION_CREATE, "p", "t");
        assert_int_equal(acquire(&a, OPERATION_CREATE, "p", "t"), -EWOULDBLOCK);
        assert_int_equal(lock_inspect(busy_fd, &a, &inspected, &note), 1);
        lock_note_done(&note);
        assert_int_equal(flock(inspected, LOCK_EX | LOCK_NB), -1);

        (void) close(gate[1]);
        assert_int_equal(flock(inspected, LOCK_EX), 0); /* waits */
        (void) close(inspected);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_free(&a);
        assert_false(tree_has(BUSY "/" UUID_A));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_directory),
                TEST(test_conflict),
                TEST(test_notes),
                TEST(test_odd_notes),
                TEST(test_stale),
                TEST(test_odd_files),
                TEST(test_list),
                TEST(test_inherited),
        };

        return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}

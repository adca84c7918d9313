/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is on the way to a file changes while the driver's files are written to: now it is what it should be,
 * now a link that leads out of sysfs, to a file of the same name, or it is not there. Each write gets to the
 * one file that was meant or is the error of what was in the way, and it is both in the end. Files are but
 * files here, and nobody reads them but the test. */

#include "tree.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "host/driver.h"
#include "host/sysfs.h"

#define P1 "0000:3b:00.0"
#define P2 "0000:3b:00.4"
#define TYPE "nvidia-35"
#define PARENT DEVICES P1
#define TYPES PARENT "/mdev_supported_types"
#define CREATE TYPES "/" TYPE "/create"
#define DEVICE PARENT "/" UUID_A
#define REMOVE DEVICE "/remove"
#define ATTRIBUTE DEVICE "/group/deeper/a"

#define OUTSIDE "outside/" /* before the name of each file: its namesake out there */
#define ELSEWHERE "-moved" /* behind a name: what it is exchanged with, or where it is while it is gone */
#define ROUNDS 500U
#define UNTOUCHED "...................................."
#define MOVER_TURNS 5000
#define ROUNDS_TO_YIELD 16U /* on one processor nothing would change until time is up */

/* The one who changes it. */

static pid_t mover = -1;
static volatile unsigned *n_moves; /* shared with it */

/* For another while each time, lest the two go in step. */
static void dawdle(unsigned *seed) {
        for (volatile int i = rand_r(seed) % MOVER_TURNS; i > 0; i--)
                ;
}

static _Noreturn void move(const char *path, unsigned flags) {
        const char *other = PATH("%s" ELSEWHERE, path);
        unsigned seed = 1;

        for (;; ++*n_moves) {
                dawdle(&seed);
                if (renameat2(tree_fd, path, tree_fd, other, flags) < 0)
                        _exit(1);
                dawdle(&seed);
                if (renameat2(tree_fd, other, tree_fd, path, flags) < 0)
                        _exit(1);
        }
}

static void begin_moving(const char *path, unsigned flags) {
        pid_t parent = getpid();

        *n_moves = 0;
        mover = fork();
        assert_true(mover >= 0);
        if (mover == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() == parent)
                        move(path, flags);
                _exit(1);
        }
}

static void end_moving(void) {
        int status;

        if (mover < 0)
                return;
        assert_int_equal(kill(mover, SIGKILL), 0);
        assert_int_equal(waitpid(mover, &status, 0), mover);
        mover = -1;
        assert_true(WIFSIGNALED(status)); /* it has not given up */
}

static int setup(void **state) {
        n_moves = mmap(NULL, sizeof *n_moves, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(n_moves, MAP_FAILED);
        return tree_setup(state);
}

static int teardown(void **state) {
        end_moving();
        (void) munmap((void *) n_moves, sizeof *n_moves);
        return tree_teardown(state);
}

/* What is done meanwhile. */

static int create(Failure *f) {
        Uuid u = uuid_of(UUID_A);

        return driver_create(sys_fd, P1, TYPE, &u, f);
}

static int write_attribute(Failure *f) {
        _cleanup_(attributes_done) Attributes a = {};
        Uuid u = uuid_of(UUID_A);

        assert_int_equal(attributes_append(&a, "group/deeper/a", "value"), 0);
        return driver_write_attributes(sys_fd, P1, &u, &a, f);
}

static int remove_device(Failure *f) {
        Uuid u = uuid_of(UUID_A);

        return driver_remove(sys_fd, P1, &u, f);
}

static const struct Verb {
        int (*run)(Failure *f);
        const char *file, *text; /* that it writes, and what */
} verb_create = { create, CREATE, UUID_A }, verb_attribute = { write_attribute, ATTRIBUTE, "value" },
  verb_remove = { remove_device, REMOVE, "1" };

/* The way to each file, here and out there. */
static void make_host(void) {
        static const char *const files[] = { CREATE, REMOVE, ATTRIBUTE };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                tree_put(files[i], "");
                tree_put(PATH(OUTSIDE "%s", files[i]), "");
        }
        tree_link("../../devices/pci0000:3a/" P1, CLASS P1);
        tree_link("../../devices/pci0000:3a/" P1, OUTSIDE CLASS P1);
        tree_link("../../../devices/pci0000:3a/" P1 "/" UUID_A, BUS UUID_A);
        tree_link("../../../devices/pci0000:3a/" P1 "/" UUID_A, OUTSIDE BUS UUID_A);
}

static void assert_holds(int fd, const char *expected, size_t size) {
        char text[64];

        assert_int_equal(pread(fd, text, sizeof text, 0), size);
        assert_memory_equal(text, expected, size);
}

typedef struct Outcome {
        FailureKind kind;
        int error; /* 0 in the second one: there is only one */
} Outcome;

static bool run_once(const struct Verb *v, int file_fd, int outside_fd, const Outcome refusals[static 2]) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        size_t size = strlen(v->text);
        bool is_done;
        int r;

        /* To empty it takes far longer than what is tried. */
        assert_int_equal(pwrite(file_fd, UNTOUCHED, size, 0), size);
        r = v->run(&f);
        is_done = r == 0;

        assert_holds(outside_fd, "", 0);
        assert_holds(file_fd, is_done ? v->text : UNTOUCHED, size);
        if (is_done)
                assert_int_equal(f.kind, FAILURE_NONE);
        else if (refusals[1].error != 0 && f.kind == refusals[1].kind)
                assert_int_equal(r, -refusals[1].error);
        else {
                assert_int_equal(f.kind, refusals[0].kind);
                assert_int_equal(r, -refusals[0].error);
        }
        return is_done;
}

static void run_while_it_moves(
                const struct Verb *v, const char *path, unsigned flags, const Outcome refusals[static 2]) {
        int file_fd = openat(tree_fd, v->file, O_RDWR | O_CLOEXEC);
        int outside_fd = openat(tree_fd, PATH(OUTSIDE "%s", v->file), O_RDONLY | O_CLOEXEC);
        double end = seconds_now() + WAIT_SECONDS;
        unsigned n[2] = {};

        assert_true(file_fd >= 0 && outside_fd >= 0);
        begin_moving(path, flags);
        for (unsigned i = 0; i < ROUNDS || n[false] == 0 || n[true] == 0; i++) {
                if (seconds_now() > end)
                        fail_msg("%s: %u refused, %u done, %u moves", path, n[false], n[true], *n_moves);
                n[run_once(v, file_fd, outside_fd, refusals)]++;
                if (i % ROUNDS_TO_YIELD == 0)
                        (void) sched_yield();
        }
        end_moving();
        (void) close(file_fd);
        (void) close(outside_fd);
}

/* It is exchanged with a link that leads to @target. */
static void assert_link_is_not_followed(
                const struct Verb *v, const char *path, const char *target, Outcome refusal) {
        const char *other = PATH("%s" ELSEWHERE, path);
        struct stat before, after;

        assert_int_equal(fstatat(tree_fd, path, &before, AT_SYMLINK_NOFOLLOW), 0);
        tree_link(target, other);
        run_while_it_moves(v, path, RENAME_EXCHANGE, (const Outcome[2]){ refusal });
        assert_int_equal(fstatat(tree_fd, path, &after, AT_SYMLINK_NOFOLLOW), 0);
        if (after.st_ino != before.st_ino)
                assert_int_equal(renameat2(tree_fd, other, tree_fd, path, RENAME_EXCHANGE), 0);
        tree_remove(other);
}

/* It is gone now and then. */
static void assert_absence_is_told(const struct Verb *v, const char *path, const Outcome refusals[static 2]) {
        const char *other = PATH("%s" ELSEWHERE, path);

        run_while_it_moves(v, path, 0, refusals);
        if (!tree_has(path))
                assert_int_equal(renameat2(tree_fd, other, tree_fd, path, 0), 0);
}

/* A component of the way to a file. */
typedef struct Component {
        const char *path;
        Outcome link, absence[2];
} Component;

static void assert_way(const struct Verb *v, const Component *components, size_t n) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;

        make_host();
        for (const Component *c = components; c < components + n; c++) {
                assert_link_is_not_followed(
                                v, c->path, PATH("%s/" OUTSIDE "%s", tree_root, c->path), c->link);
                assert_absence_is_told(v, c->path, c->absence);
        }
        assert_int_equal(v->run(&f), 0); /* all is as it was */
}

static void test_create(void **state) {
        /* A second look tells what is not there, unless it is by then. */
        static const Outcome not_a_directory = { FAILURE_KERNEL, ENOTDIR },
                             no_parent = { FAILURE_PARENT_ABSENT, ENXIO },
                             no_type = { FAILURE_NO_SUCH_TYPE, ENOENT },
                             there_again = { FAILURE_KERNEL, ENOENT };
        const Component components[] = {
                { CLASS P1, { FAILURE_KERNEL, EINVAL }, { no_parent, there_again } },
                { "sys/devices", not_a_directory, { no_type, there_again } },
                { "sys/devices/pci0000:3a", not_a_directory, { no_type, there_again } },
                { PARENT, not_a_directory, { no_type, there_again } },
                { TYPES, not_a_directory, { no_type, there_again } },
                { TYPES "/" TYPE, not_a_directory, { no_type, there_again } },
                { CREATE, { FAILURE_KERNEL, ELOOP }, { there_again } },
        };

        (void) state;

        assert_way(&verb_create, components, ELEMENTSOF(components));
}

static void test_attribute(void **state) {
        static const Outcome not_a_directory = { FAILURE_KERNEL, ENOTDIR },
                             no_device = { FAILURE_KERNEL, ENODEV },
                             no_attribute = { FAILURE_ATTRIBUTE, ENOENT };
        const Component components[] = {
                { BUS UUID_A, { FAILURE_KERNEL, EINVAL }, { no_device } },
                { "sys/devices", not_a_directory, { no_device } },
                { "sys/devices/pci0000:3a", not_a_directory, { no_device } },
                { PARENT, not_a_directory, { no_device } },
                { DEVICE, not_a_directory, { no_device } },
                { DEVICE "/group", { FAILURE_ATTRIBUTE, ENOTDIR }, { no_attribute } },
                { DEVICE "/group/deeper", { FAILURE_ATTRIBUTE, ENOTDIR }, { no_attribute } },
                { ATTRIBUTE, { FAILURE_ATTRIBUTE, ELOOP }, { no_attribute } },
        };

        (void) state;

        assert_way(&verb_attribute, components, ELEMENTSOF(components));
}

static void test_remove(void **state) {
        static const Outcome not_a_directory = { FAILURE_KERNEL, ENOTDIR },
                             no_device = { FAILURE_NONE, ENODEV };
        const Component components[] = {
                { BUS UUID_A, { FAILURE_KERNEL, EINVAL }, { no_device } },
                { "sys/devices", not_a_directory, { no_device } },
                { "sys/devices/pci0000:3a", not_a_directory, { no_device } },
                { PARENT, not_a_directory, { no_device } },
                { DEVICE, not_a_directory, { no_device } },
                { REMOVE, { FAILURE_KERNEL, ELOOP }, { { FAILURE_KERNEL, ENOENT } } },
        };

        (void) state;

        assert_way(&verb_remove, components, ELEMENTSOF(components));
}

/* The UUID is now this parent's, now another's. */
static void test_other_parent(void **state) {
        static const char other[] = "../../../devices/pci0000:3a/" P2 "/" UUID_A;

        (void) state;

        make_host();
        tree_put(DEVICES P2 "/" UUID_A "/remove", "");
        tree_put(DEVICES P2 "/" UUID_A "/group/deeper/a", "");
        assert_link_is_not_followed(&verb_attribute, BUS UUID_A, other, (Outcome){ FAILURE_KERNEL, ESTALE });
        assert_link_is_not_followed(
                        &verb_remove, BUS UUID_A, other, (Outcome){ FAILURE_CHANGED_MEANWHILE, EAGAIN });
        assert_file(DEVICES P2 "/" UUID_A "/remove", "");
        assert_file(DEVICES P2 "/" UUID_A "/group/deeper/a", "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_create),
                TEST(test_attribute),
                TEST(test_remove),
                TEST(test_other_parent),
        };

        return cmocka_run_group_tests_name("driver-races", tests, NULL, NULL);
}

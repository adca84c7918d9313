/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The system calls on whose failure something depends can be made to fail, one at a time: whatever fails, a
 * change is wholly there or not at all. */

#include "looks.h"
#include "tree.h"

#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>

#include "host/store.h"
#include "model/name.h"

#define TOP "etc/mdevctl.d/"
#define P1 "0000:3b:00.0"
#define P2 "0000:3b:00.1"
#define P3 "matrix"

static Store *store;

/* Hooks */

static struct {
        bool armed;
        int error;          /* errno of the call that fails */
        unsigned countdown; /* calls that succeed before it */
        bool goes_on;       /* all after it fail too */
        bool failed;
        char log[256]; /* what was called, in order */
} hooks;

static void note(const char *what) {
        size_t n = strlen(hooks.log);

        (void) snprintf(hooks.log + n, sizeof hooks.log - n, "%s ", what);
}

static bool fails(void) {
        if (!hooks.armed || (hooks.failed && !hooks.goes_on))
                return false;
        if (hooks.countdown > 0) {
                hooks.countdown--;
                return false;
        }

        hooks.failed = true;
        errno = hooks.error;
        return true;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __real_mkdirat(int fd, const char *name, mode_t mode);
int __wrap_mkdirat(int fd, const char *name, mode_t mode);
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);

int __wrap_fsync(int fd) {
        note("sync");
        return fails() ? -1 : __real_fsync(fd);
}

int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
        note("link");
        return fails() ? -1 : __real_linkat(from_fd, from, to_fd, to, flags);
}

int __wrap_mkdirat(int fd, const char *name, mode_t mode) {
        note("mkdir");
        return fails() ? -1 : __real_mkdirat(fd, name, mode);
}

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
        note("rename");
        return fails() ? -1 : __real_renameat2(from_fd, from, to_fd, to, flags);
}

int __wrap_unlinkat(int fd, const char *name, int flags) {
        note("unlink");
        return fails() ? -1 : __real_unlinkat(fd, name, flags);
}

ssize_t __wrap_write(int fd, const void *data, size_t size) {
        note("write");
        return fails() ? -1 : __real_write(fd, data, size);
}

static void arm(unsigned countdown, int error) {
        memset(&hooks, 0, sizeof hooks);
        hooks.countdown = countdown;
        hooks.error = error;
        hooks.armed = true;
}

static void arm_for_good(unsigned countdown, int error) {
        arm(countdown, error);
        hooks.goes_on = true;
}

/* Fixture */

/* As a worker has it: a descriptor that can do nothing but show the way. */
static void open_store(void) {
        int fd = openat(tree_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(store_open(fd, &store), 0);
        (void) close(fd);
}

static int setup(void **state) {
        memset(&hooks, 0, sizeof hooks);
        assert_int_equal(tree_setup(state), 0);
        open_store();
        return 0;
}

static int teardown(void **state) {
        memset(&hooks, 0, sizeof hooks);
        store = store_free(store);
        return tree_teardown(state);
}

/* One that has seen nothing yet, as each worker has. */
static void reopen(void) {
        store = store_free(store);
        open_store();
}

static int write_text(
                const char *parent, const char *uuid, const char *text, bool replace, FailureKind kind) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Uuid u = uuid_of(uuid);
        int r = store_write(store, parent, &u, text, strlen(text), replace, &f);

        assert_int_equal(f.kind, kind);
        if (r < 0) {
                assert_string_equal(f.subject, PATH("/" TOP "%s/%s", parent, uuid));
                assert_int_equal(r, -failure_errno(&f));
        }
        return r;
}

static int remove_from(const char *const *parents, const char *uuid, FailureKind kind, const char *subject) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Uuid u = uuid_of(uuid);
        int r = store_remove(store, (char *const *) parents, &u, &f);

        assert_int_equal(f.kind, kind);
        assert_streq_ptr(f.subject, subject);
        if (r < 0)
                assert_int_equal(r, -failure_errno(&f));
        return r;
}

#define PARENTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void assert_reads(const char *parent, const char *uuid, const char *expected) {
        _cleanup_(freep) char *text = NULL;
        Uuid u = uuid_of(uuid);
        size_t size = 4711;

        assert_int_equal(store_read(store, parent, &u, &text, &size), 0);
        assert_string_equal(text, expected);
        assert_int_equal(size, strlen(expected));
}

static void assert_reads_not(const char *parent, const char *uuid, int error) {
        char untouched[] = "", *text = untouched;
        Uuid u = uuid_of(uuid);
        size_t size = 4711;

        assert_int_equal(store_read(store, parent, &u, &text, &size), -error);
        assert_ptr_equal(text, untouched);
        assert_int_equal(size, 4711);
}

/* Opening */

static void test_nothing_there(void **state) {
        (void) state;

        assert_reads_not(P1, UUID_A, ENOENT);
        assert_int_equal(write_text(P1, UUID_A, "x", true, FAILURE_NO_SUCH_DEFINITION), -ENODEV);
        assert_int_equal(remove_from(PARENTS(P1), UUID_A, FAILURE_NO_SUCH_DEFINITION, "/" TOP P1 "/" UUID_A),
                        -ENODEV);
        assert_false(tree_has("etc")); /* only writing makes it */
}

static void test_open_fails(void **state) {
        Store *s = NULL;

        (void) state;

        assert_int_equal(store_open(-EBADF, &s), -EBADF);
        tree_put("etc/mdevctl.d", "a file");
        assert_int_equal(store_open(tree_fd, &s), -ENOTDIR);
        assert_null(s);
        assert_null(store_free(NULL));
}

/* The directory may be a link, as an image builder may have it; what is in it may not. */
static void test_open_linked(void **state) {
        (void) state;

        tree_put("elsewhere/" P1 "/" UUID_A, "text");
        tree_link("../elsewhere", "etc/mdevctl.d");
        reopen();
        assert_reads(P1, UUID_A, "text");
}

static void test_path(void **state) {
        _cleanup_(freep) char *path = store_path(P1, UUID_A);

        (void) state;

        assert_string_equal(path, "/etc/mdevctl.d/0000:3b:00.0/" UUID_A);
}

/* Reading */

static void test_read_names(void **state) {
        static const char *const names[] = { UUID_A, "00112233-4455-6677-8899-AABBCCDDEEFF",
                "00112233445566778899aabbccddeeff", "{00112233-4455-6677-8899-aabbccddeeff}",
                "urn:uuid:00112233-4455-6677-8899-aabbccddeeff" };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                tree_put(PATH(TOP P1 "/%s", names[i]), names[i]);
                tree_put(TOP P1 "/" UUID_B, "another");
                tree_put(TOP P1 "/README", "no definition");
                assert_reads(P1, UUID_A, names[i]);
                tree_remove(TOP P1);
        }

        /* The canonical one goes first. */
        tree_put(PATH(TOP P1 "/%s", names[1]), names[1]);
        tree_put(TOP P1 "/" UUID_A, "canonical");
        assert_reads(P1, UUID_A, "canonical");
}

static void test_read_two_parents(void **state) {
        (void) state;

        tree_put(TOP P1 "/" UUID_A, "one");
        tree_put(TOP P2 "/" UUID_A, "two");
        assert_reads(P1, UUID_A, "one");
        assert_reads(P2, UUID_A, "two");
        assert_reads_not(P3, UUID_A, ENOENT);
        assert_reads_not(P1, UUID_B, ENOENT);
}

static void test_read_refuses(void **state) {
        (void) state;

        tree_put("outside/" UUID_A, "outside");
        tree_put(TOP "scripts.d/" UUID_A, "a script");
        tree_put(TOP UUID_A, "without a parent");
        tree_link("../../outside", TOP "link");
        tree_put(TOP "file", "");
        tree_link("../../../outside/" UUID_A, TOP P1 "/" UUID_A);
        tree_fifo(TOP P1 "/" UUID_B);
        tree_mkdir(TOP P1 "/" UUID_C);

        assert_reads_not(P1, UUID_A, ELOOP);
        assert_reads_not(P1, UUID_B, ENOTSUP);
        assert_reads_not(P1, UUID_C, ENOTSUP);
        assert_reads_not("link", UUID_A, ENOENT);
        assert_reads_not("file", UUID_A, ENOENT);
        assert_reads_not("scripts.d", UUID_A, ENOENT);
        assert_reads_not("..", UUID_A, ENOENT);
        assert_reads_not(".", UUID_A, ENOENT);
        assert_reads_not("", UUID_A, ENOENT);
        assert_reads_not("../outside", UUID_A, ENOENT);
        assert_reads_not("../../outside", UUID_A, ENOENT);
}

/* Whatever cannot be looked at: nothing is read, and the reason is that one; or it was not needed. */
static void test_read_fails(void **state) {
        unsigned n = 0, n_failed = 0;

        (void) state;

        tree_put(TOP P1 "/00112233445566778899aabbccddeeff", "text");
        for (bool failed = true; failed; n++) {
                char untouched[] = "", *text = untouched;
                Uuid u = uuid_of(UUID_A);
                size_t size = 4711;
                int r;

                look_fails(n);
                r = store_read(store, P1, &u, &text, &size);
                failed = look_failed();
                if (r < 0) {
                        assert_int_equal(r, -EIO);
                        assert_ptr_equal(text, untouched);
                        n_failed++;
                } else {
                        assert_string_equal(text, "text");
                        free(text);
                }
                reopen();
        }
        assert_true(n_failed >= 6);
}

static void test_read_too_large(void **state) {
        _cleanup_(freep) char *text = malloc(512 * 1024 + 2);

        (void) state;

        memset(text, ' ', 512 * 1024 + 1);
        text[512 * 1024 + 1] = '\0';
        tree_put(TOP P1 "/" UUID_A, text);
        assert_reads_not(P1, UUID_A, EFBIG);
        tree_put(TOP P1 "/" UUID_A, text + 1);
        assert_reads(P1, UUID_A, text + 1);
}

/* Writing */

static void test_write_new(void **state) {
        (void) state;

        assert_int_equal(write_text(P1, UUID_A, "one", false, FAILURE_NONE), 0);
        assert_file(TOP P1 "/" UUID_A, "one");
        assert_int_equal(tree_mode("etc"), S_IFDIR | 0755);
        assert_int_equal(tree_mode("etc/mdevctl.d"), S_IFDIR | 0755);
        assert_int_equal(tree_mode(TOP P1), S_IFDIR | 0755);
        assert_int_equal(tree_mode(TOP P1 "/" UUID_A), S_IFREG | 0644);

        assert_int_equal(write_text(P1, UUID_B, "two", false, FAILURE_NONE), 0);
        assert_int_equal(write_text(P2, UUID_A, "three", false, FAILURE_NONE), 0);
        assert_file(TOP P1 "/" UUID_A, "one");
        assert_file(TOP P1 "/" UUID_B, "two");
        assert_file(TOP P2 "/" UUID_A, "three");
        assert_int_equal(tree_count("etc/mdevctl.d"), 2); /* no temporary file is left */
        assert_reads(P2, UUID_A, "three");
}

/* Each step is durable before the next builds on it: directories too. */
static void test_order(void **state) {
        (void) state;

        hooks.log[0] = '\0';
        assert_int_equal(write_text(P1, UUID_A, "one", false, FAILURE_NONE), 0);
        assert_string_equal(hooks.log, "mkdir sync mkdir sync mkdir sync write sync rename sync ");
        hooks.log[0] = '\0';
        assert_int_equal(write_text(P1, UUID_B, "two", false, FAILURE_NONE), 0);
        assert_string_equal(hooks.log, "mkdir write sync rename sync ");
        hooks.log[0] = '\0';
        assert_int_equal(write_text(P1, UUID_B, "three", true, FAILURE_NONE), 0);
        assert_string_equal(hooks.log, "write sync link rename sync unlink ");
        hooks.log[0] = '\0';
        assert_int_equal(remove_from(PARENTS(P1), UUID_B, FAILURE_NONE, NULL), 0);
        assert_string_equal(hooks.log, "link unlink sync unlink ");
}

static void test_write_exists(void **state) {
        static const struct {
                const char *name;
                bool is_link, is_directory;
        } obstacles[] = { { "file", false, false }, { "link", true, false }, { "directory", false, true } };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(obstacles); i++) {
                _cleanup_(freep) char *before = NULL;

                if (obstacles[i].is_link)
                        tree_link("nowhere", TOP P1 "/" UUID_A);
                else if (obstacles[i].is_directory)
                        tree_mkdir(TOP P1 "/" UUID_A);
                else
                        tree_put(TOP P1 "/" UUID_A, "old");
                before = tree_snapshot("etc");
                assert_int_equal(write_text(P1, UUID_A, "new", false, FAILURE_EXISTS_ON_DISK), -EEXIST);
                assert_unchanged("etc", before);
                tree_remove("etc");
                reopen();
        }
}

static void test_write_without_a_place(void **state) {
        (void) state;

        tree_put("etc", "a file");
        assert_int_equal(write_text(P1, UUID_A, "x", false, FAILURE_STORE), -ENOTDIR);
        assert_file("etc", "a file");
}

static void test_write_replaces(void **state) {
        static const char odd[] = TOP P1 "/00112233-4455-6677-8899-AABBCCDDEEFF";

        (void) state;

        tree_put(TOP P1 "/" UUID_A, "old");
        tree_chmod(TOP P1 "/" UUID_A, 0600);
        assert_int_equal(write_text(P1, UUID_A, "new", true, FAILURE_NONE), 0);
        assert_file(TOP P1 "/" UUID_A, "new");
        assert_int_equal(tree_mode(TOP P1 "/" UUID_A), S_IFREG | 0600);

        /* Under the name that it has: not a second file. */
        tree_remove(TOP P1);
        tree_put(odd, "old");
        assert_int_equal(write_text(P1, UUID_A, "new", true, FAILURE_NONE), 0);
        assert_file(odd, "new");
        assert_int_equal(tree_count(TOP P1), 1);
        assert_int_equal(tree_count("etc/mdevctl.d"), 1);
}

static void test_write_replaces_not(void **state) {
        _cleanup_(freep) char *before = NULL;

        (void) state;

        tree_put(TOP P1 "/" UUID_B, "another");
        tree_link("nowhere", TOP P2 "/" UUID_A);
        tree_mkdir(TOP P3 "/" UUID_A);
        before = tree_snapshot("etc");
        assert_int_equal(write_text(P1, UUID_A, "new", true, FAILURE_NO_SUCH_DEFINITION), -ENODEV);
        assert_int_equal(write_text("nowhere", UUID_A, "new", true, FAILURE_NO_SUCH_DEFINITION), -ENODEV);
        assert_int_equal(write_text(P2, UUID_A, "new", true, FAILURE_STORE), -ENOTSUP);
        assert_int_equal(write_text(P3, UUID_A, "new", true, FAILURE_STORE), -ENOTSUP);
        assert_unchanged("etc", before);
}

/* Names that never come this far, because others check them before. */
static void test_write_refuses_parents(void **state) {
        static const char *const parents[] = { "scripts.d", "..", ".", "../x", "a/b", "", "link", "file" };
        _cleanup_(freep) char *before = NULL;

        (void) state;

        tree_put("outside/x", "");
        tree_link("../../outside", TOP "link");
        tree_put(TOP "file", "");
        before = tree_snapshot(".");
        for (size_t i = 0; i < ELEMENTSOF(parents); i++) {
                Failure f = FAILURE_INIT;
                Uuid u = uuid_of(UUID_A);

                assert_true(store_write(store, parents[i], &u, "x", 1, false, &f) < 0);
                assert_int_equal(f.kind, FAILURE_STORE);
                failure_done(&f);
                assert_unchanged(".", before);
        }
}

/* Each call in turn fails: without a tree, with the top only, with the parent. */
static void test_write_new_fails(void **state) {
        static const char *const prepared[] = { NULL, "etc", "etc/mdevctl.d", TOP P1 };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(prepared); i++)
                for (unsigned n = 0;; n++) {
                        _cleanup_(freep) char *before = NULL;
                        Failure f = FAILURE_INIT;
                        Uuid u = uuid_of(UUID_A);
                        int r;

                        if (tree_has("etc"))
                                tree_remove("etc");
                        if (prepared[i])
                                tree_mkdir(prepared[i]);
                        reopen();
                        before = tree_snapshot(TOP P1);
                        arm(n, ENOSPC);
                        r = store_write(store, P1, &u, "text", 4, false, &f);
                        hooks.armed = false;
                        if (!hooks.failed) {
                                assert_int_equal(r, 0);
                                assert_true(n >= 5);
                                break;
                        }
                        assert_int_equal(r, -ENOSPC);
                        assert_int_equal(f.kind, FAILURE_STORE);
                        assert_int_equal(f.error, ENOSPC);
                        assert_string_equal(f.subject, "/" TOP P1 "/" UUID_A);
                        failure_done(&f);
                        assert_unchanged(TOP P1, before);

                        /* The parent's directory goes again, but not one that was there. */
                        assert_int_equal(tree_has(TOP P1), i == 3);
                        if (tree_has("etc/mdevctl.d"))
                                assert_int_equal(tree_count("etc/mdevctl.d"), i == 3);
                }
}

static int ignore(const char *parent _unused_, const char *name _unused_, const Uuid *uuid _unused_,
                const char *text _unused_, size_t size _unused_, int error _unused_,
                void *userdata _unused_) {
        return 0;
}

static void test_write_again_fails(void **state) {
        (void) state;

        for (unsigned n = 0;; n++) {
                _cleanup_(freep) char *before = NULL;
                Failure f = FAILURE_INIT;
                Uuid u = uuid_of(UUID_A);
                int r;

                tree_put(TOP P1 "/" UUID_A, "old");
                before = tree_snapshot("etc");
                arm(n, EIO);
                r = store_write(store, P1, &u, "new", 3, true, &f);
                hooks.armed = false;
                if (!hooks.failed) {
                        assert_int_equal(r, 0);
                        assert_int_equal(n, 6);
                        break;
                }
                if (r == 0) { /* without a second name; or the old one's stays, until somebody sweeps */
                        assert_true(n == 2 || n == 5);
                        assert_file(TOP P1 "/" UUID_A, "new");
                        assert_int_equal(store_scan(store, NULL, ignore, NULL), 0);
                        assert_int_equal(tree_count("etc/mdevctl.d"), 1);
                        continue;
                }
                assert_int_equal(r, -EIO);
                assert_int_equal(f.kind, FAILURE_STORE);
                failure_done(&f);
                assert_unchanged("etc", before);
                assert_int_equal(tree_count("etc/mdevctl.d"), 1);
        }
}

/* A file system that is really full. */
static void test_write_disk_full(void **state) {
        _cleanup_(freep) char *before = NULL, *large = malloc(64 * 1024 + 1);
        char etc[128];

        (void) state;

        tree_mkdir("etc");
        (void) snprintf(etc, sizeof etc, "%s/etc", tree_root);
        /* A mount of its own to make private: "/" is none in a chroot. */
        if (unshare(CLONE_NEWNS) < 0 || mount(tree_root, tree_root, "none", MS_BIND, NULL) < 0 ||
                        mount("none", tree_root, "none", MS_PRIVATE, NULL) < 0 ||
                        mount("tmpfs", etc, "tmpfs", 0, "size=32k,mode=755") < 0)
                skip();

        /* The old descriptor is of the old name space, where nothing is mounted. */
        tree_fd = safe_close(tree_fd);
        tree_fd = open(tree_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(tree_fd >= 0);
        memset(large, 'x', 64 * 1024);
        large[64 * 1024] = '\0';
        reopen();
        assert_int_equal(write_text(P1, UUID_A, "old", false, FAILURE_NONE), 0);
        before = tree_snapshot("etc");
        assert_int_equal(write_text(P1, UUID_A, large, true, FAILURE_STORE), -ENOSPC);
        assert_unchanged("etc", before);
        assert_int_equal(write_text(P1, UUID_B, large, false, FAILURE_STORE), -ENOSPC);
        assert_unchanged("etc", before);
        assert_int_equal(write_text(P2, UUID_B, large, false, FAILURE_STORE), -ENOSPC);
        assert_unchanged("etc", before);

        /* Read-only. */
        if (mount("none", etc, "none", MS_REMOUNT | MS_RDONLY, NULL) >= 0) {
                assert_int_equal(write_text(P1, UUID_A, "new", true, FAILURE_STORE), -EROFS);
                assert_int_equal(write_text(P1, UUID_B, "new", false, FAILURE_STORE), -EROFS);
                assert_int_equal(write_text(P2, UUID_B, "new", false, FAILURE_STORE), -EROFS);
                assert_int_equal(remove_from(PARENTS(P1), UUID_A, FAILURE_STORE, "/" TOP P1 "/" UUID_A),
                                -EROFS);
                assert_unchanged("etc", before);
        }
        store = store_free(store);
        assert_int_equal(umount2(etc, MNT_DETACH), 0);
        assert_int_equal(umount2(tree_root, MNT_DETACH), 0);
        tree_fd = safe_close(tree_fd);
        tree_fd = open(tree_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(tree_fd >= 0);
        open_store();
}

/* Removing */

static void test_remove(void **state) {
        (void) state;

        tree_put(TOP P1 "/" UUID_A, "one");
        tree_put(TOP P1 "/" UUID_B, "another");
        tree_put(TOP P2 "/00112233445566778899AABBCCDDEEFF", "two");
        tree_put(TOP P3 "/" UUID_A, "three");
        assert_int_equal(remove_from(PARENTS(P1), UUID_A, FAILURE_NONE, NULL), 0);
        assert_int_equal(tree_count(TOP P1), 1);
        assert_int_equal(remove_from(PARENTS(P2, P3), UUID_A, FAILURE_NONE, NULL), 0);
        assert_int_equal(tree_count(TOP P2), 0); /* its directory stays, as mdevctl leaves it */
        assert_int_equal(tree_count(TOP P3), 0);
        assert_file(TOP P1 "/" UUID_B, "another");
        assert_int_equal(remove_from((const char *const[]){ NULL }, UUID_A, FAILURE_NONE, NULL), 0);
}

/* Also what is no good definition: else nobody could get rid of it here. */
static void test_remove_what_is_broken(void **state) {
        _cleanup_(freep) char *large = calloc(1, 600 * 1024);

        (void) state;

        tree_put_bytes(TOP P1 "/" UUID_A, large, 600 * 1024);
        tree_fifo(TOP P1 "/" UUID_B);
        tree_link("nowhere", TOP P1 "/" UUID_C);
        assert_int_equal(remove_from(PARENTS(P1), UUID_A, FAILURE_NONE, NULL), 0);
        assert_int_equal(remove_from(PARENTS(P1), UUID_B, FAILURE_NONE, NULL), 0);
        assert_int_equal(remove_from(PARENTS(P1), UUID_C, FAILURE_NONE, NULL), 0);
        assert_int_equal(tree_count(TOP P1), 0);
}

static void three_files(void) {
        tree_put(TOP P1 "/" UUID_A, "one");
        tree_chmod(TOP P1 "/" UUID_A, 0640);
        tree_put(TOP P2 "/00112233445566778899AABBCCDDEEFF", "two");
        tree_chmod(TOP P2 "/00112233445566778899AABBCCDDEEFF", 0600);
        tree_put(TOP P3 "/" UUID_A, "three");
}

/* One of several that cannot be removed: the others are put back, with their names and modes. */
static void test_remove_puts_back(void **state) {
        _cleanup_(freep) char *before = NULL;

        (void) state;

        three_files();
        tree_mkdir(TOP "directory/" UUID_A);
        before = tree_snapshot("etc");
        assert_int_equal(remove_from(PARENTS(P1, P2, "directory", P3), UUID_A, FAILURE_STORE,
                                         "/" TOP "directory/" UUID_A),
                        -EISDIR);
        assert_unchanged("etc", before);
        assert_int_equal(remove_from(PARENTS(P1, "nowhere", P2), UUID_A, FAILURE_NO_SUCH_DEFINITION,
                                         "/" TOP "nowhere/" UUID_A),
                        -ENODEV);
        assert_unchanged("etc", before);
        assert_int_equal(remove_from(PARENTS(P1, P2, P3, "../x"), UUID_A, FAILURE_NO_SUCH_DEFINITION,
                                         "/" TOP "../x/" UUID_A),
                        -ENODEV);
        assert_unchanged("etc", before);
}

static void test_remove_fails(void **state) {
        (void) state;

        for (unsigned n = 0;; n++) {
                _cleanup_(freep) char *before = NULL;
                Failure f = FAILURE_INIT;
                Uuid u = uuid_of(UUID_A);
                int r;

                three_files();
                before = tree_snapshot("etc");
                arm(n, EIO);
                r = store_remove(store, (char *const *) PARENTS(P1, P2, P3), &u, &f);
                hooks.armed = false;
                if (!hooks.failed) {
                        assert_int_equal(r, 0);
                        assert_int_equal(n, 12);
                        break;
                }
                if (r == 0) { /* without a second name; or that stays, until somebody sweeps */
                        assert_true(n % 3 == 0 || n >= 9);
                        assert_false(tree_has(TOP P1 "/" UUID_A) || tree_has(TOP P3 "/" UUID_A));
                        assert_int_equal(store_scan(store, NULL, ignore, NULL), 0);
                        assert_int_equal(tree_count("etc/mdevctl.d"), 3);
                        continue;
                }
                assert_int_equal(r, -EIO);
                assert_int_equal(f.kind, FAILURE_STORE);
                assert_false(f.changed_store);
                failure_done(&f);
                assert_unchanged("etc", before);
        }
}

/* What there is of three files, "old" or "new" each, or that they are gone: a letter for each. */
static void describe(const char *const *parents, char ret[static 4]) {
        Uuid u = uuid_of(UUID_A);

        for (size_t i = 0; i < 3; i++) {
                _cleanup_(freep) char *text = NULL;
                size_t size;

                ret[i] = store_read(store, parents[i], &u, &text, &size) < 0 ? '-' : text[0];
                if (text && !streq(text, "old") && !streq(text, "new"))
                        fail_msg("neither old nor new: %s", text);
        }
        ret[3] = '\0';
}

typedef enum Change {
        WRITE_NEW,
        WRITE_AGAIN,
        REMOVE_ONE,
        REMOVE_ALL,
        _CHANGE_MAX,
} Change;

static int change(Change c, Failure *f) {
        Uuid u = uuid_of(UUID_A);

        switch (c) {
        case WRITE_NEW:
        case WRITE_AGAIN:
                return store_write(store, P1, &u, "new", 3, c == WRITE_AGAIN, f);
        case REMOVE_ONE:
                return store_remove(store, (char *const *) PARENTS(P1), &u, f);
        case REMOVE_ALL:
                return store_remove(store, (char *const *) PARENTS(P1, P2, P3), &u, f);
        case _CHANGE_MAX:
                break;
        }
        return -EINVAL;
}

/* A disk that says no goes on saying so, also to what is to undo the rest. Where that leaves a change behind,
 * the failure says so, and never else; each file is wholly old or wholly new, and what is left of temporary
 * ones is swept. */
static void test_disk_goes_on_saying_no(void **state) {
        static const char *const parents[] = { P1, P2, P3 };
        unsigned n_changed = 0;

        (void) state;

        for (Change c = 0; c < _CHANGE_MAX; c++)
                for (unsigned n = 0;; n++) {
                        _cleanup_(failure_done) Failure f = FAILURE_INIT;
                        char before[4], after[4];
                        int r;

                        if (tree_has("etc"))
                                tree_remove("etc");
                        for (size_t i = 0; i < ELEMENTSOF(parents); i++)
                                if (c != WRITE_NEW)
                                        tree_put(PATH(TOP "%s/" UUID_A, parents[i]), "old");
                        reopen();
                        describe(parents, before);

                        arm_for_good(n, EROFS);
                        r = change(c, &f);
                        hooks.armed = false;
                        describe(parents, after);
                        if (r == 0) {
                                assert_false(streq(before, after));
                                assert_int_equal(f.kind, FAILURE_NONE);
                        } else {
                                assert_int_equal(r, -EROFS);
                                assert_int_equal(f.kind, FAILURE_STORE);
                                assert_int_equal(f.changed_store, !streq(before, after));
                                n_changed += f.changed_store;
                        }
                        if (tree_has("etc/mdevctl.d"))
                                assert_int_equal(store_scan(store, NULL, ignore, NULL), 0);
                        for (size_t i = 0; i < ELEMENTSOF(parents); i++)
                                if (tree_has(PATH(TOP "%s", parents[i])))
                                        tree_remove(PATH(TOP "%s", parents[i]));
                        if (tree_has("etc/mdevctl.d"))
                                assert_int_equal(tree_count("etc/mdevctl.d"), 0);
                        if (!hooks.failed)
                                break;
                }
        assert_int_equal(n_changed, 10);
}

static void test_remove_keeps_owner(void **state) {
        struct stat st;

        (void) state;

        tree_put(TOP P1 "/" UUID_A, "one");
        if (fchownat(tree_fd, TOP P1 "/" UUID_A, 4711, 4712, 0) < 0)
                skip(); /* only root can */
        assert_int_equal(remove_from(PARENTS(P1, P2), UUID_A, FAILURE_NO_SUCH_DEFINITION,
                                         "/" TOP P2 "/" UUID_A),
                        -ENODEV);
        assert_int_equal(fstatat(tree_fd, TOP P1 "/" UUID_A, &st, 0), 0);
        assert_int_equal(st.st_uid, 4711);
        assert_int_equal(st.st_gid, 4712);
}

/* Scanning */

typedef struct Scan {
        char *lines[64]; /* "parent/name error text" */
        size_t n;
        size_t n_max; /* then the callback has enough */
} Scan;

static int on_place(const char *parent, const char *name, const Uuid *uuid, const char *text, size_t size,
                int error, void *userdata) {
        Scan *scan = userdata;
        char *line;

        if (scan->n == scan->n_max)
                return -E2BIG;
        assert_true(scan->n < ELEMENTSOF(scan->lines));
        assert_int_equal(error < 0, !text);
        assert_true(!text || (uuid && strlen(text) == size));
        if (uuid) {
                Uuid u;

                assert_int_equal(uuid_from_text(name, &u), 0);
                assert_true(uuid_equal(&u, uuid));
        }
        assert_true(asprintf(&line, "%s/%s %s %s", parent, name, error < 0 ? strerrorname_np(-error) : "0",
                                    text ? text : "-") > 0);
        scan->lines[scan->n++] = line;
        return 0;
}

static int line_order(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* @expected: sorted, NULL-terminated. */
static void assert_scan(const char *only, const char *const *expected) {
        Scan scan = { .n_max = SIZE_MAX };
        size_t n = 0;
        Uuid u;

        if (only)
                u = uuid_of(only);
        assert_int_equal(store_scan(store, only ? &u : NULL, on_place, &scan), 0);
        qsort(scan.lines, scan.n, sizeof *scan.lines, line_order);
        while (expected[n])
                n++;
        for (size_t i = 0; i < MIN(n, scan.n); i++)
                assert_string_equal(scan.lines[i], expected[i]);
        assert_int_equal(scan.n, n);
        for (size_t i = 0; i < scan.n; i++)
                free(scan.lines[i]);
}

#define LINES(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void test_scan_nothing(void **state) {
        (void) state;

        assert_scan(NULL, LINES());
        tree_mkdir("etc");
        assert_scan(NULL, LINES());
        tree_mkdir(TOP P1);
        assert_scan(NULL, LINES());
        assert_scan(UUID_A, LINES());
}

static void test_scan(void **state) {
        static const char bad_name[] = TOP P1 "/\xff\xfe", bad_folder[] = TOP "\xff\xfe";

        (void) state;

        tree_put(TOP P1 "/" UUID_A, "one");
        tree_put(TOP P2 "/" UUID_A, "two");
        tree_put(TOP P2 "/10112233445566778899AABBCCDDEEFF", "three");
        tree_put(TOP P2 "/" UUID_C, "");
        tree_put(TOP P1 "/" UUID_A "~", "a backup");
        tree_put(TOP P1 "/.swp", "an editor's");
        tree_put(bad_name, "");
        tree_fifo(TOP P1 "/" UUID_B);
        tree_fifo(TOP P1 "/fifo");
        tree_mkdir(TOP P1 "/" UUID_C);
        tree_put(TOP P1 "/directory/" UUID_A, "too deep");
        tree_link(UUID_A, TOP P1 "/30112233-4455-6677-8899-aabbccddeeff");
        tree_put("outside/" UUID_A, "outside");
        tree_link("../../outside", TOP "link");
        tree_link("../../outside", TOP ".hidden");
        tree_link("README", TOP "link to a file");
        tree_link("nothing", TOP "link to nothing");
        tree_mkdir(bad_folder);
        tree_put(TOP "scripts.d/" UUID_A, "a script");
        tree_put(TOP "scripts.d/callouts/" UUID_A, "a script");
        tree_put(TOP UUID_A, "without a parent");
        tree_put(TOP "README", "");

        assert_scan(NULL,
                        LINES("/" UUID_A " ENOTDIR -", "/link ELOOP -", "/\xff\xfe EILSEQ -",
                                        P1 "/.swp EINVAL -", P1 "/" UUID_A " 0 one",
                                        P1 "/" UUID_A "~ EINVAL -", P1 "/" UUID_B " EOPNOTSUPP -",
                                        P1 "/" UUID_C " EOPNOTSUPP -",
                                        P1 "/30112233-4455-6677-8899-aabbccddeeff ELOOP -",
                                        P1 "/fifo EINVAL -", P1 "/\xff\xfe EINVAL -", P2 "/" UUID_A " 0 two",
                                        P2 "/10112233445566778899AABBCCDDEEFF 0 three", P2 "/" UUID_C " 0 "));
        assert_scan(UUID_A, LINES(P1 "/" UUID_A " 0 one", P2 "/" UUID_A " 0 two"));
        assert_scan(UUID_B,
                        LINES(P1 "/" UUID_B " EOPNOTSUPP -", P2 "/10112233445566778899AABBCCDDEEFF 0 three"));
        assert_scan("ffffffff-4455-6677-8899-aabbccddeeff", LINES());
        assert_file(TOP "README", "");
}

static void test_scan_too_large(void **state) {
        _cleanup_(freep) char *large = calloc(1, 600 * 1024);

        (void) state;

        tree_put_bytes(TOP P1 "/" UUID_A, large, 600 * 1024);
        tree_put(TOP P1 "/" UUID_B, "x");
        assert_scan(NULL, LINES(P1 "/" UUID_A " EFBIG -", P1 "/" UUID_B " 0 x"));
}

static void test_scan_unreadable(void **state) {
        (void) state;

        tree_put(TOP P1 "/" UUID_A, "one");
        tree_chmod(TOP P1 "/" UUID_A, 0);
        tree_put(TOP P1 "/" UUID_B, "two");
        tree_put(TOP P2 "/" UUID_A, "three");
        tree_chmod(TOP P2, 0);
        if (geteuid() == 0)
                assert_int_equal(seteuid(65534), 0);
        assert_scan(NULL, LINES(P1 "/" UUID_A " EACCES -", P1 "/" UUID_B " 0 two", P2 "/ EACCES -"));
        if (getuid() == 0)
                assert_int_equal(seteuid(0), 0);
        tree_chmod(TOP P2, 0755);

        tree_chmod("etc/mdevctl.d", 0);
        if (geteuid() == 0)
                assert_int_equal(seteuid(65534), 0);
        assert_scan(NULL, LINES("/ EACCES -"));
        if (getuid() == 0)
                assert_int_equal(seteuid(0), 0);
        tree_chmod("etc/mdevctl.d", 0755);
}

static void test_scan_ends(void **state) {
        Scan scan = { .n_max = 2 };

        (void) state;

        for (unsigned i = 0; i < 6; i++)
                tree_put(PATH(TOP "parent-%u/%u" UUID_A, i / 2, i), "no UUID");
        assert_int_equal(store_scan(store, NULL, on_place, &scan), -E2BIG);
        assert_int_equal(scan.n, 2);
        for (size_t i = 0; i < scan.n; i++)
                free(scan.lines[i]);
}

/* Whatever cannot be looked at is told of, with the rest; or nothing was missed. */
static void test_scan_fails(void **state) {
        unsigned n = 0, n_told = 0;

        (void) state;

        tree_put(TOP P1 "/" UUID_A, "one");
        tree_put(TOP P2 "/" UUID_A, "two");
        tree_put(TOP UUID_B, "without a parent");
        for (bool failed = true; failed; n++) {
                Scan scan = { .n_max = SIZE_MAX };
                bool told = false;

                look_fails(n);
                assert_int_equal(store_scan(store, NULL, on_place, &scan), 0);
                failed = look_failed();
                for (size_t i = 0; i < scan.n; i++) {
                        told = told || strstr(scan.lines[i], " EIO ");
                        free(scan.lines[i]);
                }
                assert_true(told || scan.n == 3);
                assert_true(failed || !told);
                n_told += told;
                reopen();
        }
        assert_true(n_told >= 10);
}

static void test_scan_file_fails(void **state) {
        (void) state;

        tree_put(TOP P1 "/" UUID_A, "one");
        for (unsigned n = 0; n < 2; n++) {
                Scan scan = { .n_max = SIZE_MAX };

                reopen();
                look_fails(n);
                assert_int_equal(store_scan_file(store, P1, UUID_A, on_place, &scan), 0);
                assert_true(look_failed());
                assert_int_equal(scan.n, 1);
                assert_string_equal(scan.lines[0], P1 "/ EIO -");
                free(scan.lines[0]);
        }
}

/* What lies beside the parents is a reason to end as any other. */
static void test_scan_ends_beside(void **state) {
        Scan scan = { .n_max = 0 };

        (void) state;

        tree_put(TOP UUID_A, "without a parent");
        assert_int_equal(store_scan(store, NULL, on_place, &scan), -E2BIG);
}

static void test_scan_removes_strays(void **state) {
        int fd;

        (void) state;

        tree_put(TOP ".mdevd-0123456789abcdef", "half a fi");
        tree_put(TOP ".mdevd-fedcba9876543210", "being written");
        tree_put(TOP ".hidden", "somebody's");
        tree_put(TOP P1 "/.mdevd-0123456789abcdef", "in a parent's: not ours");
        fd = openat(tree_fd, TOP ".mdevd-fedcba9876543210", O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);

        assert_scan(UUID_A, LINES()); /* a look at one device is in no position to clean up */
        assert_true(tree_has(TOP ".mdevd-0123456789abcdef"));
        assert_scan(NULL, LINES(P1 "/.mdevd-0123456789abcdef EINVAL -"));
        assert_false(tree_has(TOP ".mdevd-0123456789abcdef"));
        assert_true(tree_has(TOP ".mdevd-fedcba9876543210"));
        assert_true(tree_has(TOP ".hidden"));

        (void) close(fd);
        assert_scan(NULL, LINES(P1 "/.mdevd-0123456789abcdef EINVAL -"));
        assert_false(tree_has(TOP ".mdevd-fedcba9876543210"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_nothing_there),
                TEST(test_open_fails),
                TEST(test_open_linked),
                TEST(test_path),
                TEST(test_read_names),
                TEST(test_read_two_parents),
                TEST(test_read_refuses),
                TEST(test_read_fails),
                TEST(test_read_too_large),
                TEST(test_write_new),
                TEST(test_order),
                TEST(test_write_exists),
                TEST(test_write_without_a_place),
                TEST(test_write_replaces),
                TEST(test_write_replaces_not),
                TEST(test_write_refuses_parents),
                TEST(test_write_new_fails),
                TEST(test_write_again_fails),
                TEST(test_write_disk_full),
                TEST(test_remove),
                TEST(test_remove_what_is_broken),
                TEST(test_remove_puts_back),
                TEST(test_remove_fails),
                TEST(test_disk_goes_on_saying_no),
                TEST(test_remove_keeps_owner),
                TEST(test_scan_nothing),
                TEST(test_scan),
                TEST(test_scan_too_large),
                TEST(test_scan_unreadable),
                TEST(test_scan_ends),
                TEST(test_scan_fails),
                TEST(test_scan_file_fails),
                TEST(test_scan_ends_beside),
                TEST(test_scan_removes_strays),
        };

        return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}

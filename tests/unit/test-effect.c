/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Effects without scripts: test-effect-scripts.c has those with them. */

#include "effect-fixture.h"

#include <sys/file.h>
#include <sys/wait.h>

/* Creating */

static void test_create(void **state) {
        Request r;

        (void) state;

        r = request_for(REQUEST_CREATE, LIST("b", "1", "a", "2", "b", "3"));
        kernel.attributes[0] = "a";
        kernel.attributes[1] = "b";
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, true);
        assert_string_equal(kernel.log,
                        "create " P1 " " TYPE " " UUID_A ";attribute b=1;attribute a=2;attribute b=3;");
        assert_false(tree_has("etc"));
}

static void test_create_refused(void **state) {
        Request r = request_for(REQUEST_CREATE, LIST("a", "1"));

        (void) state;

        kernel.create_error = EBUSY;
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_KERNEL, EBUSY, false);
        assert_string_equal(told.failure.subject, "create");
        assert_string_equal(told.failure.type, TYPE);
        assert_string_equal(kernel.log, "create " P1 " " TYPE " " UUID_A ";"); /* and nothing is removed */
}

/* The driver says no, but there it is: what is seen is told, and not touched. */
static void test_create_refused_but_there(void **state) {
        Request r = request_for(REQUEST_CREATE, NULL);

        (void) state;

        kernel.create_error = EINTR;
        kernel.create_stays = true;
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_KERNEL, EINTR, false);
        assert_true(tree_has(DEVICE));
}

static void test_create_exists(void **state) {
        Request r = request_for(REQUEST_CREATE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        kernel.create_error = EEXIST;
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_EXISTS_IN_KERNEL, EEXIST, false);
        assert_true(tree_has(DEVICE "/remove"));
}

/* The third of four attributes fails: the first two were written, the fourth was not, and the device is
 * removed again. */
static void test_create_attribute(void **state) {
        Request r;

        (void) state;

        r = request_for(REQUEST_CREATE, LIST("a", "1", "b", "2", "c", "3", "d", "4"));
        kernel.attributes[0] = "a";
        kernel.attributes[1] = "b";
        kernel.attributes[2] = "c";
        kernel.attributes[3] = "d";
        kernel.bad_attribute = "c";
        kernel.attribute_error = EADDRINUSE;
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_ATTRIBUTE, EADDRINUSE, false);
        assert_int_equal(told.failure.index, 2);
        assert_string_equal(told.failure.subject, "c");
        assert_string_equal(kernel.log,
                        "create " P1 " " TYPE " " UUID_A ";attribute a=1;attribute b=2;attribute c=3;"
                        "remove " P1 " " UUID_A ";");
        assert_false(tree_has(DEVICE));
}

/* Both errors are told, and the device that is there. */
static void test_create_rollback_fails(void **state) {
        Request r;

        (void) state;

        r = request_for(REQUEST_CREATE, LIST("missing", "1"));
        kernel.remove_error = EBUSY;
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_int_equal(told.failure.kind, FAILURE_ATTRIBUTE);
        assert_int_equal(told.failure.error, ENOENT);
        assert_int_equal(told.failure.index, 0);
        assert_int_equal(told.failure.rollback_error, EBUSY);
        assert_true(told.created);

        /* One that stays half removed is found by the path that it had. */
        host_remove_device(P1, UUID_A);
        r = request_for(REQUEST_CREATE, LIST("missing", "1"));
        kernel.remove_leaves = true;
        perform(&r, -EBADF, "sighting leaving " P1 " \nresult\n");
        assert_int_equal(told.failure.rollback_error, EBUSY);
}

/* The device vanished before its first attribute: that is no failure of the removal. */
static void test_create_gone(void **state) {
        Request r = request_for(REQUEST_CREATE, LIST("a", "1"));

        (void) state;

        kernel.is_off = true; /* success, and no device */
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_KERNEL, ENODEV, false);
}

/* And the same with nothing that notices: what is seen is what is told. */
static void test_create_gone_at_once(void **state) {
        Request r = request_for(REQUEST_CREATE, NULL);

        (void) state;

        kernel.is_off = true;
        perform(&r, -EBADF, "sighting absent  \nresult\n");
}

static void test_create_and_define(void **state) {
        Request r;

        (void) state;

        r = request_for(REQUEST_CREATE, LIST("a", "1"));
        kernel.attributes[0] = "a";
        r.define = true;
        r.definition.autostart = true;
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\ndefinition 00 " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, true);
        assert_file(FILE_A,
                        "{\n  \"mdev_type\": \"" TYPE "\",\n  \"start\": \"auto\",\n  \"attrs\": [\n    {\n"
                        "      \"a\": \"1\"\n    }\n  ]\n}");
}

/* Both or neither. */
static void test_create_and_define_fails(void **state) {
        Request r = request_for(REQUEST_CREATE, NULL);

        (void) state;

        r.define = true;
        tree_put(FILE_A, "{}");
        perform(&r, -EBADF,
                        "sighting present " P1 " " TYPE "\ninvalid /" FILE_A
                        ": \"mdev_type\" is missing or not a string\nsighting absent  \nresult\n");
        assert_result(FAILURE_EXISTS_ON_DISK, 0, false);
        assert_string_equal(told.failure.subject, "/" FILE_A);
        assert_file(FILE_A, "{}");
        assert_string_equal(kernel.log, "create " P1 " " TYPE " " UUID_A ";remove " P1 " " UUID_A ";");
        tree_remove("etc");

        r = request_for(REQUEST_CREATE, NULL);
        r.define = true;
        kernel.create_error = ENOSPC;
        perform(&r, -EBADF, "sighting absent  \ndefinition 00 " P1 " (none)\nresult\n");
        assert_result(FAILURE_NO_CAPACITY, ENOSPC, false);
        assert_false(tree_has("etc"));
}

static void test_create_without_sysfs(void **state) {
        Request r = request_for(REQUEST_CREATE, NULL);

        (void) state;

        tree_remove("sys");
        perform(&r, -EBADF, "sighting unknown  \nresult\n");
        assert_int_equal(told.failure.kind, FAILURE_KERNEL);
        assert_false(told.created);
}

/* Removing */

static void test_remove(void **state) {
        Request r = request_for(REQUEST_REMOVE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        r.path = strdup("/" DEVICE);
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_string_equal(kernel.log, "remove " P1 " " UUID_A ";");

        /* Gone already is what was asked for. */
        r = request_for(REQUEST_REMOVE, NULL);
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_NONE, 0, false);
}

static void test_remove_fails(void **state) {
        Request r = request_for(REQUEST_REMOVE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        kernel.remove_error = EINVAL;
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_KERNEL, EINVAL, false);
        assert_string_equal(told.failure.subject, "remove");
}

static void test_remove_orphaned(void **state) {
        Request r = request_for(REQUEST_REMOVE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        kernel.remove_error = EAGAIN;
        kernel.remove_orphans = true;
        r.path = strdup("/" DEVICE);
        perform(&r, -EBADF, "sighting orphan " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_ORPHANED, 0, false);
}

static void test_remove_leaving(void **state) {
        Request r = request_for(REQUEST_REMOVE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        kernel.remove_error = ENODEV;
        kernel.remove_leaves = true;
        r.path = strdup("/" DEVICE);
        perform(&r, -EBADF, "sighting leaving " P1 " \nresult\n");
        assert_result(FAILURE_BEING_REMOVED, 0, false);

        /* It was that before, and nothing is written again. */
        kernel.log[0] = '\0';
        r = request_for(REQUEST_REMOVE, NULL);
        r.path = strdup("/" DEVICE);
        perform(&r, -EBADF, "sighting leaving " P1 " \nresult\n");
        assert_result(FAILURE_BEING_REMOVED, 0, false);
        assert_string_equal(kernel.log, "");
}

/* A process that has the device open: it is told which, and the kernel is not asked. */
static void test_remove_in_use(void **state) {
        Request r = request_for(REQUEST_REMOVE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        tree_link("../../../../kernel/iommu_groups/17", DEVICE "/iommu_group");
        tree_link("nothing", "dev/vfio/17"); /* that is there, and cannot be opened */
        tree_link("/dev/vfio/17", "proc/4242/fd/3");
        tree_link("anon_inode:[vfio-device]", "proc/4242/fd/4");
        tree_put("proc/4242/comm", "qemu\n");
        r.path = strdup("/" DEVICE);
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_IN_USE, 0, false);
        assert_string_equal(told.failure.detail, "process 4242 (qemu)");
        assert_string_equal(kernel.log, "");

        /* Who wants to wait for the user to close it may. */
        r = request_for(REQUEST_REMOVE, NULL);
        r.wait_for_release = true;
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_NONE, 0, false);
}

/* Neither the node nor any process lets itself be looked at: it may well be in use. */
static void test_remove_in_the_dark(void **state) {
        Request r = request_for(REQUEST_REMOVE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        tree_link("../../../../kernel/iommu_groups/17", DEVICE "/iommu_group");
        tree_link("nothing", "dev/vfio/17");
        tree_mkdir("proc");
        r.path = strdup("/" DEVICE);
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_IN_USE, 0, false);
        assert_null(told.failure.detail);
        assert_string_equal(kernel.log, "");

        /* All processes can be seen, and none has it open. */
        tree_link("/sbin/init", "proc/1/exe");
        r = request_for(REQUEST_REMOVE, NULL);
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_NONE, 0, false);
}

/* One that nobody has open is kept from being opened meanwhile, and let go afterwards. */
static void test_remove_not_in_use(void **state) {
        Request r = request_for(REQUEST_REMOVE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        tree_link("../../../../kernel/iommu_groups/17", DEVICE "/iommu_group");
        tree_put("dev/vfio/17", "");
        tree_mkdir("sys/class/vfio-dev");
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_NONE, 0, false);
}

static void test_remove_of_another_parent(void **state) {
        Request r = request_for(REQUEST_REMOVE, NULL);

        (void) state;

        host_parent(P2);
        host_device(P2, UUID_A, TYPE);
        perform(&r, -EBADF, "sighting present " P2 " " TYPE "\nresult\n");
        assert_result(FAILURE_CHANGED_MEANWHILE, 0, false);
        assert_string_equal(kernel.log, "");
}

/* Definitions */

static void test_define(void **state) {
        Request r = request_for(REQUEST_DEFINE, NULL);

        (void) state;

        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_file(FILE_A, EMPTY);

        r = request_for(REQUEST_DEFINE, NULL);
        assert_int_equal(free_and_strdup(&r.definition.type, "t-2"), 0);
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_EXISTS_ON_DISK, 0, false);
        assert_file(FILE_A, EMPTY);
}

/* With the other keys of the text that it came from. */
static void test_define_from_text(void **state) {
        Request r = request_for(REQUEST_DEFINE, NULL);

        (void) state;

        r.text = strdup("{\"mdev_type\":\"ignored\",\"note\":[1, 2]}");
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_file(FILE_A,
                        "{\n  \"mdev_type\": \"" TYPE
                        "\",\n  \"start\": \"manual\",\n  \"attrs\": [],\n  \"note\": [1,2]\n}");
}

/* What the file says at that moment is what is changed, and its other keys stay. */
static void test_modify(void **state) {
        Request r = request_for(REQUEST_MODIFY, NULL);

        (void) state;

        tree_put(FILE_A,
                        "{\"note\":1,\"mdev_type\":\"old\",\"start\":\"manual\","
                        "\"attrs\":[{\"a\":\"1\"},{\"b\":\"2\"}]}");
        r.modification.autostart = AUTOSTART_AUTO;
        r.modification.remove_attribute = true;
        r.modification.remove_index = 0;
        perform(&r, -EBADF, "definition 00 " P1 " old\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_file(FILE_A,
                        "{\n  \"mdev_type\": \"old\",\n  \"start\": \"auto\",\n  \"attrs\": [\n    {\n"
                        "      \"b\": \"2\"\n    }\n  ],\n  \"note\": 1\n}");

        /* The whole of it, from a text; what that does not have is not kept. */
        r = request_for(REQUEST_MODIFY, NULL);
        r.text = strdup("{}");
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nresult\n");
        assert_file(FILE_A, EMPTY);
}

static void test_modify_fails(void **state) {
        Request r = request_for(REQUEST_MODIFY, NULL);

        (void) state;

        r.modification.autostart = AUTOSTART_AUTO;
        perform(&r, -EBADF, "definition 00 " P1 " (none)\nresult\n");
        assert_result(FAILURE_NO_SUCH_DEFINITION, 0, false);
        assert_false(tree_has("etc"));

        tree_put(FILE_A, "{ x");
        r = request_for(REQUEST_MODIFY, NULL);
        r.modification.autostart = AUTOSTART_AUTO;
        told.text[0] = '\0';
        effect_perform(tree_fd, &r, -EBADF, on_emit, &told);
        request_done(&r);
        assert_result(FAILURE_INVALID_DEFINITION, 0, false);
        assert_string_equal(told.failure.subject, "/" FILE_A);
        assert_non_null(strstr(told.failure.detail, "line 1, column 3"));
        assert_file(FILE_A, "{ x");

        tree_put(FILE_A, EMPTY);
        r = request_for(REQUEST_MODIFY, NULL);
        r.modification.remove_attribute = true;
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_BAD_INDEX, 0, false);
        assert_file(FILE_A, EMPTY);

        tree_remove(FILE_A);
        tree_mkdir(FILE_A);
        r = request_for(REQUEST_MODIFY, NULL);
        r.modification.autostart = AUTOSTART_AUTO;
        perform(&r, -EBADF, "invalid /" FILE_A ": not a regular file\nresult\n");
        assert_result(FAILURE_STORE, ENOTSUP, false);
        assert_string_equal(told.failure.subject, "/" FILE_A);
}

static void test_undefine(void **state) {
        Request r = request_for(REQUEST_UNDEFINE, NULL);

        (void) state;

        tree_put(FILE_A, EMPTY);
        tree_put(TOP P2 "/" UUID_A, EMPTY);
        tree_put(TOP P2 "/" UUID_B, EMPTY);
        set_parents(&r, LIST(P1, P2));
        perform(&r, -EBADF, "definition 00 " P1 " (none)\ndefinition 00 " P2 " (none)\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_false(tree_has(FILE_A));
        assert_int_equal(tree_count(TOP P2), 1);
}

/* All or none, and what is told is what is there. */
static void test_undefine_fails(void **state) {
        Request r = request_for(REQUEST_UNDEFINE, NULL);

        (void) state;

        tree_put(FILE_A, EMPTY);
        tree_mkdir(TOP P2 "/" UUID_A);
        set_parents(&r, LIST(P1, P2, "matrix"));
        perform(&r, -EBADF,
                        "definition 00 " P1 " " TYPE "\ninvalid /" TOP P2 "/" UUID_A
                        ": not a regular file\ndefinition 00 matrix (none)\nresult\n");
        assert_result(FAILURE_STORE, EISDIR, false);
        assert_string_equal(told.failure.subject, "/" TOP P2 "/" UUID_A);
        assert_file(FILE_A, EMPTY);
}

/* Looking */

static void test_look(void **state) {
        Request r = request_for(REQUEST_LOOK, NULL);

        (void) state;

        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_NONE, 0, false);

        host_device(P1, UUID_A, TYPE);
        tree_put(FILE_A, EMPTY);
        tree_put(TOP P1 "/" UUID_B, EMPTY);
        tree_put(TOP P1 "/README", "");
        r = request_for(REQUEST_LOOK, NULL);
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\ndefinition 00 " P1 " " TYPE "\nresult\n");
        tree_remove(BUS UUID_A);
        tree_put(FILE_A, "{}");
        r = request_for(REQUEST_LOOK, NULL);
        r.path = strdup("/" DEVICE);
        perform(&r, -EBADF,
                        "sighting leaving " P1 " \ninvalid /" FILE_A
                        ": \"mdev_type\" is missing or not a string\nresult\n");
        assert_result(FAILURE_NONE, 0, false);

        /* Of the device it tells all the same. */
        tree_remove(FILE_A);
        tree_remove("etc/mdevctl.d");
        tree_put("etc/mdevctl.d", "no directory");
        r = request_for(REQUEST_LOOK, NULL);
        r.path = strdup("/" DEVICE);
        perform(&r, -EBADF, "sighting leaving " P1 " \nresult\n");
        assert_result(FAILURE_STORE, ENOTDIR, false);
        assert_string_equal(told.failure.subject, "/etc/mdevctl.d");
}

/* Who holds the lock is waited for: what it makes meanwhile is seen. */
static void test_look_waits(void **state) {
        Request r = request_for(REQUEST_LOOK, NULL);
        int gate[2], fd, status;
        bool found = false;
        pid_t pid;
        char c;

        (void) state;

        tree_put("lock", "");
        assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                fd = openat(tree_fd, "lock", O_RDWR | O_CLOEXEC);
                if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || write(gate[1], "x", 1) != 1)
                        _exit(1);

                /* Until the other is seen to wait for it; then the device comes, and the lock goes. */
                for (double end = seconds_now() + WAIT_SECONDS; seconds_now() < end && !found;
                                (void) poll(NULL, 0, 1)) {
                        _cleanup_(freep) char *locks = NULL;
                        char waiting[64];
                        size_t size = 0;
                        FILE *f = fopen("/proc/locks", "re");

                        (void) snprintf(waiting, sizeof waiting, "-> FLOCK  ADVISORY  WRITE %d ",
                                        (int) getppid());
                        if (!f)
                                _exit(2);
                        while (getline(&locks, &size, f) > 0 && !found)
                                found = strstr(locks, waiting) != NULL;
                        (void) fclose(f);
                        if (found)
                                host_device(P1, UUID_A, TYPE);
                }
                _exit(found ? 0 : 3);
        }

        assert_int_equal(read(gate[0], &c, 1), 1);
        fd = openat(tree_fd, "lock", O_RDONLY | O_CLOEXEC);
        perform(&r, fd, "sighting present " P1 " " TYPE "\nresult\n");
        assert_int_equal(fcntl(fd, F_GETFD), -1); /* consumed */
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        (void) close(gate[0]);
        (void) close(gate[1]);
}

/* A lock is let go before the result is told, and not before the effect is over. */
static int lock_probe_fd, lock_states[8];
static unsigned n_lock_states;

static int on_emit_lock(const Frame *frame, void *userdata) {
        (void) frame;
        (void) userdata;

        lock_states[n_lock_states++] = flock(lock_probe_fd, LOCK_EX | LOCK_NB) >= 0;
        (void) flock(lock_probe_fd, LOCK_UN);
        return 0;
}

static void on_create_lock(void) {
        (void) on_emit_lock(NULL, NULL);
}

static void test_lock(void **state) {
        Request r = request_for(REQUEST_CREATE, NULL);
        int fd;

        (void) state;

        tree_put("lock", "");
        fd = openat(tree_fd, "lock", O_RDWR | O_CLOEXEC);
        lock_probe_fd = openat(tree_fd, "lock", O_RDWR | O_CLOEXEC);
        assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
        kernel.on_create = on_create_lock;
        n_lock_states = 0;
        effect_perform(tree_fd, &r, fd, on_emit_lock, NULL);
        request_done(&r);

        /* During create, at the sighting, at the result. */
        assert_int_equal(n_lock_states, 3);
        assert_false(lock_states[0]);
        assert_false(lock_states[1]);
        assert_true(lock_states[2]);
        (void) close(lock_probe_fd);
}

/* Scanning */

static int line_order(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static void assert_scan(const char *const *expected) {
        Request r = { .kind = REQUEST_SCAN, .op = 4711 };
        char *lines[32], *rest = told.text;
        size_t n = 0;

        told.text[0] = '\0';
        effect_perform(tree_fd, &r, -EBADF, on_emit, &told);
        while (n < ELEMENTSOF(lines) && (lines[n] = strsep(&rest, "\n")) && *lines[n])
                n++;
        assert_true(n > 0);
        assert_string_equal(lines[n - 1], "result"); /* the last */
        n--;
        qsort(lines, n, sizeof *lines, line_order);
        for (size_t i = 0; i < n; i++) {
                assert_non_null(expected[i]);
                assert_string_equal(lines[i], expected[i]);
        }
        assert_null(expected[n]);
}

static void test_scan_files(void **state) {
        (void) state;

        assert_scan(LIST());
        tree_put(FILE_A, EMPTY);
        tree_put(TOP P2 "/" UUID_A, EMPTY);
        tree_put(TOP P2 "/" UUID_B, "{\n  \"mdev_type\": 5\n}");
        tree_put(TOP P2 "/\xff"
                        "x",
                        "");
        tree_put(TOP P2 "/h\xc3\xa9", "");
        tree_put(TOP ".mdevd-0123456789abcdef", "");
        tree_fifo(TOP P1 "/" UUID_C);
        assert_scan(LIST("definition 00 " P1 " " TYPE, "definition 00 " P2 " " TYPE,
                        "invalid /" TOP P1 "/" UUID_C ": not a regular file",
                        "invalid /" TOP P2 "/" UUID_B ": \"mdev_type\" is missing or not a string",
                        "invalid /" TOP P2 "/?x: the file's name is not a UUID",
                        "invalid /" TOP P2 "/h\xc3\xa9: the file's name is not a UUID"));
        assert_int_equal(told.failure.kind, FAILURE_NONE);
        assert_false(tree_has(TOP ".mdevd-0123456789abcdef"));
}

/* When nobody listens there is no use in going on; the result is told all the same. */
static void test_scan_unheard(void **state) {
        Request r = { .kind = REQUEST_SCAN, .op = 4711 };
        unsigned n = 0;

        (void) state;

        for (unsigned i = 0; i < 10; i++)
                tree_put(PATH(TOP P1 "/%08u-4455-6677-8899-aabbccddeeff", i), EMPTY);
        told.error = -EPIPE;
        effect_perform(tree_fd, &r, -EBADF, on_emit, &told);
        for (const char *p = told.text; (p = strstr(p, "definition")); p++)
                n++;
        assert_int_equal(n, 1);
        assert_int_equal(told.n_results, 1);
        assert_int_equal(told.failure.kind, FAILURE_STORE);
}

static void test_unheard_creation_goes_on(void **state) {
        Request r;

        (void) state;

        r = request_for(REQUEST_CREATE, LIST("a", "1"));
        kernel.attributes[0] = "a";
        told.error = -EPIPE;
        r.define = true;
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\ndefinition 00 " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, true);
        assert_true(tree_has(FILE_A));
}

/* What is to be written down is not begun; what is not, does not depend on the disk. */
static void test_store_broken(void **state) {
        Request defined = request_for(REQUEST_CREATE, NULL), transient = request_for(REQUEST_CREATE, NULL);

        (void) state;

        tree_put("etc/mdevctl.d", "no directory");
        defined.define = true;
        perform(&defined, -EBADF, "result\n");
        assert_result(FAILURE_STORE, ENOTDIR, false);
        assert_string_equal(told.failure.subject, "/etc/mdevctl.d");
        assert_string_equal(kernel.log, ""); /* nothing was tried */

        perform(&transient, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, true);
}

/* Types */

static void test_types(void **state) {
        Request r = { .kind = REQUEST_TYPES, .op = 4711 };

        (void) state;

        host_parent(P2);
        set_parents(&r, LIST(P1, "nowhere", P2));
        perform(&r, -EBADF, "types " P1 " " TYPE "=4\ntypes " P2 "\nresult\n");
        assert_int_equal(told.failure.kind, FAILURE_NONE);
}

/* Single places: a file in any form of its name, a directory, a device. Of what is not there nothing is told.
 */
static void test_scan_places(void **state) {
        Request r = { .kind = REQUEST_SCAN, .op = 4711 };

        (void) state;

        tree_put(FILE_A, "{ \"mdev_type\": \"" TYPE "\", \"start\": \"auto\" }");
        tree_put("etc/mdevctl.d/" P1 "/10112233445566778899AABBCCDDEEFF",
                        "{ \"mdev_type\": \"u\", \"start\": \"auto\" }");
        tree_put("etc/mdevctl.d/" P1 "/.swp", "");
        tree_put("etc/mdevctl.d/" P2 "/" UUID_A, "{");

        set_parents(&r, LIST(P1 "/" UUID_A, P2 "/" UUID_A, "nowhere/" UUID_A));
        perform(&r, -EBADF,
                        "definition 00 " P1 " " TYPE "\ninvalid /etc/mdevctl.d/" P2 "/" UUID_A
                        ": line 1, column 2: the text ends too early\nresult\n");

        r = (Request){ .kind = REQUEST_SCAN, .op = 4711 };
        set_parents(&r,
                        LIST(P1 "/10112233445566778899AABBCCDDEEFF", P1 "/.swp", P1 "/gone",
                                        P1 "/10112233-4455-6677-8899-aabbccddeeff"));
        perform(&r, -EBADF,
                        "definition 10 " P1 " u\ninvalid /etc/mdevctl.d/" P1
                        "/.swp: the file's name is not a UUID\ndefinition 10 " P1 " u\nresult\n");

        r = (Request){ .kind = REQUEST_SCAN, .op = 4711 };
        set_parents(&r, LIST("/" UUID_A, "nowhere/", P2 "/", "nonsense"));
        perform(&r, -EBADF, NULL);
        assert_non_null(strstr(told.text, "definition 00 " P1 " " TYPE "\n"));
        assert_int_equal(told.n_results, 1);

        /* Two files of one device: the usual form is what counts. */
        tree_put("etc/mdevctl.d/" P1 "/10112233-4455-6677-8899-aabbccddeeff",
                        "{ \"mdev_type\": \"v\", \"start\": \"auto\" }");
        r = (Request){ .kind = REQUEST_SCAN, .op = 4711 };
        set_parents(&r, LIST(P1 "/10112233445566778899AABBCCDDEEFF"));
        perform(&r, -EBADF, NULL);
        assert_non_null(strstr(told.text, "definition 10 " P1 " v\n"));
        assert_null(strstr(told.text, "definition 10 " P1 " u\n"));
        assert_non_null(strstr(told.text,
                        "invalid /etc/mdevctl.d/" P1
                        "/10112233445566778899AABBCCDDEEFF: another file of the same "
                        "device is there, under the UUID's usual form\n"));
}

/* Requests that lack what their kind needs are refused, and touch nothing. */
static void test_incomplete(void **state) {
        _cleanup_(freep) char *before = tree_snapshot(".");

        (void) state;

        for (int kind = 0; kind < _REQUEST_KIND_MAX; kind++)
                for (int lacks = 0; lacks < 2; lacks++) {
                        Request r = request_for((RequestKind) kind, NULL);
                        bool complete = kind == REQUEST_LOOK || kind == REQUEST_SCAN ||
                                        ((kind == REQUEST_REMOVE || kind == REQUEST_MODIFY) && lacks == 1);

                        assert_int_equal(free_and_strdup(lacks ? &r.definition.type : &r.definition.parent,
                                                         NULL),
                                        0);
                        if (complete) {
                                request_done(&r);
                                continue;
                        }
                        told.text[0] = '\0';
                        told.n_results = 0;
                        effect_perform(tree_fd, &r, -EBADF, on_emit, &told);
                        request_done(&r);
                        assert_int_equal(told.n_results, 1);
                        assert_non_null(strstr(told.text, "result\n"));
                        assert_int_equal(told.failure.kind, FAILURE_WORKER);
                        assert_string_equal(told.failure.detail, "incomplete request");
                        assert_string_equal(kernel.log, "");
                        assert_unchanged(".", before);
                }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_create),
                TEST(test_create_refused),
                TEST(test_create_refused_but_there),
                TEST(test_create_exists),
                TEST(test_create_attribute),
                TEST(test_create_rollback_fails),
                TEST(test_create_gone),
                TEST(test_create_gone_at_once),
                TEST(test_create_and_define),
                TEST(test_create_and_define_fails),
                TEST(test_create_without_sysfs),
                TEST(test_remove),
                TEST(test_remove_fails),
                TEST(test_remove_orphaned),
                TEST(test_remove_leaving),
                TEST(test_remove_in_use),
                TEST(test_remove_in_the_dark),
                TEST(test_remove_not_in_use),
                TEST(test_remove_of_another_parent),
                TEST(test_define),
                TEST(test_define_from_text),
                TEST(test_modify),
                TEST(test_modify_fails),
                TEST(test_undefine),
                TEST(test_undefine_fails),
                TEST(test_look),
                TEST(test_look_waits),
                TEST(test_lock),
                TEST(test_scan_files),
                TEST(test_scan_unheard),
                TEST(test_unheard_creation_goes_on),
                TEST(test_store_broken),
                TEST(test_types),
                TEST(test_scan_places),
                TEST(test_incomplete),
        };

        return cmocka_run_group_tests_name("effect", tests, NULL, NULL);
}

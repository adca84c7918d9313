/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kernel.h"

#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "host/driver.h"
#include "host/sysfs.h"

#define P1 "0000:3b:00.0"
#define P2 "0000:3b:00.4"
#define TYPE "nvidia-35"
#define CREATE DEVICES P1 "/mdev_supported_types/" TYPE "/create"
#define DEVICE DEVICES P1 "/" UUID_A

static void host(void) {
        host_parent(P1);
        host_type(P1, TYPE, "4\n");
}

/* Types */

static void assert_type(const Type *t, const char *name, const char *label, const char *api,
                const char *description, uint32_t available) {
        assert_string_equal(t->name, name);
        assert_string_equal(t->label, label);
        assert_string_equal(t->device_api, api);
        assert_string_equal(t->description, description);
        assert_int_equal(t->available_instances, available);
}

static void test_types(void **state) {
        _cleanup_(types_done) Types types = {};

        (void) state;

        host();
        host_type(P1, "nvidia-4", "0\n");
        host_type(P1, "a-1", "16\n");
        tree_put(DEVICES P1 "/mdev_supported_types/a-1/name", "  GRID A-1 \n");
        tree_put(DEVICES P1 "/mdev_supported_types/a-1/description", "\tlow_gm_size: 64MB\nweight: 2\n\n");
        assert_int_equal(driver_read_types(sys_fd, P1, &types), 0);
        assert_int_equal(types.n, 3);
        assert_type(&types.types[0], "a-1", "GRID A-1", "vfio-pci", "low_gm_size: 64MB\nweight: 2", 16);
        assert_type(&types.types[1], "nvidia-35", "", "vfio-pci", "", 4);
        assert_type(&types.types[2], "nvidia-4", "", "vfio-pci", "", 0);
}

/* One that says something odd, or nothing, hides no other. */
static void test_types_odd(void **state) {
        static const struct {
                const char *text;
                uint32_t n;
        } numbers[] = { { "", 0 }, { "\n", 0 }, { "x", 0 }, { "-1\n", 0 }, { "-2147483648", 0 },
                { " 7 \n", 7 }, { "4294967295", UINT32_MAX }, { "4294967296", UINT32_MAX },
                { "99999999999999999999999", UINT32_MAX }, { "3 of 4", 3 }, { "\xff", 0 } };
        _cleanup_(freep) char *large = calloc(1, 70000);
        Types types = {};

        (void) state;

        host();
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                tree_put(DEVICES P1 "/mdev_supported_types/" TYPE "/available_instances", numbers[i].text);
                assert_int_equal(driver_read_types(sys_fd, P1, &types), 0);
                assert_int_equal(types.types[0].available_instances, numbers[i].n);
                types_done(&types);
        }

        tree_put(DEVICES P1 "/mdev_supported_types/" TYPE "/description", "not UTF-8: \xc3");
        tree_put_bytes(DEVICES P1 "/mdev_supported_types/" TYPE "/name", large, 70000);
        tree_mkdir(DEVICES P1 "/mdev_supported_types/b/device_api");
        tree_link(CREATE, DEVICES P1 "/mdev_supported_types/b/name");
        tree_fifo(DEVICES P1 "/mdev_supported_types/b/description");
        tree_put(DEVICES P1 "/mdev_supported_types/z", "no directory");
        assert_int_equal(driver_read_types(sys_fd, P1, &types), 0);
        assert_int_equal(types.n, 3);
        assert_type(&types.types[0], "b", "", "", "", 0);
        assert_type(&types.types[1], TYPE, "", "vfio-pci", "", 0);
        assert_type(&types.types[2], "z", "", "", "", 0);
        types_done(&types);
}

static void test_types_none(void **state) {
        Types types = { .n = 4711 };

        (void) state;

        assert_int_equal(driver_read_types(sys_fd, P1, &types), -ENOENT);
        host_parent(P1);
        assert_int_equal(driver_read_types(sys_fd, "..", &types), -ENOENT);
        assert_int_equal(driver_read_types(sys_fd, "", &types), -ENOENT);
        assert_int_equal(driver_read_types(sys_fd, "../mdev_bus/" P1, &types), -ENOENT);
        assert_int_equal(types.n, 4711);
        assert_int_equal(driver_read_types(sys_fd, P1, &types), 0);
        assert_int_equal(types.n, 0);
        types_done(&types);
}

/* Creating */

static void assert_creates(const char *parent, const char *type, FailureKind kind, int error, int result) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Uuid u = uuid_of(UUID_A);

        assert_int_equal(driver_create(sys_fd, parent, type, &u, &f), result);
        assert_int_equal(f.kind, kind);
        assert_int_equal(f.error, error);
        if (kind == FAILURE_KERNEL)
                assert_string_equal(f.subject, "create");
}

static void test_create(void **state) {
        (void) state;

        host();
        assert_creates(P1, TYPE, FAILURE_NONE, 0, 0);
        assert_string_equal(kernel.log, "create " P1 " " TYPE " " UUID_A ";");
}

static void test_create_where(void **state) {
        (void) state;

        assert_creates(P1, TYPE, FAILURE_PARENT_ABSENT, 0, -ENXIO); /* nothing there at all */
        host();
        assert_creates(P2, TYPE, FAILURE_PARENT_ABSENT, 0, -ENXIO);
        assert_creates("scripts.d", TYPE, FAILURE_PARENT_ABSENT, 0, -ENXIO);
        assert_creates("", TYPE, FAILURE_NO_SUCH_TYPE, 0, -ENOENT);
        assert_creates(P1, "nvidia-36", FAILURE_NO_SUCH_TYPE, 0, -ENOENT);
        assert_creates(P1, "../mdev_supported_types/" TYPE, FAILURE_KERNEL, ENOENT, -ENOENT);
        tree_mkdir(DEVICES P1 "/mdev_supported_types/half");
        assert_creates(P1, "half", FAILURE_KERNEL, ENOENT, -ENOENT); /* going, or coming */
        tree_remove(DEVICES P1 "/mdev_supported_types");
        assert_creates(P1, TYPE, FAILURE_NO_SUCH_TYPE, 0, -ENOENT);
        tree_remove(DEVICES P1); /* the link is there still */
        assert_creates(P1, TYPE, FAILURE_NO_SUCH_TYPE, 0, -ENOENT);
        assert_string_equal(kernel.log, "");
}

static void parent_goes(void) {
        tree_remove(CLASS P1);
}

static void type_goes(void) {
        tree_remove(DEVICES P1 "/mdev_supported_types");
}

/* What an errno of the driver's means. */
static void test_create_errors(void **state) {
        static const struct {
                int error;
                const char *available;
                void (*on_create)(void);
                FailureKind kind;
                int failure_error;
                int result;
        } cases[] = {
                { EEXIST, "4", NULL, FAILURE_EXISTS_IN_KERNEL, EEXIST, EEXIST },
                { ENOSPC, "4", NULL, FAILURE_NO_CAPACITY, ENOSPC, ENOSPC },
                { EUSERS, "4", NULL, FAILURE_NO_CAPACITY, EUSERS, EUSERS },
                { ENOMEM, "0\n", NULL, FAILURE_NO_CAPACITY, ENOMEM, ENOMEM },
                { ENOMEM, "-1\n", NULL, FAILURE_NO_CAPACITY, ENOMEM, ENOMEM },
                { ENOMEM, "1\n", NULL, FAILURE_KERNEL, ENOMEM, ENOMEM },
                { ENOMEM, "10\n", NULL, FAILURE_KERNEL, ENOMEM, ENOMEM },
                { EPERM, "0\n", NULL, FAILURE_NO_CAPACITY, EPERM, EPERM },
                { EPERM, "1\n", NULL, FAILURE_KERNEL, EPERM, EPERM },
                { ENODEV, "4", NULL, FAILURE_KERNEL, ENODEV, ENODEV },
                { ENODEV, "4", parent_goes, FAILURE_PARENT_ABSENT, 0, ENXIO },
                { ENODEV, "4", type_goes, FAILURE_NO_SUCH_TYPE, 0, ENOENT },
                { ENOENT, "4", parent_goes, FAILURE_PARENT_ABSENT, 0, ENXIO },
                { EIO, "4", parent_goes, FAILURE_KERNEL, EIO, EIO },
                { EBUSY, "0", NULL, FAILURE_KERNEL, EBUSY, EBUSY },
                { EAGAIN, "4", NULL, FAILURE_KERNEL, EAGAIN, EAGAIN },
                { EINVAL, "4", NULL, FAILURE_KERNEL, EINVAL, EINVAL },
                { EINTR, "4", NULL, FAILURE_KERNEL, EINTR, EINTR },
                { 512, "4", NULL, FAILURE_KERNEL, 512, 512 },
                { 524, "4", NULL, FAILURE_KERNEL, 524, 524 },
        };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                host();
                tree_put(DEVICES P1 "/mdev_supported_types/" TYPE "/available_instances", cases[i].available);
                kernel.log[0] = '\0';
                kernel.create_error = cases[i].error;
                kernel.on_create = cases[i].on_create;
                assert_creates(P1, TYPE, cases[i].kind, cases[i].failure_error, -cases[i].result);
                assert_string_equal(kernel.log, "create " P1 " " TYPE " " UUID_A ";"); /* once */
                tree_remove("sys/class");
                tree_remove("sys/devices");
        }
}

static void test_create_short(void **state) {
        (void) state;

        host();
        kernel.short_write = true;
        assert_creates(P1, TYPE, FAILURE_KERNEL, EIO, -EIO);
}

/* A link is not followed, not even to where a test would like it. */
static void test_create_link(void **state) {
        (void) state;

        host();
        tree_remove(CREATE);
        tree_link("/dev/full", CREATE);
        assert_creates(P1, TYPE, FAILURE_KERNEL, ELOOP, -ELOOP);
        tree_remove(CREATE);
        tree_mkdir(CREATE);
        assert_creates(P1, TYPE, FAILURE_KERNEL, EISDIR, -EISDIR);
}

static void test_create_full(void **state) {
        int fd;

        (void) state;

        host();
        tree_remove(CREATE);
        if (mknodat(tree_fd, CREATE, S_IFCHR | 0666, makedev(1, 7)) < 0)
                skip(); /* only root can */
        fd = openat(tree_fd, CREATE, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                skip(); /* mounted "nodev" */
        (void) close(fd);
        kernel.is_off = true;
        assert_creates(P1, TYPE, FAILURE_NO_CAPACITY, ENOSPC, -ENOSPC);
}

/* A slow driver is waited for, and what it reads is the UUID in the kernel's form and nothing else. */
static void test_create_slow(void **state) {
        char text[64] = "";
        int gate[2], fd, status;
        ssize_t n;
        pid_t pid;

        (void) state;

        host();
        tree_remove(CREATE);
        tree_fifo(CREATE);
        assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                Failure f = FAILURE_INIT;
                Uuid u = uuid_of(UUID_A);
                int r;

                kernel.is_off = true;
                r = driver_create(sys_fd, P1, TYPE, &u, &f);
                _exit(r == 0 && __real_write(gate[1], "x", 1) == 1 ? 0 : 1);
        }

        fd = openat(tree_fd, CREATE, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        n = read(fd, text, sizeof text);
        assert_int_equal(n, 36);
        assert_string_equal(text, UUID_A);
        assert_int_equal(read(fd, text, sizeof text), 0);
        assert_int_equal(read(gate[0], text, 1), 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        (void) close(fd);
        (void) close(gate[0]);
        (void) close(gate[1]);
}

/* Attributes */

static int write_attributes(const char *const *list, Failure *f) {
        _cleanup_(attributes_done) Attributes a = {};
        Uuid u = uuid_of(UUID_A);

        for (; *list; list += 2)
                assert_int_equal(attributes_append(&a, list[0], list[1]), 0);
        return driver_write_attributes(sys_fd, P1, &u, &a, f);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void assert_attribute_fails(const char *const *list, uint32_t index, const char *name, int error) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;

        assert_int_equal(write_attributes(list, &f), -error);
        assert_int_equal(f.kind, FAILURE_ATTRIBUTE);
        assert_int_equal(f.index, index);
        assert_string_equal(f.subject, name);
        assert_int_equal(f.error, error);
}

static void device(void) {
        host();
        host_device(P1, UUID_A, TYPE);
        tree_put(DEVICE "/a", "");
        tree_put(DEVICE "/b", "");
        tree_put(DEVICE "/group/c", "");
        tree_put(DEVICE "/group/deeper/d", "");
}

static void test_attributes(void **state) {
        static char longest[4096];
        Failure f = FAILURE_INIT;

        (void) state;

        device();
        memset(longest, 'v', sizeof longest - 1);
        assert_int_equal(write_attributes(LIST("b", "1", "a", "", "b", "2\n", "group/c", " 3 ",
                                                          "group/deeper/d", "4"),
                                         &f),
                        0);
        assert_string_equal(kernel.log,
                        "attribute b=1;attribute a=;attribute b=2\n;attribute group/c= 3 ;"
                        "attribute group/deeper/d=4;");
        assert_file(DEVICE "/a", "");
        assert_file(DEVICE "/b", "2\n");
        assert_file(DEVICE "/group/c", " 3 ");
        assert_int_equal(write_attributes(LIST("a", longest), &f), 0);
        assert_file(DEVICE "/a", longest);
        assert_int_equal(f.kind, FAILURE_NONE);
}

static void test_attributes_fail(void **state) {
        (void) state;

        device();
        tree_put("sys/outside", "");
        tree_link("../../../outside", DEVICE "/link");
        tree_link("a", DEVICE "/link-within");
        tree_link("group", DEVICE "/linked-group");
        tree_link("..", DEVICE "/group/up");

        assert_attribute_fails(LIST("a", "1", "b", "2", "missing", "3", "a", "4"), 2, "missing", ENOENT);
        assert_file(DEVICE "/a", "1");
        assert_file(DEVICE "/b", "2");
        assert_attribute_fails(LIST("missing/x", "1"), 0, "missing/x", ENOENT);
        assert_attribute_fails(LIST("a/x", "1"), 0, "a/x", ENOTDIR);
        assert_attribute_fails(LIST("group", "1"), 0, "group", EISDIR);
        assert_attribute_fails(LIST("link", "1"), 0, "link", ELOOP);
        assert_attribute_fails(LIST("a", "5", "link-within", "1"), 1, "link-within", ELOOP);
        assert_attribute_fails(LIST("linked-group/c", "1"), 0, "linked-group/c", ENOTDIR);
        assert_attribute_fails(LIST("group/up/a", "1"), 0, "group/up/a", ENOTDIR);
        assert_file("sys/outside", "");
        assert_file(DEVICE "/a", "5");

        kernel.bad_attribute = "b";
        kernel.attribute_error = EADDRINUSE;
        assert_attribute_fails(LIST("a", "6", "b", "1", "group/c", "never"), 1, "b", EADDRINUSE);
        assert_file(DEVICE "/group/c", "");
        kernel.short_write = true;
        assert_attribute_fails(LIST("a", "12"), 0, "a", EIO);
}

/* Names that no list can have, should one have them all the same. */
static void test_attributes_bad_names(void **state) {
        static const char *const names[] = { "../a", "/etc/x", "remove", "mdev_type/create", "uevent", "." };
        Uuid u = uuid_of(UUID_A);

        (void) state;

        device();
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(failure_done) Failure f = FAILURE_INIT;
                char data[64];
                Attributes a = { .data = data, .n = 1 };

                a.size = (uint32_t) (stpcpy(stpcpy(data, names[i]) + 1, "1") + 1 - data);
                assert_int_equal(driver_write_attributes(sys_fd, P1, &u, &a, &f), -EINVAL);
                assert_int_equal(f.kind, FAILURE_ATTRIBUTE);
                assert_string_equal(f.subject, names[i]);
        }
        assert_string_equal(kernel.log, "");
}

static void test_attributes_denied(void **state) {
        (void) state;

        device();
        tree_chmod(DEVICE "/b", 0444);
        if (geteuid() == 0) {
                tree_chmod(DEVICE "/a", 0666);
                assert_int_equal(seteuid(65534), 0);
        }
        assert_attribute_fails(LIST("a", "1", "b", "2"), 1, "b", EACCES);
        if (getuid() == 0)
                assert_int_equal(seteuid(0), 0);
}

static void test_attributes_without_device(void **state) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        const Attributes none = {};
        Uuid u = uuid_of(UUID_A);

        (void) state;

        host();
        assert_int_equal(driver_write_attributes(sys_fd, P1, &u, &none, &f), 0); /* nothing to do */
        assert_int_equal(write_attributes(LIST("a", "1"), &f), -ENODEV);
        assert_int_equal(f.kind, FAILURE_KERNEL);
        assert_int_equal(f.error, ENODEV);
        host_parent(P2);
        host_device(P2, UUID_A, TYPE);
        tree_put(DEVICES P2 "/" UUID_A "/a", "");
        assert_int_equal(write_attributes(LIST("a", "1"), &f), -ESTALE);
        assert_file(DEVICES P2 "/" UUID_A "/a", "");
}

/* Removing */

static void assert_removes(const char *parent, FailureKind kind, int error, int result) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Uuid u = uuid_of(UUID_A);

        assert_int_equal(driver_remove(sys_fd, parent, &u, &f), result);
        assert_int_equal(f.kind, kind);
        assert_int_equal(f.error, error);
        if (kind == FAILURE_KERNEL)
                assert_string_equal(f.subject, "remove");
}

static void test_remove(void **state) {
        (void) state;

        host();
        assert_removes(P1, FAILURE_NONE, 0, -ENODEV);
        host_device(P1, UUID_A, TYPE);
        host_device(P1, UUID_B, TYPE);
        assert_removes(P1, FAILURE_NONE, 0, 0);
        assert_string_equal(kernel.log, "remove " P1 " " UUID_A ";");
        assert_false(tree_has(DEVICE));
        assert_true(tree_has(DEVICES P1 "/" UUID_B));
        assert_removes(P1, FAILURE_NONE, 0, -ENODEV);
}

/* The same UUID elsewhere is not the device that was meant. */
static void test_remove_other_parent(void **state) {
        (void) state;

        host();
        host_parent(P2);
        host_device(P2, UUID_A, TYPE);
        assert_removes(P1, FAILURE_CHANGED_MEANWHILE, 0, -EAGAIN);
        assert_string_equal(kernel.log, "");
        assert_true(tree_has(DEVICES P2 "/" UUID_A "/remove"));
}

static void test_remove_fails(void **state) {
        static const int errors[] = { EAGAIN, ENODEV, EBUSY, EINVAL };

        (void) state;

        host();
        host_device(P1, UUID_A, TYPE);
        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                kernel.remove_error = errors[i];
                assert_removes(P1, errors[i] == EBUSY ? FAILURE_IN_USE : FAILURE_KERNEL, errors[i],
                                -errors[i]);
        }

        kernel.remove_error = 0;
        tree_remove(DEVICE "/remove");
        assert_removes(P1, FAILURE_KERNEL, ENOENT, -ENOENT);
        tree_put("sys/outside", "");
        tree_link("../../../outside", DEVICE "/remove");
        assert_removes(P1, FAILURE_KERNEL, ELOOP, -ELOOP);
        assert_file("sys/outside", "");
        tree_remove(DEVICE);
        assert_removes(P1, FAILURE_NONE, 0, -ENODEV); /* a link to nothing */
        tree_remove(BUS UUID_A);
        tree_link("/etc", BUS UUID_A);
        assert_removes(P1, FAILURE_KERNEL, EINVAL, -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, kernel_setup, tree_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_types),
                TEST(test_types_odd),
                TEST(test_types_none),
                TEST(test_create),
                TEST(test_create_where),
                TEST(test_create_errors),
                TEST(test_create_short),
                TEST(test_create_link),
                TEST(test_create_full),
                TEST(test_create_slow),
                TEST(test_attributes),
                TEST(test_attributes_fail),
                TEST(test_attributes_bad_names),
                TEST(test_attributes_denied),
                TEST(test_attributes_without_device),
                TEST(test_remove),
                TEST(test_remove_other_parent),
                TEST(test_remove_fails),
        };

        return cmocka_run_group_tests_name("driver", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "looks.h"
#include "tree.h"

#include "host/sysfs.h"
#include "model/name.h"

#define P1 "0000:3b:00.0"
#define P2 "0000:3b:00.4"
#define PATH_A "/" DEVICES P1 "/" UUID_A

static void assert_sighting(const char *last_path, Presence presence, const char *parent, const char *path,
                const char *type, int group) {
        _cleanup_(sighting_done) Sighting s = SIGHTING_INIT;
        Uuid u = uuid_of(UUID_A);

        /* What was in it goes, also what the next look does not fill in. */
        s.type = strdup("old");
        s.parent = strdup("old");
        s.path = strdup("old");
        s.iommu_group = 4711;
        s.presence = PRESENCE_ORPHAN;
        assert_int_equal(sysfs_probe(sys_fd, &u, last_path, &s), 0);
        assert_int_equal(s.presence, presence);
        assert_streq_ptr(s.parent, parent);
        assert_streq_ptr(s.path, path);
        assert_streq_ptr(s.type, type);
        assert_int_equal(s.iommu_group, group);
}

/* Devices */

static void test_absent(void **state) {
        (void) state;

        assert_sighting(NULL, PRESENCE_ABSENT, NULL, NULL, NULL, -1); /* no mdev core at all */
        tree_mkdir(BUS);
        assert_sighting(NULL, PRESENCE_ABSENT, NULL, NULL, NULL, -1);
        assert_sighting(PATH_A, PRESENCE_ABSENT, NULL, NULL, NULL, -1);
        host_parent(P1);
        host_device(P1, UUID_B, "t-1");
        assert_sighting(PATH_A, PRESENCE_ABSENT, NULL, NULL, NULL, -1);
}

static void test_life(void **state) {
        (void) state;

        host_parent(P1);
        host_type(P1, "t-1", "4\n");

        /* As it comes … */
        tree_put(DEVICES P1 "/" UUID_A "/remove", "");
        assert_sighting(NULL, PRESENCE_ABSENT, NULL, NULL, NULL, -1);
        tree_link("../../../devices/pci0000:3a/" P1 "/" UUID_A, BUS UUID_A);
        assert_sighting(NULL, PRESENCE_ARRIVING, P1, PATH_A, NULL, -1);
        tree_link("../../../../kernel/iommu_groups/17", DEVICES P1 "/" UUID_A "/iommu_group");
        assert_sighting(NULL, PRESENCE_ARRIVING, P1, PATH_A, NULL, 17);
        tree_link("../mdev_supported_types/t-1", DEVICES P1 "/" UUID_A "/mdev_type");
        assert_sighting(NULL, PRESENCE_PRESENT, P1, PATH_A, "t-1", 17);
        assert_sighting(PATH_A, PRESENCE_PRESENT, P1, PATH_A, "t-1", 17);

        /* … and goes. */
        tree_remove(DEVICES P1 "/" UUID_A "/remove");
        assert_sighting(PATH_A, PRESENCE_ORPHAN, P1, PATH_A, "t-1", 17);
        tree_remove(DEVICES P1 "/" UUID_A "/mdev_type");
        assert_sighting(PATH_A, PRESENCE_ARRIVING, P1, PATH_A, NULL, 17);
        tree_remove(BUS UUID_A);
        assert_sighting(PATH_A, PRESENCE_LEAVING, P1, PATH_A, NULL, -1);
        assert_sighting(NULL, PRESENCE_ABSENT, NULL, NULL, NULL, -1); /* nobody knows where to look */
        tree_remove(DEVICES P1 "/" UUID_A);
        assert_sighting(PATH_A, PRESENCE_ABSENT, NULL, NULL, NULL, -1);
}

/* It is where the bus says, not where it once was. */
static void test_moved(void **state) {
        (void) state;

        host_parent(P1);
        host_parent(P2);
        host_device(P2, UUID_A, "t-2");
        tree_mkdir(DEVICES P1 "/" UUID_A);
        assert_sighting(PATH_A, PRESENCE_PRESENT, P2, "/" DEVICES P2 "/" UUID_A, "t-2", -1);
}

/* A place that cannot be one is not looked at. */
static void test_last_path(void **state) {
        static const char *const paths[] = { "", "/", "/sys", "/sys/", "sys/devices/x", "/etc",
                "/sys/nowhere/x", "/sys/devices/file", "/sys/devices/link" };

        (void) state;

        tree_mkdir("etc");
        tree_mkdir(BUS);
        tree_put("sys/devices/file", "");
        tree_mkdir("sys/devices/x");
        tree_link("x", "sys/devices/link");
        for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                if (!streq(paths[i], "/sys/"))
                        assert_sighting(paths[i], PRESENCE_ABSENT, NULL, NULL, NULL, -1);
}

/* What the kernel never makes is not believed. */
static void test_odd_links(void **state) {
        static const char *const targets[] = { "/etc", "../../../../etc/passwd", "../../../class/x",
                "../../../devices/a/../../../etc", "devices", "x", "../.." };
        Sighting s = SIGHTING_INIT;
        Uuid u = uuid_of(UUID_A);

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
                tree_link(targets[i], BUS UUID_A);
                assert_int_equal(sysfs_probe(sys_fd, &u, PATH_A, &s), -EINVAL);
                assert_int_equal(s.presence, PRESENCE_UNKNOWN);
                assert_null(s.path);
                tree_remove(BUS UUID_A);
        }

        tree_put(BUS UUID_A, "no link");
        assert_int_equal(sysfs_probe(sys_fd, &u, NULL, &s), -EINVAL);
        tree_remove(BUS UUID_A);

        /* A link to nothing: gone while it was looked at, again and again. */
        tree_link("../../../devices/pci0000:3a/" P1 "/" UUID_A, BUS UUID_A);
        assert_int_equal(sysfs_probe(sys_fd, &u, NULL, &s), -EAGAIN);
        assert_int_equal(s.presence, PRESENCE_UNKNOWN);
        assert_null(s.path);
        assert_null(s.parent);

        assert_int_equal(sysfs_probe(-EBADF, &u, NULL, &s), -EBADF);
        assert_int_equal(s.presence, PRESENCE_UNKNOWN);
}

static void assert_device_path(const char *parent, int result, const char *expected) {
        char path[SYSFS_PATH_MAX] = "";
        Uuid u = uuid_of(UUID_A);

        assert_int_equal(sysfs_device_path(sys_fd, parent, &u, path), result);
        if (expected)
                assert_string_equal(path, expected);
}

static void test_device_path(void **state) {
        (void) state;

        assert_device_path(P1, -ENODEV, NULL);
        host_parent(P1);
        host_parent(P2);
        tree_mkdir(DEVICES P1 "/" UUID_A); /* one that is leaving is not on the bus */
        assert_device_path(P1, -ENODEV, NULL);
        host_device(P1, UUID_A, "t-1");
        assert_device_path(P1, 0, "devices/pci0000:3a/" P1 "/" UUID_A);
        assert_device_path(P2, -ESTALE, NULL);
        assert_device_path("0000:3b:00", -ESTALE, NULL);
        assert_device_path("", -ESTALE, NULL);
        tree_remove(BUS UUID_A);
        tree_link("/etc", BUS UUID_A);
        assert_device_path(P1, -EINVAL, NULL);
}

static void test_exists(void **state) {
        static char name[2 * SYSFS_PATH_MAX];

        (void) state;

        tree_link("nowhere", "sys/a/dangling");
        tree_put("sys/a/file", "");
        assert_true(sysfs_exists(sys_fd, "a", "file"));
        assert_true(sysfs_exists(sys_fd, "a", "dangling"));
        assert_false(sysfs_exists(sys_fd, "a", "b"));
        assert_false(sysfs_exists(sys_fd, "b", "file"));
        memset(name, 'x', sizeof name - 1);
        assert_false(sysfs_exists(sys_fd, "a", name));
}

/* Lists */

static int uuid_compare(const void *a, const void *b) {
        return uuid_order(a, b);
}

static void assert_uuids(int r, Uuid *uuids, size_t n, const char *const *expected) {
        size_t n_expected = 0;

        assert_int_equal(r, 0);
        while (expected[n_expected])
                n_expected++;
        assert_int_equal(n, n_expected);
        if (n > 0)
                qsort(uuids, n, sizeof *uuids, uuid_compare);
        for (size_t i = 0; i < n; i++)
                assert_string_equal(UUID_TEXT(&uuids[i]), expected[i]);
        free(uuids);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void assert_devices(const char *const *expected) {
        Uuid *uuids = NULL;
        size_t n = 4711;
        int r = sysfs_list_devices(sys_fd, &uuids, &n);

        assert_uuids(r, uuids, n, expected);
}

static void assert_children(const char *path, const char *const *expected) {
        Uuid *uuids = NULL;
        size_t n = 4711;
        int r = sysfs_list_children(sys_fd, path, &uuids, &n);

        assert_uuids(r, uuids, n, expected);
}

static void test_list_devices(void **state) {
        Uuid *uuids = NULL;
        size_t n = 4711;

        (void) state;

        assert_devices(LIST());
        host_parent(P1);
        host_parent(P2);
        tree_mkdir(BUS);
        assert_devices(LIST());
        host_device(P1, UUID_C, "t-1");
        host_device(P2, UUID_A, "t-1");
        host_arriving(P2, UUID_B);
        tree_link("nowhere", BUS "no-uuid");
        tree_link("nowhere", BUS "00112233-4455-6677-8899-AABBCCDDEEFF");
        assert_devices(LIST(UUID_A, UUID_B, UUID_C));

        assert_children("/" DEVICES P1, LIST(UUID_C));
        assert_children("/" DEVICES P2, LIST(UUID_A, UUID_B));
        tree_remove(BUS UUID_A); /* leaving */
        assert_children("/" DEVICES P2, LIST(UUID_A, UUID_B));
        assert_children("/sys/devices/nowhere", LIST());
        assert_int_equal(sysfs_list_children(sys_fd, DEVICES P1, &uuids, &n), -EINVAL);
        assert_int_equal(sysfs_list_children(sys_fd, "/etc", &uuids, &n), -EINVAL);
        assert_int_equal(sysfs_list_devices(-EBADF, &uuids, &n), -EBADF);
        assert_null(uuids);
        assert_int_equal(n, 4711);
}

static void test_list_many(void **state) {
        Uuid *uuids = NULL;
        size_t n = 0;

        (void) state;

        for (unsigned i = 0; i < 300; i++)
                tree_link("x", PATH(BUS "%08x-0000-0000-0000-000000000000", i));
        assert_int_equal(sysfs_list_devices(sys_fd, &uuids, &n), 0);
        assert_int_equal(n, 300);
        qsort(uuids, n, sizeof *uuids, uuid_compare);
        for (unsigned i = 0; i < 300; i++)
                assert_int_equal(uuids[i].bytes[3] + 256 * uuids[i].bytes[2], i);
        free(uuids);
}

static int name_compare(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static void assert_names(int r, char **names, const char *const *expected) {
        size_t n = 0, n_expected = 0;

        assert_int_equal(r, 0);
        while (names && names[n])
                n++;
        while (expected[n_expected])
                n_expected++;
        if (n > 0)
                qsort(names, n, sizeof *names, name_compare);
        for (size_t i = 0; i < MIN(n, n_expected); i++)
                assert_string_equal(names[i], expected[i]);
        assert_int_equal(n, n_expected);
        (void) strv_free(names);
}

#define ASSERT_NAMES(call, ...)                             \
        do {                                                \
                char **names = NULL;                        \
                int _r = (call);                            \
                assert_names(_r, names, LIST(__VA_ARGS__)); \
        } while (0)

static void test_list_parents(void **state) {
        char **untouched = NULL;

        (void) state;

        ASSERT_NAMES(sysfs_list_parents(sys_fd, &names));
        tree_mkdir(CLASS);
        ASSERT_NAMES(sysfs_list_parents(sys_fd, &names));
        host_parent(P2);
        host_parent(P1);
        host_parent("matrix");
        tree_link("x", CLASS "bad\nname");
        tree_link("x", CLASS "\xff");
        ASSERT_NAMES(sysfs_list_parents(sys_fd, &names), P1, P2, "matrix");
        assert_int_equal(sysfs_list_parents(-EBADF, &untouched), -EBADF);
        assert_null(untouched);
}

static void test_list_types(void **state) {
        (void) state;

        ASSERT_NAMES(sysfs_list_types(sys_fd, P1, &names));
        host_parent(P1);
        ASSERT_NAMES(sysfs_list_types(sys_fd, P1, &names));
        host_type(P1, "t-10", "1");
        host_type(P1, "t-2", "1");
        tree_mkdir(DEVICES P1 "/mdev_supported_types/\xfe");
        ASSERT_NAMES(sysfs_list_types(sys_fd, P1, &names), "t-10", "t-2");
        tree_remove(DEVICES P1 "/mdev_supported_types");
        ASSERT_NAMES(sysfs_list_types(sys_fd, P1, &names));
}

/* A list that ends early is no list. */
static void test_list_fails(void **state) {
        char *untouched[] = { NULL }, **names = untouched;
        Uuid u, *uuids = &u;
        size_t n = 4711;

        (void) state;

        host_parent(P1);
        host_type(P1, "t-1", "1");
        tree_mkdir(BUS);
        host_device(P1, UUID_A, "t-1");
        for (unsigned i = 0; i < 3; i++) {
                look_fails(i);
                assert_int_equal(sysfs_list_devices(sys_fd, &uuids, &n), -EIO);
                assert_true(look_failed());
                look_fails(i);
                assert_int_equal(sysfs_list_types(sys_fd, P1, &names), -EIO);
                assert_true(look_failed());
        }
        assert_ptr_equal(uuids, &u);
        assert_int_equal(n, 4711);
        assert_ptr_equal(names, untouched);
}

static void test_list_types_bound(void **state) {
        char **names = NULL;
        unsigned n = 0;

        (void) state;

        host_parent(P1);
        for (unsigned i = 0; i < TYPES_MAX + 10; i++)
                tree_mkdir(PATH(DEVICES P1 "/mdev_supported_types/t-%u", i));
        assert_int_equal(sysfs_list_types(sys_fd, P1, &names), 0);
        while (names[n])
                n++;
        assert_int_equal(n, TYPES_MAX);
        (void) strv_free(names);
}

/* Parents */

static void assert_parent(
                const char *name, bool present, const char *path, const char *driver, int numa_node) {
        _cleanup_(parent_sighting_done) ParentSighting s = { .numa_node = 4711 };

        s.driver = strdup("old");
        s.path = strdup("old");
        assert_int_equal(sysfs_probe_parent(sys_fd, name, &s), 0);
        assert_string_equal(s.name, name);
        assert_int_equal(s.present, present);
        assert_streq_ptr(s.path, path);
        assert_streq_ptr(s.driver, driver);
        assert_int_equal(s.numa_node, numa_node);
}

static void test_parent(void **state) {
        ParentSighting s = { .numa_node = -1 };

        (void) state;

        assert_parent(P1, false, NULL, NULL, -1);
        host_parent(P1);
        assert_parent(P1, true, "/" DEVICES P1, NULL, -1);
        tree_link("../../../bus/pci/drivers/nvidia", DEVICES P1 "/driver");
        assert_parent(P1, true, "/" DEVICES P1, "nvidia", -1);
        tree_put(DEVICES P1 "/numa_node", "1\n");
        assert_parent(P1, true, "/" DEVICES P1, "nvidia", 1);
        tree_put(DEVICES P1 "/numa_node", "-1\n");
        assert_parent(P1, true, "/" DEVICES P1, "nvidia", -1);
        tree_remove(DEVICES P1 "/driver");
        assert_parent(P1, true, "/" DEVICES P1, NULL, -1);
        tree_remove(CLASS P1);
        assert_parent(P1, false, NULL, NULL, -1);

        /* Not on this bus only. */
        tree_mkdir("sys/devices/vfio_ap/matrix");
        tree_link("../../devices/vfio_ap/matrix", CLASS "matrix");
        assert_parent("matrix", true, "/sys/devices/vfio_ap/matrix", NULL, -1);

        tree_link("/etc", CLASS "odd");
        assert_parent("odd", false, NULL, NULL, -1);
        assert_int_equal(sysfs_probe_parent(-EBADF, P1, &s), -EBADF);
        assert_null(s.name);
}

/* A physical function with three virtual ones, of which two are parents; and a card by itself. */
static void test_siblings(void **state) {
        char **names = NULL;

        (void) state;

        ASSERT_NAMES(sysfs_list_siblings(sys_fd, P1, &names));
        host_parent(P1);
        host_parent("0000:3b:00.5");
        host_parent("0000:3b:00.6");
        host_parent("0000:5e:00.0");
        tree_mkdir(DEVICES P2);
        for (unsigned i = 0; i < 3; i++) {
                tree_link(PATH("../0000:3b:00.%u", 4 + i), PATH(DEVICES P1 "/virtfn%u", i));
                tree_link("../" P1, PATH(DEVICES "0000:3b:00.%u/physfn", 4 + i));
        }

        ASSERT_NAMES(sysfs_list_siblings(sys_fd, P1, &names), "0000:3b:00.5", "0000:3b:00.6");
        ASSERT_NAMES(sysfs_list_siblings(sys_fd, "0000:3b:00.5", &names), P1, "0000:3b:00.6");
        ASSERT_NAMES(sysfs_list_siblings(sys_fd, "0000:3b:00.6", &names), P1, "0000:3b:00.5");
        ASSERT_NAMES(sysfs_list_siblings(sys_fd, "0000:5e:00.0", &names));
        ASSERT_NAMES(sysfs_list_siblings(sys_fd, P2, &names)); /* no parent now */

        tree_remove(CLASS P1);
        ASSERT_NAMES(sysfs_list_siblings(sys_fd, "0000:3b:00.5", &names), "0000:3b:00.6");
        assert_int_equal(sysfs_list_siblings(-EBADF, P1, &names), -EBADF);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_setup, tree_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_absent),
                TEST(test_life),
                TEST(test_moved),
                TEST(test_last_path),
                TEST(test_odd_links),
                TEST(test_device_path),
                TEST(test_exists),
                TEST(test_list_devices),
                TEST(test_list_many),
                TEST(test_list_parents),
                TEST(test_list_types),
                TEST(test_list_fails),
                TEST(test_list_types_bound),
                TEST(test_parent),
                TEST(test_siblings),
        };

        return cmocka_run_group_tests_name("sysfs", tests, NULL, NULL);
}

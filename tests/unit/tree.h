/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A directory of its own for each test, which stands for "/": the files that a test wants there, and sysfs as
 * the kernel lays it out, made by hand. Streams and not write(2) do it, because some tests put themselves in
 * front of write(2). */

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>

#include "model/uuid.h"

#define TREE_PATH_MAX 4096U

static char tree_root[64];
static int tree_fd = -EBADF; /* of the root */
static int sys_fd = -EBADF;  /* of "sys" in it */
static int tree_n_open;      /* descriptors, to find those that are left behind */

static inline int tree_count_open(void) {
        int n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static inline int tree_setup(void **state) {
        const char *tmp = getenv("TMPDIR");

        (void) state;

        (void) umask(022);
        (void) snprintf(tree_root, sizeof tree_root, "%.40s/test-mdevd-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        assert_non_null(mkdtemp(tree_root));
        assert_int_equal(chmod(tree_root, 0755), 0);
        tree_fd = open(tree_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(tree_fd >= 0);
        assert_int_equal(mkdirat(tree_fd, "sys", 0755), 0);
        sys_fd = openat(tree_fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(sys_fd >= 0);
        tree_n_open = tree_count_open();
        return 0;
}

static inline int tree_remove_one(const char *path, const struct stat *st, int type, struct FTW *walk) {
        (void) st;
        (void) type;
        (void) walk;

        return remove(path);
}

static inline void tree_remove(const char *path) {
        char whole[TREE_PATH_MAX];

        (void) snprintf(whole, sizeof whole, "%s/%s", tree_root, path);
        assert_int_equal(nftw(whole, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline int tree_teardown(void **state) {
        int n = tree_count_open();

        (void) state;

        sys_fd = safe_close(sys_fd);
        tree_fd = safe_close(tree_fd);
        if (nftw(tree_root, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
                return -1;
        if (n != tree_n_open)
                print_error("descriptors left open: %d\n", n - tree_n_open);
        return n == tree_n_open ? 0 : -1;
}

/* Makes the directories on the way to @path, and with @last that of the whole path. */
static inline void tree_make_directories(const char *path, bool last) {
        char copy[TREE_PATH_MAX];

        assert_true(strlen(path) < sizeof copy);
        strcpy(copy, path);
        for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                assert_true(mkdirat(tree_fd, copy, 0755) >= 0 || errno == EEXIST);
                *slash = '/';
        }
        if (last)
                assert_true(mkdirat(tree_fd, copy, 0755) >= 0 || errno == EEXIST);
}

static inline void tree_mkdir(const char *path) {
        tree_make_directories(path, true);
}

static inline void tree_put_bytes(const char *path, const void *data, size_t size) {
        FILE *f;
        int fd;

        tree_make_directories(path, false);
        fd = openat(tree_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        assert_true(fd >= 0);
        f = fdopen(fd, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(data, 1, size, f), size);
        assert_int_equal(fclose(f), 0);
}

static inline void tree_put(const char *path, const char *text) {
        tree_put_bytes(path, text, strlen(text));
}

static inline void tree_link(const char *target, const char *path) {
        tree_make_directories(path, false);
        assert_int_equal(symlinkat(target, tree_fd, path), 0);
}

static inline void tree_fifo(const char *path) {
        tree_make_directories(path, false);
        assert_int_equal(mkfifoat(tree_fd, path, 0644), 0);
}

static inline void tree_chmod(const char *path, mode_t mode) {
        assert_int_equal(fchmodat(tree_fd, path, mode, 0), 0);
}

static inline bool tree_has(const char *path) {
        struct stat st;

        return fstatat(tree_fd, path, &st, AT_SYMLINK_NOFOLLOW) >= 0;
}

static inline mode_t tree_mode(const char *path) {
        struct stat st;

        assert_int_equal(fstatat(tree_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
        return st.st_mode;
}

/* What is in a file, with a NUL behind it; free(). */
static inline char *tree_get(const char *path, size_t *ret_size) {
        int fd = openat(tree_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        char *text = NULL;
        size_t size = 0;
        FILE *f, *to;

        assert_true(fd >= 0);
        f = fdopen(fd, "r");
        to = open_memstream(&text, &size);
        assert_non_null(f);
        assert_non_null(to);
        for (int c; (c = fgetc(f)) != EOF;)
                (void) fputc(c, to);
        assert_int_equal(fclose(to), 0);
        (void) fclose(f);
        if (ret_size)
                *ret_size = size;
        return text;
}

static inline void assert_file(const char *path, const char *expected) {
        _cleanup_(freep) char *text = tree_get(path, NULL);

        assert_string_equal(text, expected);
}

static inline unsigned tree_count(const char *path) {
        int fd = openat(tree_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        unsigned n = 0;
        DIR *d;

        assert_true(fd >= 0);
        d = fdopendir(fd);
        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                n += !streq(e->d_name, ".") && !streq(e->d_name, "..");
        (void) closedir(d);
        return n;
}

/* All that is below a path, as text: names, modes, contents and where links lead. */
static inline void tree_describe(FILE *f, const char *path) {
        struct dirent **entries;
        int n = scandirat(tree_fd, path, &entries, NULL, alphasort);

        assert_true(n >= 0);
        for (int i = 0; i < n; i++) {
                char child[TREE_PATH_MAX], target[TREE_PATH_MAX];
                mode_t mode;
                ssize_t length;

                (void) snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name);
                if (streq(entries[i]->d_name, ".") || streq(entries[i]->d_name, "..")) {
                        free(entries[i]);
                        continue;
                }
                free(entries[i]);
                mode = tree_mode(child);
                fprintf(f, "%s %o", child, (unsigned) mode);
                if (S_ISLNK(mode)) {
                        length = readlinkat(tree_fd, child, target, sizeof target);
                        fprintf(f, " -> %.*s", (int) MAX(length, (ssize_t) 0), target);
                } else if (S_ISREG(mode) && faccessat(tree_fd, child, R_OK, AT_EACCESS) >= 0) {
                        _cleanup_(freep) char *text = tree_get(child, NULL);

                        fprintf(f, " %s", text);
                }
                fputc('\n', f);
                if (S_ISDIR(mode))
                        tree_describe(f, child);
        }
        free(entries);
}

static inline char *tree_snapshot(const char *path) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        if (tree_has(path))
                tree_describe(f, path);
        assert_int_equal(fclose(f), 0);
        return text;
}

#define assert_unchanged(path, before)                             \
        do {                                                       \
                _cleanup_(freep) char *_now = tree_snapshot(path); \
                assert_string_equal(_now, before);                 \
        } while (0)

/* sysfs */

#define UUID_A "00112233-4455-6677-8899-aabbccddeeff"
#define UUID_B "10112233-4455-6677-8899-aabbccddeeff"
#define UUID_C "20112233-4455-6677-8899-aabbccddeeff"

static inline Uuid uuid_of(const char *text) {
        Uuid uuid;

        assert_int_equal(uuid_from_text(text, &uuid), 0);
        return uuid;
}

#define PATH(...) path_of((char[TREE_PATH_MAX]){}, __VA_ARGS__)

__attribute__((format(printf, 2, 3))) static inline char *path_of(
                char buffer[static TREE_PATH_MAX], const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        assert_true(vsnprintf(buffer, TREE_PATH_MAX, format, ap) < (int) TREE_PATH_MAX);
        va_end(ap);
        return buffer;
}

#define BUS "sys/bus/mdev/devices/"
#define CLASS "sys/class/mdev_bus/"
#define DEVICES "sys/devices/pci0000:3a/"

/* A registered parent without types. */
static inline void host_parent(const char *name) {
        tree_mkdir(PATH(DEVICES "%s/mdev_supported_types", name));
        tree_link(PATH("../../devices/pci0000:3a/%s", name), PATH(CLASS "%s", name));
}

static inline void host_type(const char *parent, const char *type, const char *available) {
        tree_put(PATH(DEVICES "%s/mdev_supported_types/%s/available_instances", parent, type), available);
        tree_put(PATH(DEVICES "%s/mdev_supported_types/%s/device_api", parent, type), "vfio-pci\n");
        tree_put(PATH(DEVICES "%s/mdev_supported_types/%s/create", parent, type), "");
        tree_chmod(PATH(DEVICES "%s/mdev_supported_types/%s/create", parent, type), 0200);
}

/* A device in the order in which the kernel makes it, up to what its driver's probe sees. */
static inline void host_arriving(const char *parent, const char *uuid) {
        tree_put(PATH(DEVICES "%s/%s/remove", parent, uuid), "");
        tree_link(PATH("../../../devices/pci0000:3a/%s/%s", parent, uuid), PATH(BUS "%s", uuid));
}

static inline void host_device(const char *parent, const char *uuid, const char *type) {
        host_arriving(parent, uuid);
        tree_link(PATH("../mdev_supported_types/%s", type), PATH(DEVICES "%s/%s/mdev_type", parent, uuid));
}

static inline void host_remove_device(const char *parent, const char *uuid) {
        tree_remove(PATH(BUS "%s", uuid));
        tree_remove(PATH(DEVICES "%s/%s", parent, uuid));
}

/* Waiting: for a condition that another process brings about, with a bound that only a failure reaches. */

#define WAIT_SECONDS 60

static inline double seconds_now(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

#define WAIT_UNTIL(condition)                                                   \
        do {                                                                    \
                double _end = seconds_now() + WAIT_SECONDS;                     \
                while (!(condition)) {                                          \
                        if (seconds_now() > _end)                               \
                                fail_msg("waited in vain for: %s", #condition); \
                        (void) poll(NULL, 0, 1);                                \
                }                                                               \
        } while (0)

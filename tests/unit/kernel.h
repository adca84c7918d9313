/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A stand-in for the kernel: what is written to a "create" or "remove" of the tree is done before the
 * write(2) returns, as sysfs does it. Wants -Wl,--wrap=write. */

#include "tree.h"

typedef struct Kernel {
        char log[4096];      /* "create parent type uuid", "attribute name=value", "remove parent uuid" */
        int create_error;    /* errno that the next create gives */
        bool create_stays;   /* … but the device is there all the same */
        int remove_error;    /* errno that each remove gives; the device stays */
        bool remove_orphans; /* … without its "remove" */
        bool remove_leaves;  /* … off the bus, but with its directory */
        const char *bad_attribute; /* whose write gives @attribute_error */
        int attribute_error;
        const char *attributes[8]; /* regular files that a new device has, by name; NULL-terminated */
        bool short_write;          /* half of what is written is taken */
        bool is_off;               /* files are but files */
        void (*on_create)(void);   /* called while the driver "works" */
} Kernel;

static Kernel kernel;

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);

static inline void kernel_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void kernel_note(const char *format, ...) {
        size_t n = strlen(kernel.log);
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(kernel.log + n, sizeof kernel.log - n, format, ap);
        va_end(ap);
        n = strlen(kernel.log);
        (void) snprintf(kernel.log + n, sizeof kernel.log - n, ";");
}

/* "devices/pci0000:3a/<parent>/…" from a path in the tree; NULL if it is another. */
static inline char *kernel_parent(char *path, char **ret_rest) {
        char *p = strstr(path, "/" DEVICES), *slash;

        if (!p)
                return NULL;
        p += strlen("/" DEVICES);
        slash = strchr(p, '/');
        if (!slash)
                return NULL;
        *slash = '\0';
        *ret_rest = slash + 1;
        return p;
}

static inline int kernel_create(const char *parent, const char *type, const char *uuid) {
        int error = kernel.create_error;

        kernel_note("create %s %s %s", parent, type, uuid);
        if (kernel.on_create)
                kernel.on_create();
        kernel.create_error = 0;
        if (error > 0 && !kernel.create_stays)
                return error;
        host_device(parent, uuid, type);
        for (const char *const *name = kernel.attributes; *name; name++)
                tree_put(PATH(DEVICES "%s/%s/%s", parent, uuid, *name), "");
        return error;
}

static inline int kernel_remove(const char *parent, const char *uuid) {
        kernel_note("remove %s %s", parent, uuid);
        if (kernel.remove_error == 0) {
                host_remove_device(parent, uuid);
                return 0;
        }
        if (kernel.remove_orphans || kernel.remove_leaves)
                tree_remove(PATH(DEVICES "%s/%s/remove", parent, uuid));
        if (kernel.remove_leaves)
                tree_remove(PATH(BUS "%s", uuid));
        return kernel.remove_error;
}

static inline int kernel_write(char *path, const char *text, size_t size) {
        char *rest, *parent = kernel_parent(path, &rest), *slash, *last;

        if (!parent)
                return -1;

        slash = strchr(rest, '/');
        last = strrchr(rest, '/');
        if (!slash)
                return -1;
        if (startswith(rest, "mdev_supported_types/") && streq(last, "/create")) {
                *last = '\0';
                assert_int_equal(size, 36);
                return kernel_create(parent, slash + 1, text);
        }

        *slash = '\0';
        if (streq(slash + 1, "remove")) {
                assert_string_equal(text, "1");
                return kernel_remove(parent, rest);
        }
        kernel_note("attribute %s=%s", slash + 1, text);
        return kernel.bad_attribute && streq(kernel.bad_attribute, slash + 1) ? kernel.attribute_error : -1;
}

ssize_t __wrap_write(int fd, const void *data, size_t size) {
        char link[64], path[TREE_PATH_MAX];
        _cleanup_(freep) char *text = NULL;
        ssize_t n;
        int error;

        (void) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof path - 1);
        if (n < 0 || kernel.is_off || strncmp(path, tree_root, strlen(tree_root)) != 0)
                return __real_write(fd, data, size);
        path[n] = '\0';
        text = strndup(data, size);
        assert_non_null(text);

        if (kernel.short_write)
                return (ssize_t) size / 2;
        error = kernel_write(path, text, size);
        if (error < 0)
                return __real_write(fd, data, size);
        if (error > 0) {
                errno = error;
                return -1;
        }
        return (ssize_t) size;
}

static inline int kernel_setup(void **state) {
        kernel = (Kernel){};
        return tree_setup(state);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Temporary files are made in the top folder: the same file system, and a place where neither mdevctl nor
 * libvirt takes a strange name for a definition (mdevctl.md 2.3). */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "host/store.h"
#include "model/name.h"

/* A definition is smaller by its own bounds (codec.h); what is larger is not read at all. */
#define STORE_FILE_MAX (512U * 1024U)

struct Store {
        int root_fd;
        int fd; /* of the top folder; -EBADF while there is none */
};

static void closedirp(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

static int open_top(Store *s) {
        if (s->fd >= 0)
                return 0;

        s->fd = openat(s->root_fd, STORE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return s->fd < 0 ? -errno : 0;
}

int store_open(int root_fd, Store **ret) {
        _cleanup_(store_freep) Store *s = malloc(sizeof *s);
        int r;

        if (!s)
                return -ENOMEM;
        *s = (Store){ .root_fd = -EBADF, .fd = -EBADF };

        /* Not a copy: what is given may be an O_PATH descriptor, which fsync() does not take. */
        s->root_fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->root_fd < 0)
                return -errno;
        r = open_top(s);
        if (r < 0 && r != -ENOENT)
                return r;

        *ret = TAKE_PTR(s);
        return 0;
}

Store *store_free(Store *s) {
        if (!s)
                return NULL;

        (void) safe_close(s->fd);
        (void) safe_close(s->root_fd);
        free(s);
        return NULL;
}

char *store_path(const char *parent, const char *name) {
        char *path;

        return asprintf(&path, "/" STORE_DIRECTORY "/%s%s%s", parent, parent[0] != '\0' ? "/" : "", name) < 0
                        ? NULL
                        : path;
}

static int store_failure(Failure *f, FailureKind kind, int error, const char *parent, const char *name) {
        _cleanup_(freep) char *path = store_path(parent, name);

        return failure_set(f, kind, error, path, NULL);
}

/* Return: a descriptor; -ENOENT also for what is not a directory, a symbolic link to one included. */
static int open_parent(Store *s, const char *parent) {
        int fd, r;

        if (!parent_name_is_valid(parent))
                return -ENOENT;
        r = open_top(s);
        if (r < 0)
                return r;

        fd = openat(s->fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0)
                return fd;
        return errno == ENOTDIR || errno == ELOOP ? -ENOENT : -errno;
}

/* A stream over a directory that keeps the caller's descriptor. */
static int open_stream(int dir_fd, DIR **ret) {
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;

        *ret = fdopendir(fd);
        if (!*ret) {
                int r = -errno;

                (void) safe_close(fd);
                return r;
        }

        return 0;
}

/* The name under which a directory has the file of @uuid: nearly always the canonical one, else the first
 * that reads as the same UUID. Return: 0; -ENOENT. */
static int find_name(int dir_fd, const Uuid *uuid, char ret[static NAME_LENGTH_MAX + 1]) {
        _cleanup_(closedirp) DIR *directory = NULL;
        struct dirent *entry;
        struct stat st;
        int r;

        (void) uuid_to_text(uuid, ret);
        if (fstatat(dir_fd, ret, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                return 0;
        if (errno != ENOENT)
                return -errno;

        r = open_stream(dir_fd, &directory);
        if (r < 0)
                return r;
        while ((errno = 0, entry = readdir(directory))) {
                Uuid other;

                if (uuid_from_text(entry->d_name, &other) >= 0 && uuid_equal(uuid, &other)) {
                        strcpy(ret, entry->d_name);
                        return 0;
                }
        }

        return errno > 0 ? -errno : -ENOENT;
}

int store_read(Store *s, const char *parent, const Uuid *uuid, char **ret, size_t *ret_size) {
        _cleanup_(closep) int dir_fd = open_parent(s, parent);
        char name[NAME_LENGTH_MAX + 1];
        int r;

        if (dir_fd < 0)
                return dir_fd;
        r = find_name(dir_fd, uuid, name);
        if (r < 0)
                return r;
        return file_read_at(dir_fd, name, STORE_FILE_MAX, ret, ret_size);
}

/* Writing */

/* Makes one directory of the tree, durably. Return: 1 if it was made; 0 if it was there. */
static int make_directory(int dir_fd, const char *name) {
        if (mkdirat(dir_fd, name, 0755) < 0)
                return errno == EEXIST ? 0 : -errno;
        if (fsync(dir_fd) < 0) {
                int r = -errno;

                (void) unlinkat(dir_fd, name, AT_REMOVEDIR);
                return r;
        }

        return 1;
}

static int make_top(Store *s) {
        _cleanup_(closep) int etc_fd = -EBADF;
        int r;

        if (s->fd >= 0)
                return 0;

        r = make_directory(s->root_fd, "etc");
        if (r < 0)
                return r;
        etc_fd = openat(s->root_fd, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (etc_fd < 0)
                return -errno;
        r = make_directory(etc_fd, strrchr(STORE_DIRECTORY, '/') + 1);
        if (r < 0)
                return r;
        return open_top(s);
}

static int write_new(Store *s, const char *parent, const Uuid *uuid, const char *text, size_t size,
                bool *changed) {
        _cleanup_(closep) int dir_fd = -EBADF;
        int made, r;

        r = make_top(s);
        if (r < 0)
                return r;
        made = make_directory(s->fd, parent);
        if (made < 0)
                return made;

        dir_fd = open_parent(s, parent);
        r = dir_fd < 0 ? dir_fd
                       : file_write_atomic_at(s->fd, dir_fd, UUID_TEXT(uuid), text, size, false, changed);
        if (r < 0 && made > 0)
                (void) unlinkat(s->fd, parent, AT_REMOVEDIR);
        return r;
}

static int write_again(Store *s, const char *parent, const Uuid *uuid, const char *text, size_t size,
                bool *changed) {
        _cleanup_(closep) int dir_fd = open_parent(s, parent);
        char name[NAME_LENGTH_MAX + 1];
        int r;

        if (dir_fd < 0)
                return dir_fd;
        r = find_name(dir_fd, uuid, name);
        if (r < 0)
                return r;
        return file_write_atomic_at(s->fd, dir_fd, name, text, size, true, changed);
}

int store_write(Store *s, const char *parent, const Uuid *uuid, const char *text, size_t size, bool replace,
                Failure *f) {
        bool changed = false;
        int r;

        r = replace ? write_again(s, parent, uuid, text, size, &changed)
                    : write_new(s, parent, uuid, text, size, &changed);
        if (changed)
                f->changed_store = true;
        if (r == -EEXIST && !replace)
                return store_failure(f, FAILURE_EXISTS_ON_DISK, 0, parent, UUID_TEXT(uuid));
        if (r == -ENOENT && replace)
                return store_failure(f, FAILURE_NO_SUCH_DEFINITION, 0, parent, UUID_TEXT(uuid));
        return r < 0 ? store_failure(f, FAILURE_STORE, r, parent, UUID_TEXT(uuid)) : 0;
}

/* One file, as long as it may have to be put back. */
typedef struct Removed {
        int dir_fd;
        char name[NAME_LENGTH_MAX + 1];
        Kept kept;
        bool is_gone;
} Removed;

static int remove_one(Store *s, const char *parent, const Uuid *uuid, Removed *removed) {
        int r;

        removed->dir_fd = open_parent(s, parent);
        if (removed->dir_fd < 0)
                return removed->dir_fd;
        r = find_name(removed->dir_fd, uuid, removed->name);
        if (r < 0)
                return r;

        /* What cannot be kept (a symbolic link, say) can be removed all the same, but not put back. */
        file_keep_at(s->fd, removed->dir_fd, removed->name, &removed->kept);
        if (unlinkat(removed->dir_fd, removed->name, 0) < 0)
                return -errno;
        removed->is_gone = true;
        return fsync(removed->dir_fd) < 0 ? -errno : 0;
}

int store_remove(Store *s, char *const *parents, const Uuid *uuid, Failure *f) {
        _cleanup_(freep) Removed *removed = NULL;
        size_t n = 0, i;
        int r = 0;

        while (parents[n])
                n++;
        removed = calloc(n + 1, sizeof *removed);
        if (!removed)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        for (i = 0; i < n; i++)
                removed[i] = (Removed){ .dir_fd = -EBADF, .kept = KEPT_INIT };

        for (i = 0; i < n && r >= 0; i++) {
                r = remove_one(s, parents[i], uuid, &removed[i]);
                if (r == -ENOENT)
                        r = store_failure(f, FAILURE_NO_SUCH_DEFINITION, 0, parents[i], UUID_TEXT(uuid));
                else if (r < 0)
                        r = store_failure(f, FAILURE_STORE, r, parents[i], UUID_TEXT(uuid));
        }
        if (r < 0)
                while (i-- > 0)
                        if (removed[i].is_gone &&
                                        kept_put_back(&removed[i].kept, removed[i].dir_fd, removed[i].name,
                                                        false) < 0)
                                f->changed_store = true;

        for (i = 0; i < n; i++) {
                kept_done(&removed[i].kept);
                (void) safe_close(removed[i].dir_fd);
        }
        return r;
}

/* Reading all */

/* The folder of scripts, ".", "..", and what is hidden on purpose. */
static bool is_not_for_us(const char *name) {
        return name[0] == '.' || streq(name, SCRIPTS_FOLDER);
}

static bool is_hidden_by(int dir_fd, const char *name, const Uuid *uuid) {
        struct stat st;

        return !streq(name, UUID_TEXT(uuid)) &&
                        fstatat(dir_fd, UUID_TEXT(uuid), &st, AT_SYMLINK_NOFOLLOW) >= 0;
}

static int scan_file(int dir_fd, const char *parent, const char *name, unsigned char type, const Uuid *only,
                StoreFn fn, void *userdata) {
        bool is_no_file = type == DT_DIR || type == DT_LNK;
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        Uuid uuid;
        int r;

        if (uuid_from_text(name, &uuid) < 0)
                return only || is_no_file ? 0 : fn(parent, name, NULL, NULL, 0, -EINVAL, userdata);
        if (only && !uuid_equal(only, &uuid))
                return 0;
        if (is_no_file)
                return fn(parent, name, &uuid, NULL, 0, type == DT_DIR ? -ENOTSUP : -ELOOP, userdata);
        if (is_hidden_by(dir_fd, name, &uuid))
                return fn(parent, name, &uuid, NULL, 0, -EEXIST, userdata);

        r = type == DT_REG ? file_read_listed_at(dir_fd, name, STORE_FILE_MAX, &text, &size)
                           : file_read_at(dir_fd, name, STORE_FILE_MAX, &text, &size);
        if (r == -ENOENT) /* removed meanwhile */
                return 0;
        if (r == -ENOMEM)
                return r;
        return fn(parent, name, &uuid, r < 0 ? NULL : text, size, r, userdata);
}

static int scan_parent(Store *s, const char *parent, const Uuid *only, StoreFn fn, void *userdata) {
        _cleanup_(closep) int dir_fd = open_parent(s, parent);
        _cleanup_(closedirp) DIR *directory = NULL;
        struct dirent *entry;
        int r;

        if (dir_fd == -ENOENT)
                return 0;
        if (dir_fd < 0)
                return fn(parent, "", NULL, NULL, 0, dir_fd, userdata);
        r = open_stream(dir_fd, &directory);
        if (r == -ENOMEM) /* says nothing of the disk */
                return r;
        if (r < 0)
                return fn(parent, "", NULL, NULL, 0, r, userdata);

        while ((errno = 0, entry = readdir(directory))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                r = scan_file(dir_fd, parent, entry->d_name, entry->d_type, only, fn, userdata);
                if (r < 0)
                        return r;
        }

        return errno > 0 ? fn(parent, "", NULL, NULL, 0, -errno, userdata) : 0;
}

int store_scan_parent(Store *s, const char *parent, const Uuid *uuid, StoreFn fn, void *userdata) {
        return parent_name_is_valid(parent) ? scan_parent(s, parent, uuid, fn, userdata) : 0;
}

int store_scan_file(Store *s, const char *parent, const char *name, StoreFn fn, void *userdata) {
        _cleanup_(closep) int dir_fd = open_parent(s, parent);
        struct stat st;

        if (dir_fd == -ENOENT)
                return 0;
        if (dir_fd < 0)
                return fn(parent, "", NULL, NULL, 0, dir_fd, userdata);
        if (strchr(name, '/'))
                return 0;
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : fn(parent, "", NULL, NULL, 0, -errno, userdata);
        return scan_file(dir_fd, parent, name, IFTODT(st.st_mode), NULL, fn, userdata);
}

static bool is_link_to_directory(int dir_fd, const char *name) {
        struct stat st;

        return fstatat(dir_fd, name, &st, AT_NO_AUTOMOUNT) >= 0 && S_ISDIR(st.st_mode);
}

/* What lies beside the parents' folders is no definition, whatever it looks like; nor does a link lead to
 * any. */
static int scan_beside(Store *s, const char *name, unsigned char type, StoreFn fn, void *userdata) {
        Uuid uuid;

        file_remove_stray_at(s->fd, name);
        if (uuid_from_text(name, &uuid) >= 0)
                return fn("", name, NULL, NULL, 0, -ENOTDIR, userdata);
        if (type == DT_LNK && !is_not_for_us(name) && is_link_to_directory(s->fd, name))
                return fn("", name, NULL, NULL, 0, -ELOOP, userdata);
        return 0;
}

/* A folder that may be a parent's: its name is, or somebody thought so. */
static int scan_folder(Store *s, const char *name, const Uuid *only, StoreFn fn, void *userdata) {
        if (parent_name_is_valid(name))
                return scan_parent(s, name, only, fn, userdata);
        return only || is_not_for_us(name) ? 0 : fn("", name, NULL, NULL, 0, -EILSEQ, userdata);
}

int store_scan(Store *s, const Uuid *only, StoreFn fn, void *userdata) {
        _cleanup_(closedirp) DIR *directory = NULL;
        struct dirent *entry;
        int r;

        r = open_top(s);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = open_stream(s->fd, &directory);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return fn("", "", NULL, NULL, 0, r, userdata);

        while ((errno = 0, entry = readdir(directory))) {
                if (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN)
                        r = scan_folder(s, entry->d_name, only, fn, userdata);
                else
                        r = only ? 0 : scan_beside(s, entry->d_name, entry->d_type, fn, userdata);
                if (r < 0)
                        return r;
        }

        return errno > 0 ? fn("", "", NULL, NULL, 0, -errno, userdata) : 0;
}

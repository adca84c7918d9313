/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A file is of interest when it has been closed, not while it is being written: mdevctl and editors write in
 * place, and a half-written file is none. What nobody writes (another name of a file, a symbolic link, a
 * folder) is of interest as soon as it is there.
 *
 * The folder above the tree is watched too, because the tree may be made later, or replaced as a whole. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "host/watch.h"
#include "model/uuid.h"

#define WATCH_ABOVE "etc"
#define WATCH_TOP "mdevctl.d"

#define ABOVE_MASK (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)
#define TOP_MASK ABOVE_MASK
#define PARENT_MASK                                                                          \
        (IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR | \
                        IN_DONT_FOLLOW | IN_EXCL_UNLINK)

#define WATCH_BUFFER_SIZE 65536U

typedef struct Watched {
        int wd;
        char *parent;
} Watched;

struct Watch {
        int root_fd;
        int fd;
        int above, top;   /* watch descriptors; negative: there is no such folder */
        Watched *parents; /* by wd */
        size_t n_parents, n_allocated;

        char *buffer;
        size_t size, at; /* what of it has been received and not told yet */
};

int watch_new(int root_fd, Watch **ret) {
        _cleanup_(watch_freep) Watch *w = malloc(sizeof *w);

        if (!w)
                return -ENOMEM;
        *w = (Watch){ .root_fd = root_fd, .fd = -EBADF, .above = -1, .top = -1 };

        w->buffer = malloc(WATCH_BUFFER_SIZE);
        if (!w->buffer)
                return -ENOMEM;
        w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (w->fd < 0)
                return -errno;

        *ret = TAKE_PTR(w);
        return 0;
}

Watch *watch_free(Watch *w) {
        if (!w)
                return NULL;

        for (size_t i = 0; i < w->n_parents; i++)
                free(w->parents[i].parent);
        free(w->parents);
        free(w->buffer);
        (void) safe_close(w->fd);
        free(w);
        return NULL;
}

int watch_fd(const Watch *w) {
        return w->fd;
}

/* inotify takes paths only; this one leads to what @dir_fd is, whatever its path is by now. */
static int add_watch(Watch *w, int dir_fd, uint32_t mask) {
        char path[32];
        int wd;

        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", dir_fd);
        wd = inotify_add_watch(w->fd, path, mask & ~(uint32_t) IN_DONT_FOLLOW);
        return wd < 0 ? -errno : wd;
}

/* Where @wd is in the list, or would be. */
static size_t place_of(const Watch *w, int wd) {
        size_t low = 0, high = w->n_parents;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (w->parents[middle].wd < wd)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static Watched *find(Watch *w, int wd) {
        size_t i = place_of(w, wd);

        return i < w->n_parents && w->parents[i].wd == wd ? &w->parents[i] : NULL;
}

static void forget(Watch *w, int wd) {
        Watched *gone = find(w, wd);

        if (wd == w->above)
                w->above = -1;
        if (wd == w->top)
                w->top = -1;
        if (!gone)
                return;
        free(gone->parent);
        w->n_parents--;
        memmove(gone, gone + 1, (size_t) (w->parents + w->n_parents - gone) * sizeof *gone);
}

/* The kernel gives each directory a larger number than the one before, so this is nearly always the end. */
static Watched *insert(Watch *w, int wd) {
        Watched *new = &w->parents[place_of(w, wd)];

        memmove(new + 1, new, (size_t) (w->parents + w->n_parents - new) * sizeof *new);
        w->n_parents++;
        *new = (Watched){ .wd = wd };
        return new;
}

static int add_parent(Watch *w, int top_fd, const char *name) {
        _cleanup_(closep) int fd = openat(top_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _cleanup_(freep) char *copy = NULL;
        Watched *known;
        int wd, r;

        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
        copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        r = grow((void **) &w->parents, &w->n_allocated, w->n_parents + 1, sizeof *w->parents);
        if (r < 0)
                return r;
        wd = add_watch(w, fd, PARENT_MASK);
        if (wd < 0)
                return wd;

        /* The same directory has the same descriptor, under whatever name. */
        known = find(w, wd) ?: insert(w, wd);
        free(known->parent);
        known->parent = TAKE_PTR(copy);
        return 0;
}

static int open_top(Watch *w) {
        int fd = openat(w->root_fd, WATCH_ABOVE "/" WATCH_TOP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int watch_all_parents(Watch *w) {
        int fd = open_top(w), result = 0;
        struct dirent *entry;
        DIR *directory;

        if (fd < 0)
                return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
        w->top = add_watch(w, fd, TOP_MASK);
        directory = w->top < 0 ? NULL : fdopendir(fd);
        if (!directory) {
                result = w->top < 0 ? w->top : -errno;
                (void) safe_close(fd);
                return result;
        }

        while ((entry = readdir(directory)))
                if ((entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) &&
                                parent_name_is_valid(entry->d_name)) {
                        int r = add_parent(w, fd, entry->d_name);

                        result = result < 0 ? result : r;
                }

        (void) closedir(directory);
        return result;
}

int watch_update(Watch *w) {
        _cleanup_(closep) int fd = openat(w->root_fd, WATCH_ABOVE, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0)
                w->above = add_watch(w, fd, ABOVE_MASK);
        return watch_all_parents(w);
}

/* Whether what was created is there now, and not to be written and closed first. */
static bool is_whole(const Watch *w, const char *parent, const char *name) {
        char path[sizeof WATCH_ABOVE "/" WATCH_TOP + 2 * (NAME_LENGTH_MAX + 1)];
        struct stat st;

        (void) snprintf(path, sizeof path, WATCH_ABOVE "/" WATCH_TOP "/%s/%s", parent, name);
        return fstatat(w->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) >= 0 &&
                        (!S_ISREG(st.st_mode) || st.st_nlink > 1);
}

/* Return: whether the event is one to be told. */
static bool classify(Watch *w, const struct inotify_event *e, WatchEvent *ret) {
        const char *name = e->len > 0 ? e->name : "";
        const Watched *parent;
        Uuid uuid;

        *ret = (WatchEvent){ .kind = WATCH_EVERYTHING };
        if (e->mask & IN_Q_OVERFLOW)
                return true;
        if (e->mask & IN_IGNORED) {
                forget(w, e->wd);
                return false;
        }
        if (e->wd == w->above)
                return streq(name, WATCH_TOP);
        if (e->wd == w->top) {
                _cleanup_(closep) int top_fd = -EBADF;

                /* A file that should be in a folder is seen only with everything. */
                if (!(e->mask & IN_ISDIR))
                        return uuid_from_text(name, &uuid) >= 0;
                if (!parent_name_is_valid(name))
                        return false;
                top_fd = e->mask & (IN_CREATE | IN_MOVED_TO) ? open_top(w) : -EBADF;
                if (top_fd >= 0)
                        (void) add_parent(w, top_fd, name);
                ret->kind = WATCH_DIRECTORY;
                strcpy(ret->parent, name);
                return true;
        }

        parent = find(w, e->wd);
        if (!parent || strlen(name) > NAME_LENGTH_MAX)
                return false;
        if ((e->mask & IN_CREATE) && !is_whole(w, parent->parent, name))
                return false;
        ret->kind = WATCH_FILE;
        strcpy(ret->parent, parent->parent);
        strcpy(ret->name, name);
        ret->renamed_in = e->mask & IN_MOVED_TO;
        ret->deleted = e->mask & IN_DELETE;
        return true;
}

int watch_receive(Watch *w, WatchEvent *ret) {
        for (;;) {
                struct inotify_event e;

                if (w->at == w->size) {
                        ssize_t n = read(w->fd, w->buffer, WATCH_BUFFER_SIZE);

                        if (n <= 0)
                                return n == 0 || errno == EAGAIN || errno == EINTR ? 0 : -errno;
                        w->size = (size_t) n;
                        w->at = 0;
                }

                /* The kernel fills the buffer with whole events, aligned; the copy is for the compiler. */
                memcpy(&e, w->buffer + w->at, sizeof e);
                if (classify(w, (const struct inotify_event *) (void *) (w->buffer + w->at), ret)) {
                        w->at += sizeof e + e.len;
                        return 1;
                }
                w->at += sizeof e + e.len;
        }
}

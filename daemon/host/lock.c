/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* flock(2) belongs to the open file, not to the process: the daemon takes it and passes the descriptor on, so
 * there is no moment at which the UUID is reserved and nobody holds its lock. A note is three lines: kind,
 * parent, type. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/file.h"
#include "host/lock.h"
#include "model/name.h"

#define NOTE_MAX 1024U

static const char *const kind_names[_OPERATION_KIND_MAX] = {
        [OPERATION_NONE] = "none",
        [OPERATION_CREATE] = "create",
        [OPERATION_REMOVE] = "remove",
        [OPERATION_DEFINE] = "define",
        [OPERATION_MODIFY] = "modify",
        [OPERATION_UNDEFINE] = "undefine",
};

void lock_note_done(LockNote *note) {
        free(note->parent);
        free(note->type);
        *note = (LockNote){};
}

int lock_open_directory(int root_fd) {
        return directory_make_at(root_fd, LOCK_DIRECTORY);
}

int lock_acquire(int directory_fd, const Uuid *uuid, const LockNote *note) {
        _cleanup_(closep) int fd = -EBADF;
        char text[NOTE_MAX];
        int n, r;

        fd = openat(directory_fd, UUID_TEXT(uuid), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
                        0600);
        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return -errno;

        n = snprintf(text, sizeof text, "%s\n%s\n%s\n", kind_names[note->kind], strempty(note->parent),
                        strempty(note->type));
        r = ftruncate(fd, 0) < 0 ? -errno : fd_write_all(fd, text, MIN((size_t) n, sizeof text - 1));
        if (r < 0) {
                lock_release(directory_fd, uuid);
                return r;
        }

        return TAKE_FD(fd);
}

void lock_release(int directory_fd, const Uuid *uuid) {
        (void) unlinkat(directory_fd, UUID_TEXT(uuid), 0);
}

int lock_list(int directory_fd, Uuid **ret, size_t *ret_n) {
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n = 0, n_allocated = 0;
        struct dirent *entry;
        DIR *directory;
        int fd, r = 0;

        fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        directory = fdopendir(fd);
        if (!directory) {
                r = -errno;
                (void) safe_close(fd);
                return r;
        }

        while (r >= 0 && (errno = 0, entry = readdir(directory))) {
                Uuid uuid;

                if (uuid_from_canonical(entry->d_name, &uuid) < 0)
                        continue;
                r = grow((void **) &uuids, &n_allocated, n + 1, sizeof *uuids);
                if (r >= 0)
                        uuids[n++] = uuid;
        }
        (void) closedir(directory);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(uuids);
        *ret_n = n;
        return 0;
}

/* Takes the next line of @p; NULL for an empty one or one that is no name. */
static char *take_line(char **p, bool (*is_valid)(const char *)) {
        char *line = *p, *end = line + strcspn(line, "\n");

        *p = *end == '\n' ? end + 1 : end;
        *end = '\0';
        return is_valid(line) ? strdup(line) : NULL;
}

static void read_note(int fd, LockNote *ret) {
        char text[NOTE_MAX], *p = text, *kind;
        ssize_t n = pread(fd, text, sizeof text - 1, 0);

        *ret = (LockNote){ .kind = OPERATION_NONE };
        text[MAX(n, (ssize_t) 0)] = '\0';

        kind = take_line(&p, type_name_is_valid);
        for (int i = 0; i < _OPERATION_KIND_MAX; i++)
                if (streq_ptr(kind, kind_names[i]))
                        ret->kind = (OperationKind) i;
        ret->parent = take_line(&p, parent_name_is_valid);
        ret->type = take_line(&p, type_name_is_valid);
        free(kind);
}

int lock_inspect(int directory_fd, const Uuid *uuid, int *ret_fd, LockNote *ret_note) {
        _cleanup_(closep) int fd = -EBADF;

        fd = openat(directory_fd, UUID_TEXT(uuid), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;

        if (flock(fd, LOCK_EX | LOCK_NB) >= 0) {
                lock_release(directory_fd, uuid);
                return 0;
        }
        if (errno != EWOULDBLOCK)
                return -errno;

        read_note(fd, ret_note);
        *ret_fd = TAKE_FD(fd);
        return 1;
}

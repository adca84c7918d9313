/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/file.h"
#include "host/record.h"

#define RECORD_MAX 64U
#define WHOLE "whole "

int record_open_directory(int root_fd) {
        return directory_make_at(root_fd, RECORD_DIRECTORY);
}

/* Not a temporary file and a rename, for it is on the way of every creation: a line that is not there yet
 * says "incomplete", which is what is true until then, and so short a one is written whole or not at all. */
int record_write(int directory_fd, const Uuid *uuid, const Record *record) {
        _cleanup_(closep) int fd = -EBADF;
        char text[RECORD_MAX];
        int n;

        fd = openat(directory_fd, UUID_TEXT(uuid),
                        O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0644);
        if (fd < 0)
                return -errno;
        if (!record->whole)
                return 0;

        n = snprintf(text, sizeof text, WHOLE "%" PRIu64 "\n", record->life);
        return fd_write_all(fd, text, (size_t) n);
}

int record_read(int directory_fd, const Uuid *uuid, Record *ret) {
        _cleanup_(freep) char *text = NULL;
        const char *number;
        uint64_t life;
        size_t size;
        char *end;
        int r;

        r = file_read_at(directory_fd, UUID_TEXT(uuid), RECORD_MAX, &text, &size);
        if (r < 0)
                return r;
        if (size == 0) {
                *ret = (Record){};
                return 0;
        }
        number = startswith(text, WHOLE);
        if (!number)
                return -EBADMSG;

        life = strtoull(number, &end, 10);
        if (end == number || !streq(end, "\n"))
                return -EBADMSG;

        *ret = (Record){ .whole = true, .life = life };
        return 0;
}

void record_remove(int directory_fd, const Uuid *uuid) {
        (void) unlinkat(directory_fd, UUID_TEXT(uuid), 0);
}

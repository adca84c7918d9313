/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/file.h"
#include "host/record.h"

#define RECORD_MAX 64U

int record_open_directory(int root_fd) {
        return directory_make_at(root_fd, RECORD_DIRECTORY);
}

int record_write(int directory_fd, const Uuid *uuid, const Record *record) {
        char text[RECORD_MAX];
        int n;

        n = snprintf(text, sizeof text, "%s %" PRIu64 "\n", record->whole ? "whole" : "incomplete",
                        record->life);
        return file_write_atomic_at(directory_fd, directory_fd, UUID_TEXT(uuid), text, (size_t) n, true);
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
        number = startswith(text, "whole ")               ? text + strlen("whole ")
                        : startswith(text, "incomplete ") ? text + strlen("incomplete ")
                                                          : NULL;
        if (!number)
                return -EBADMSG;

        life = strtoull(number, &end, 10);
        if (end == number || !streq(end, "\n"))
                return -EBADMSG;

        *ret = (Record){ .whole = text[0] == 'w', .life = life };
        return 0;
}

void record_remove(int directory_fd, const Uuid *uuid) {
        (void) unlinkat(directory_fd, UUID_TEXT(uuid), 0);
}

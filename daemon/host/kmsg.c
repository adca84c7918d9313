/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each read(2) of /dev/kmsg gives one record "priority,sequence,time,flags;text\n KEY=value\n…"
 * (Documentation/ABI/testing/dev-kmsg). EPIPE says that records were overwritten before they were read. */

#include <fcntl.h>

#include "host/kmsg.h"
#include "model/name.h"

#define KMSG_RECORD_MAX 8192U
#define KMSG_RECORDS_MAX 4096U /* bounds the work where something floods the log */

int kmsg_open(void) {
        int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

        if (fd < 0)
                return -errno;
        if (lseek(fd, 0, SEEK_END) < 0) {
                int r = -errno;

                (void) safe_close(fd);
                return r;
        }

        return fd;
}

char *kmsg_last_line(int fd, const char *word, const char *other_word) {
        char *last = NULL;

        for (unsigned i = 0; fd >= 0 && i < KMSG_RECORDS_MAX; i++) {
                char record[KMSG_RECORD_MAX], *text;
                ssize_t n = read(fd, record, sizeof record - 1);

                if (n < 0 && (errno == EPIPE || errno == EINTR))
                        continue;
                if (n <= 0)
                        break;

                record[n] = '\0';
                record[strcspn(record, "\n")] = '\0';
                text = strchr(record, ';');
                if (!text || !text_is_utf8(text + 1) || (!strstr(text, word) && !strstr(text, other_word)))
                        continue;
                (void) free_and_strdup(&last, text + 1);
        }

        return last;
}

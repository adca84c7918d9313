/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/file.h"
#include "host/memo.h"

#define MEMO_FILE_MAX (16U * 1024U * 1024U)
#define LIFE_LINE_MAX 32U

int memo_open_directory(int root_fd) {
        return directory_make_at(root_fd, MEMO_DIRECTORY);
}

int memo_write(int directory_fd, const char *parent, uint64_t life, const Uuid *uuids, size_t n) {
        _cleanup_(freep) char *text = malloc(LIFE_LINE_MAX + n * UUID_TEXT_SIZE);
        size_t size;

        if (!text)
                return -ENOMEM;

        size = (size_t) snprintf(text, LIFE_LINE_MAX, "%" PRIu64 "\n", life);
        for (size_t i = 0; i < n; i++) {
                (void) uuid_to_text(&uuids[i], text + size);
                size += UUID_TEXT_SIZE;
                text[size - 1] = '\n';
        }
        return file_write_atomic_at(directory_fd, directory_fd, parent, text, size, true, NULL);
}

int memo_read(int directory_fd, const char *parent, uint64_t *ret_life, Uuid **ret, size_t *ret_n) {
        _cleanup_(freep) char *text = NULL;
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t size, n = 0;
        uint64_t life;
        char *at;
        int r;

        r = file_read_at(directory_fd, parent, MEMO_FILE_MAX, &text, &size);
        if (r < 0)
                return r;

        errno = 0;
        life = strtoull(text, &at, 10);
        if (errno != 0 || at == text || *at++ != '\n' || (size - (size_t) (at - text)) % UUID_TEXT_SIZE != 0)
                return -EBADMSG;
        uuids = calloc(size / UUID_TEXT_SIZE + 1, sizeof *uuids);
        if (!uuids)
                return -ENOMEM;
        for (; at < text + size; at += UUID_TEXT_SIZE) {
                if (at[UUID_TEXT_SIZE - 1] != '\n')
                        return -EBADMSG;
                at[UUID_TEXT_SIZE - 1] = '\0';
                if (uuid_from_canonical(at, &uuids[n++]) < 0)
                        return -EBADMSG;
        }

        *ret_life = life;
        *ret = TAKE_PTR(uuids);
        *ret_n = n;
        return 0;
}

void memo_remove(int directory_fd, const char *parent) {
        (void) unlinkat(directory_fd, parent, 0);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>
#include <time.h>

#include <systemd/sd-journal.h>

#include "tools/journal.h"

#define USEC_PER_SEC UINT64_C(1000000)

static const char *field(sd_journal *j, const char *name, size_t *ret_size) {
        const void *data;
        size_t size, prefix = strlen(name) + 1;

        if (sd_journal_get_data(j, name, &data, &size) < 0 || size < prefix)
                return NULL;

        *ret_size = size - prefix;
        return (const char *) data + prefix;
}

static int add_time(json_object *entry, sd_journal *j) {
        char text[64] = "";
        uint64_t usec;
        struct tm tm;
        time_t t;

        if (sd_journal_get_realtime_usec(j, &usec) >= 0) {
                t = (time_t) (usec / USEC_PER_SEC);
                if (localtime_r(&t, &tm))
                        (void) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &tm);
        }
        return value_put_string(entry, "time", text);
}

static int add_entry(json_object *list, sd_journal *j) {
        json_object *entry = json_object_new_object();
        const char *message, *priority;
        size_t size;

        if (value_append(list, entry) < 0 || add_time(entry, j) < 0)
                return -ENOMEM;
        priority = field(j, "PRIORITY", &size);
        if (value_put(entry, "priority", json_object_new_int(priority && size > 0 ? *priority - '0' : 6)) < 0)
                return -ENOMEM;
        message = field(j, "MESSAGE", &size);
        return value_put(entry, "message",
                        json_object_new_string_len(strempty(message), message ? (int) size : 0));
}

json_object *journal_read(const char *uuid, size_t n_max) {
        _cleanup_(json_object_putp) json_object *list = json_object_new_array();
        char match[sizeof "MDEVD_UUID=" + 36];
        sd_journal *j;
        int r = 0;

        if (!list || sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY) < 0)
                return TAKE_PTR(list);

        /* Anybody may write a field of that name, but not as root. */
        (void) snprintf(match, sizeof match, "MDEVD_UUID=%s", uuid);
        if (sd_journal_add_match(j, match, 0) >= 0 && sd_journal_add_match(j, "_UID=0", 0) >= 0 &&
                        sd_journal_seek_tail(j) >= 0 && sd_journal_previous_skip(j, n_max) > 0)
                do
                        r = add_entry(list, j);
                while (r >= 0 && sd_journal_next(j) > 0);

        sd_journal_close(j);
        return r < 0 ? NULL : TAKE_PTR(list);
}

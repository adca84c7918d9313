/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the daemon tells a worker: a request that is taken holds valid values only, and written again is the
 * same to the byte; one that is cut off is waited for; one that is refused leaves nothing behind. */

#include "fuzz/fuzz-wire.h"

static void check_request(const Request *r) {
        ASSERT(r->kind < _REQUEST_KIND_MAX && r->action < _SCRIPT_ACTION_MAX);
        check_definition(&r->definition);
        check_text(r->text);
        check_text(r->path);
        for (char **p = r->parents; p && *p; p++)
                check_text(*p);

        ASSERT(!r->modification.type || type_name_is_valid(r->modification.type));
        ASSERT(r->modification.autostart < _AUTOSTART_MAX);
        ASSERT(!r->modification.add_name ||
                        (attribute_name_is_valid(r->modification.add_name) && r->modification.add_value));
        check_text(r->modification.add_value);
        check_attributes(&r->modification.attributes);

        ASSERT(r->capabilities.n <= CAPABILITIES_MAX);
        for (size_t i = 0; i < r->capabilities.n; i++) {
                ASSERT(r->capabilities.list[i].type);
                check_text(r->capabilities.list[i].type);
                check_text(r->capabilities.list[i].script);
        }
}

static void check(const char *data, size_t size) {
        _cleanup_(request_done) Request r = {}, none = {};
        _cleanup_(buffer_done) Buffer again = {};
        size_t used = SIZE_MAX, unused;
        int rc;

        rc = request_decode(data, size, &r, &used);
        if (rc <= 0) {
                ASSERT(rc == 0 || rc == -EBADMSG);
                ASSERT(memcmp(&r, &none, sizeof r) == 0);
                return;
        }

        ASSERT(rc == 1 && used <= size);
        check_request(&r);
        ASSERT(request_encode(&r, &again) == 0);
        ASSERT(again.size == used && memcmp(again.data, data, used) == 0);
        ASSERT(request_decode(data, used - 1, &none, &unused) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *bytes = fuzz_bytes(data, size);
        _cleanup_(buffer_done) Buffer frame = {};
        const Request empty = {};

        check(bytes, size);

        ASSERT(request_encode(&empty, &frame) == 0);
        frame = frame_around(frame, data, size);
        check(frame.data, frame.size);
        return 0;
}

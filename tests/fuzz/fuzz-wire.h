/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The worker's protocol, in either direction. An input is the kind and the payload of one frame: length and
 * magic, on which a fuzzer would spend its life, are put in front here; but it is also read as it is. */

#include "fuzz/fuzz-definition.h"
#include "host/wire.h"

/* A whole frame around an input; @empty is any frame of that direction, and consumed. Its kind is the input's
 * first byte. */
static inline Buffer frame_around(Buffer empty, const uint8_t *data, size_t size) {
        uint32_t kind = size > 0 ? data[0] : 0, payload = size > 0 ? (uint32_t) size - 1 : 0;
        Buffer b = { .data = malloc(FRAME_HEADER_SIZE + payload), .size = FRAME_HEADER_SIZE + payload };

        ASSERT(b.data && empty.size >= FRAME_HEADER_SIZE);
        memcpy(b.data, empty.data, FRAME_HEADER_SIZE);
        memcpy(b.data + 4, &kind, sizeof kind);
        memcpy(b.data + FRAME_HEADER_SIZE - sizeof payload, &payload, sizeof payload);
        if (payload > 0)
                memcpy(b.data + FRAME_HEADER_SIZE, data + 1, payload);
        buffer_done(&empty);
        return b;
}

static inline void check_text(const char *s) {
        ASSERT(!s || text_is_utf8(s));
}

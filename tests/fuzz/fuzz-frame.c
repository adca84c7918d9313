/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a worker tells the daemon, which a driver or a script may have made it say: as fuzz-request.c. */

#include "fuzz/fuzz-wire.h"

static void check_sighting(const Sighting *s) {
        ASSERT(s->presence < _PRESENCE_MAX);
        ASSERT(s->presence == PRESENCE_ABSENT || s->presence == PRESENCE_UNKNOWN || (s->parent && s->path));
        check_text(s->parent);
        check_text(s->path);
        check_text(s->type);
}

static void check_types(const Types *types) {
        ASSERT(types->n <= TYPES_MAX);
        for (size_t i = 0; i < types->n; i++) {
                const Type *t = &types->types[i];

                ASSERT(t->name && t->label && t->device_api && t->description);
                check_text(t->name);
                check_text(t->label);
                check_text(t->device_api);
                check_text(t->description);
        }
}

static void check_failure(const Failure *f) {
        ASSERT(f->kind < _FAILURE_MAX);
        ASSERT(f->error >= 0 && failure_errno(f) >= 0);
        ASSERT(f->state >= -1 && f->state < _DEVICE_STATE_MAX);
        check_text(f->parent);
        check_text(f->type);
        check_text(f->subject);
        check_text(f->detail);
}

static void check_frame(const Frame *f) {
        check_definition(&f->definition);
        check_attributes(&f->attributes);
        check_types(&f->types);

        switch (f->kind) {
        case FRAME_SIGHTING:
                check_sighting(&f->sighting);
                break;
        case FRAME_DEFINITION:
                ASSERT(f->definition.parent && (f->definition.type || !f->exists));
                break;
        case FRAME_INVALID:
                ASSERT(f->path && f->reason && f->spares < _SPARES_MAX);
                ASSERT(f->definition.parent || f->spares == SPARES_NOTHING || f->spares == SPARES_ALL);
                break;
        case FRAME_TYPES:
                ASSERT(f->parent);
                break;
        case FRAME_ATTRIBUTES:
                break;
        case FRAME_SCRIPT:
                ASSERT(f->path && f->reason);
                break;
        case FRAME_CAPABILITY:
                ASSERT(f->capability.type);
                check_text(f->capability.type);
                check_text(f->capability.script);
                break;
        case FRAME_ACTION:
                ASSERT(f->definition.parent && f->definition.type && f->action < _SCRIPT_ACTION_MAX);
                break;
        case FRAME_RESULT:
                check_failure(&f->failure);
                break;
        case _FRAME_KIND_MAX:
                ASSERT(!"no kind");
        }

        check_text(f->path);
        check_text(f->reason);
        check_text(f->parent);
}

static void check(const char *data, size_t size) {
        _cleanup_(frame_done) Frame f, none, untouched;
        _cleanup_(buffer_done) Buffer again = {};
        size_t used = SIZE_MAX, unused;
        int rc;

        memset(&f, 0, sizeof f);
        memset(&none, 0, sizeof none);
        memset(&untouched, 0, sizeof untouched);
        rc = frame_decode(data, size, &f, &used);
        if (rc <= 0) {
                ASSERT(rc == 0 || rc == -EBADMSG);
                ASSERT(memcmp(&f, &untouched, sizeof f) == 0);
                return;
        }

        ASSERT(rc == 1 && used <= size);
        check_frame(&f);
        ASSERT(frame_encode(&f, &again) == 0);
        ASSERT(again.size == used && memcmp(again.data, data, used) == 0);
        ASSERT(frame_decode(data, used - 1, &none, &unused) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *bytes = fuzz_bytes(data, size);
        _cleanup_(buffer_done) Buffer frame = {};
        Frame empty = FRAME_INIT;

        check(bytes, size);

        empty.kind = FRAME_RESULT;
        ASSERT(frame_encode(&empty, &frame) == 0);
        frame = frame_around(frame, data, size);
        check(frame.data, frame.size);
        return 0;
}

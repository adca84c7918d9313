/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each sample is encoded, and what becomes of the bytes is what counts: whole, cut anywhere, changed
 * anywhere. What is decoded is copied to a block of exactly its size first, so that a sanitizer sees one byte
 * too many. */

#include "unit.h"

#include "host/wire.h"
#include "model/name.h"

static const Uuid uuid = { { 0xde, 0xad, 0xbe, 0xef, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xff } };

static char *copy(const char *s) {
        char *c = strdup(s);

        assert_non_null(c);
        return c;
}

/* Samples */

enum {
        N_REQUESTS = 12,
        N_FRAMES = 14,
};

static Definition make_definition(bool whole) {
        Definition d = { .uuid = uuid };

        if (whole) {
                d.autostart = true;
                d.parent = copy("0000:3b:00.0");
                d.type = copy("nvidia-35");
                assert_int_equal(attributes_append(&d.attributes, "b", "2"), 0);
                assert_int_equal(attributes_append(&d.attributes, "group/a", ""), 0);
                assert_int_equal(attributes_append(&d.attributes, "b", "h\xc3\xa9\n"), 0);
        }
        return d;
}

static Request make_request(unsigned i) {
        Request r = { .op = UINT64_MAX - i, .definition = make_definition(i % 2 == 0) };

        r.kind = (RequestKind) MIN(i, (unsigned) _REQUEST_KIND_MAX - 1);
        if (i % 3 == 0) {
                r.define = true;
                r.path = copy("/sys/devices/pci0000:3a/0000:3b:00.0/x");
        }
        if (i >= 3) {
                r.parents = calloc(4, sizeof *r.parents);
                assert_non_null(r.parents);
                for (unsigned n = 0; n < i % 3 + 1; n++)
                        r.parents[n] = copy(n == 1 ? "matrix" : "0000:3b:00.0");
        }
        if (i == 8)
                assert_int_equal(free_and_strdup(&r.definition.type, ""), 0);
        if (r.kind == REQUEST_REMOVE)
                r.wait_for_release = true;
        if (r.kind == REQUEST_DEFINE || i == 9)
                r.text = copy("{\n}");
        r.script_timeout_sec = i * 100;
        if (i == 9) {
                r.finish = true;
                r.action = SCRIPT_MODIFY;
        }
        if (i == 10 || i == 11) {
                r.live = true;
                r.direct = i == 11;
                r.force = i == 10;
                for (unsigned n = 0; n < 3; n++) {
                        Capability c = { .type = copy(n == 0                      ? "t"
                                                                         : n == 1 ? "u"
                                                                                  : "v"),
                                .script = n == 1 ? NULL : copy("/usr/lib/x"),
                                .actions = n,
                                .events = UINT32_MAX };

                        assert_int_equal(capabilities_add(&r.capabilities, UINT64_MAX - 1, &c), 0);
                }
        }
        if (r.kind == REQUEST_MODIFY) {
                Modification *m = &r.modification;

                m->type = copy("nvidia-36");
                m->autostart = AUTOSTART_MANUAL;
                m->set_attributes = true;
                assert_int_equal(attributes_append(&m->attributes, "c", "3"), 0);
                assert_int_equal(attributes_append(&m->attributes, "c", ""), 0);
                m->remove_attribute = true;
                m->remove_index = 1;
                m->add_name = copy("group/d");
                m->add_value = copy("");
                m->add_index = ATTRIBUTES_END;
        }
        return r;
}

static Frame make_frame(unsigned i) {
        Frame f = FRAME_INIT;

        f.op = UINT64_C(0x0123456789abcdef) + i;
        switch (i) {
        case 0: /* as empty as can be */
                f.kind = FRAME_SIGHTING;
                break;
        case 1:
                f.kind = FRAME_SIGHTING;
                f.sighting = (Sighting){ .presence = PRESENCE_PRESENT,
                        .iommu_group = 17,
                        .parent = copy("p"),
                        .path = copy("/sys/devices/p/x"),
                        .type = copy("t") };
                break;
        case 2:
                f.kind = FRAME_SIGHTING;
                f.sighting.presence = PRESENCE_ABSENT;
                break;
        case 3:
                f.kind = FRAME_DEFINITION;
                f.definition = make_definition(true);
                f.exists = true;
                break;
        case 4:
                f.kind = FRAME_DEFINITION;
                f.definition.uuid = uuid;
                f.definition.parent = copy("p");
                break;
        case 5:
                f.kind = FRAME_INVALID;
                f.path = copy("/etc/mdevctl.d/p/x");
                f.reason = copy("line 1, column 1: no");
                break;
        case 6:
                f.kind = FRAME_TYPES;
                f.parent = copy("p");
                f.types.types = calloc(2, sizeof *f.types.types);
                assert_non_null(f.types.types);
                f.types.n = 2;
                f.types.types[0] = (Type){ copy("a-1"), copy(""), copy("vfio-pci"), copy("x\ny"), 0 };
                f.types.types[1] = (Type){ copy("a-2"), copy("A 2"), copy(""), copy(""), UINT32_MAX };
                break;
        case 7:
                f.kind = FRAME_RESULT;
                break;
        case 8:
                f.kind = FRAME_ATTRIBUTES;
                assert_int_equal(attributes_append(&f.attributes, "a", "1"), 0);
                assert_int_equal(attributes_append(&f.attributes, "a", ""), 0);
                break;
        case 9:
                f.kind = FRAME_SCRIPT;
                f.path = copy("/usr/lib/mdevctl/scripts.d/callouts/x");
                f.reason = copy("h\xc3\xa9\n");
                f.failed = true;
                break;
        case 10:
                f.kind = FRAME_CAPABILITY;
                f.fingerprint = UINT64_MAX - 2;
                f.capability = (Capability){ copy("t"), NULL, 0, 0 };
                break;
        case 12:
                f.kind = FRAME_ACTION;
                f.definition = make_definition(true);
                f.action = SCRIPT_UNDEFINE;
                f.exists = true;
                break;
        case 11:
                f.kind = FRAME_CAPABILITY;
                f.capability = (Capability){ copy("t"), copy("/usr/lib/x"), 127, 31 };
                break;
        default:
                f.kind = FRAME_RESULT;
                f.created = true;
                f.stays = true;
                f.failure = (Failure){ .kind = FAILURE_ATTRIBUTE,
                        .error = ENOSPC,
                        .index = UINT32_MAX,
                        .state = DEVICE_ORPHANED,
                        .uuid = uuid,
                        .has_uuid = true,
                        .parent = copy("p"),
                        .type = copy("t"),
                        .subject = copy("group/a"),
                        .detail = copy("the driver says no"),
                        .rollback_error = 524,
                        .changed_live = true,
                        .changed_store = true };
                break;
        }
        return f;
}

/* Comparing */

static void assert_definitions_equal(const Definition *a, const Definition *b) {
        assert_true(uuid_equal(&a->uuid, &b->uuid));
        assert_int_equal(a->autostart, b->autostart);
        assert_streq_ptr(a->parent, b->parent);
        assert_streq_ptr(a->type, b->type);
        assert_int_equal(a->attributes.n, b->attributes.n);
        assert_true(attributes_equal(&a->attributes, &b->attributes));
}

static void assert_modifications_equal(const Modification *a, const Modification *b) {
        assert_streq_ptr(a->type, b->type);
        assert_int_equal(a->autostart, b->autostart);
        assert_int_equal(a->set_attributes, b->set_attributes);
        assert_int_equal(a->attributes.n, b->attributes.n);
        assert_true(attributes_equal(&a->attributes, &b->attributes));
        assert_int_equal(a->remove_attribute, b->remove_attribute);
        assert_int_equal(a->remove_index, b->remove_index);
        assert_streq_ptr(a->add_name, b->add_name);
        assert_streq_ptr(a->add_value, b->add_value);
        assert_int_equal(a->add_index, b->add_index);
}

static void assert_capabilities_equal(const Capability *a, const Capability *b) {
        assert_streq_ptr(a->type, b->type);
        assert_streq_ptr(a->script, b->script);
        assert_int_equal(a->actions, b->actions);
        assert_int_equal(a->events, b->events);
}

static void assert_requests_equal(const Request *a, const Request *b) {
        assert_int_equal(a->kind, b->kind);
        assert_true(a->op == b->op);
        assert_definitions_equal(&a->definition, &b->definition);
        assert_int_equal(a->define, b->define);
        assert_int_equal(a->wait_for_release, b->wait_for_release);
        assert_modifications_equal(&a->modification, &b->modification);
        assert_streq_ptr(a->text, b->text);
        assert_streq_ptr(a->path, b->path);
        assert_int_equal(!a->parents, !b->parents);
        for (size_t i = 0; a->parents && (i == 0 || a->parents[i - 1]); i++)
                assert_streq_ptr(a->parents[i], b->parents[i]);
        assert_int_equal(a->live, b->live);
        assert_int_equal(a->direct, b->direct);
        assert_int_equal(a->force, b->force);
        assert_int_equal(a->finish, b->finish);
        assert_int_equal(a->action, b->action);
        assert_int_equal(a->script_timeout_sec, b->script_timeout_sec);
        assert_true(a->capabilities.fingerprint == b->capabilities.fingerprint);
        assert_int_equal(a->capabilities.n, b->capabilities.n);
        for (size_t i = 0; i < a->capabilities.n; i++)
                assert_capabilities_equal(&a->capabilities.list[i], &b->capabilities.list[i]);
}

static void assert_frames_equal(const Frame *a, const Frame *b) {
        const Failure *f = &a->failure, *g = &b->failure;

        assert_int_equal(a->kind, b->kind);
        assert_true(a->op == b->op);
        assert_int_equal(a->sighting.presence, b->sighting.presence);
        assert_int_equal(a->sighting.iommu_group, b->sighting.iommu_group);
        assert_streq_ptr(a->sighting.parent, b->sighting.parent);
        assert_streq_ptr(a->sighting.path, b->sighting.path);
        assert_streq_ptr(a->sighting.type, b->sighting.type);
        assert_definitions_equal(&a->definition, &b->definition);
        assert_int_equal(a->exists, b->exists);
        assert_streq_ptr(a->path, b->path);
        assert_streq_ptr(a->reason, b->reason);
        assert_streq_ptr(a->parent, b->parent);
        assert_true(types_equal(&a->types, &b->types));
        assert_int_equal(a->created, b->created);
        assert_int_equal(a->stays, b->stays);
        assert_int_equal(a->attributes.n, b->attributes.n);
        assert_true(attributes_equal(&a->attributes, &b->attributes));
        assert_int_equal(a->failed, b->failed);
        assert_int_equal(a->action, b->action);
        assert_true(a->fingerprint == b->fingerprint);
        assert_capabilities_equal(&a->capability, &b->capability);

        assert_int_equal(f->kind, g->kind);
        assert_int_equal(f->error, g->error);
        assert_int_equal(f->index, g->index);
        assert_int_equal(f->state, g->state);
        assert_int_equal(f->has_uuid, g->has_uuid);
        assert_true(uuid_equal(&f->uuid, &g->uuid));
        assert_streq_ptr(f->parent, g->parent);
        assert_streq_ptr(f->type, g->type);
        assert_streq_ptr(f->subject, g->subject);
        assert_streq_ptr(f->detail, g->detail);
        assert_int_equal(f->rollback_error, g->rollback_error);
        assert_int_equal(f->changed_live, g->changed_live);
        assert_int_equal(f->changed_store, g->changed_store);
}

/* Decodes a copy of exactly @size bytes as a request or a frame, and checks that nothing is written on
 * failure. Return: as request_decode(). */
static int decode(bool is_request, const char *data, size_t size, Request *ret_request, Frame *ret_frame) {
        char *exact = malloc(size);
        size_t used = 4711;
        int r;

        assert_true(exact || size == 0);
        memcpy(exact, data, size);
        if (is_request) {
                Request request = { .op = 4711, .path = exact };

                r = request_decode(exact, size, &request, &used);
                if (r <= 0)
                        assert_true(request.op == 4711 && request.path == exact);
                else if (ret_request)
                        *ret_request = request;
                else
                        request_done(&request);
        } else {
                Frame frame = { .op = 4711, .path = exact };

                r = frame_decode(exact, size, &frame, &used);
                if (r <= 0)
                        assert_true(frame.op == 4711 && frame.path == exact);
                else if (ret_frame)
                        *ret_frame = frame;
                else
                        frame_done(&frame);
        }
        if (r > 0)
                assert_true(used >= FRAME_HEADER_SIZE && used <= size);
        else
                assert_true(r == 0 || r == -EBADMSG);
        free(exact);
        return r;
}

/* What is taken is a value like another: it goes back into bytes and comes out the same. */
static void assert_valid(bool is_request, const char *data, size_t size) {
        _cleanup_(request_done) Request request = {}, request2 = {};
        _cleanup_(frame_done) Frame frame = FRAME_INIT, frame2 = FRAME_INIT;
        _cleanup_(buffer_done) Buffer b = {};

        assert_int_equal(decode(is_request, data, size, &request, &frame), 1);
        if (is_request) {
                assert_true(request.kind < _REQUEST_KIND_MAX);
                assert_int_equal(request_encode(&request, &b), 0);
                assert_int_equal(decode(true, b.data, b.size, &request2, NULL), 1);
                assert_requests_equal(&request, &request2);
        } else {
                assert_true(frame.kind < _FRAME_KIND_MAX);
                assert_true(frame.failure.kind < _FAILURE_MAX);
                assert_int_equal(frame_encode(&frame, &b), 0);
                assert_int_equal(decode(false, b.data, b.size, NULL, &frame2), 1);
                assert_frames_equal(&frame, &frame2);
        }
}

/* The bytes of the @i-th sample, requests first. */
static Buffer sample(unsigned i, bool *ret_is_request) {
        Buffer b = {};

        *ret_is_request = i < N_REQUESTS;
        if (i < N_REQUESTS) {
                _cleanup_(request_done) Request r = make_request(i);

                assert_int_equal(request_encode(&r, &b), 0);
        } else {
                _cleanup_(frame_done) Frame f = make_frame(i - N_REQUESTS);

                assert_int_equal(frame_encode(&f, &b), 0);
        }
        return b;
}

#define FOREACH_SAMPLE(i) for (unsigned i = 0; i < N_REQUESTS + N_FRAMES; i++)

/* Whole */

static void test_round_trip_requests(void **state) {
        unsigned kinds = 0;

        (void) state;

        for (unsigned i = 0; i < N_REQUESTS; i++) {
                _cleanup_(request_done) Request r = make_request(i), got = {};
                _cleanup_(buffer_done) Buffer b = {};
                size_t used = 0;

                assert_int_equal(request_encode(&r, &b), 0);
                assert_int_equal(request_decode(b.data, b.size, &got, &used), 1);
                assert_int_equal(used, b.size);
                assert_requests_equal(&r, &got);
                kinds |= 1U << got.kind;
        }
        assert_int_equal(kinds, (1U << _REQUEST_KIND_MAX) - 1);
}

static void test_round_trip_frames(void **state) {
        unsigned kinds = 0;

        (void) state;

        for (unsigned i = 0; i < N_FRAMES; i++) {
                _cleanup_(frame_done) Frame f = make_frame(i), got = FRAME_INIT;
                _cleanup_(buffer_done) Buffer b = {};
                size_t used = 0;

                assert_int_equal(frame_encode(&f, &b), 0);
                assert_int_equal(frame_decode(b.data, b.size, &got, &used), 1);
                assert_int_equal(used, b.size);
                assert_frames_equal(&f, &got);
                kinds |= 1U << got.kind;
        }
        assert_int_equal(kinds, (1U << _FRAME_KIND_MAX) - 1);
}

static void test_every_enumerator(void **state) {
        (void) state;

        for (unsigned i = 0; i < _FAILURE_MAX; i++) {
                _cleanup_(frame_done) Frame f = FRAME_INIT, got = FRAME_INIT;
                _cleanup_(buffer_done) Buffer b = {};

                f.kind = FRAME_RESULT;
                f.failure.kind = (FailureKind) i;
                f.failure.state = (int) (i % (_DEVICE_STATE_MAX + 1)) - 1;
                assert_int_equal(frame_encode(&f, &b), 0);
                assert_int_equal(decode(false, b.data, b.size, NULL, &got), 1);
                assert_frames_equal(&f, &got);
        }
        for (unsigned i = 0; i < _PRESENCE_MAX; i++) {
                _cleanup_(frame_done) Frame f = make_frame(1), got = FRAME_INIT;
                _cleanup_(buffer_done) Buffer b = {};

                f.sighting.presence = (Presence) i;
                f.sighting.iommu_group = (int) i - 1;
                assert_int_equal(frame_encode(&f, &b), 0);
                assert_int_equal(decode(false, b.data, b.size, NULL, &got), 1);
                assert_frames_equal(&f, &got);
        }
}

/* Several in a row, as they come over a socket. */
static void test_sequence(void **state) {
        _cleanup_(buffer_done) Buffer b = {};
        size_t at = 0;

        (void) state;

        for (unsigned i = 0; i < N_FRAMES; i++) {
                _cleanup_(frame_done) Frame f = make_frame(i);

                assert_int_equal(frame_encode(&f, &b), 0);
        }
        for (unsigned i = 0; i < N_FRAMES; i++) {
                _cleanup_(frame_done) Frame f = make_frame(i), got = FRAME_INIT;
                size_t used = 0;

                assert_int_equal(frame_decode(b.data + at, b.size - at, &got, &used), 1);
                assert_frames_equal(&f, &got);
                at += used;
        }
        assert_int_equal(at, b.size);
}

/* Cut */

static void test_every_prefix(void **state) {
        (void) state;

        FOREACH_SAMPLE(i) {
                bool is_request;
                _cleanup_(buffer_done) Buffer b = sample(i, &is_request);

                for (size_t n = 0; n < b.size; n++)
                        assert_int_equal(decode(is_request, b.data, n, NULL, NULL), 0);
                assert_int_equal(decode(is_request, b.data, b.size, NULL, NULL), 1);
        }
}

/* With a header that says that what there is is all. */
static void test_every_payload_cut(void **state) {
        (void) state;

        FOREACH_SAMPLE(i) {
                bool is_request;
                _cleanup_(buffer_done) Buffer b = sample(i, &is_request);

                for (size_t n = FRAME_HEADER_SIZE; n < b.size; n++) {
                        uint32_t payload = (uint32_t) (n - FRAME_HEADER_SIZE);

                        memcpy(b.data + 16, &payload, sizeof payload);
                        assert_int_equal(decode(is_request, b.data, n, NULL, NULL), -EBADMSG);
                }
        }
}

static void test_every_payload_too_long(void **state) {
        (void) state;

        FOREACH_SAMPLE(i) {
                bool is_request;
                _cleanup_(buffer_done) Buffer b = sample(i, &is_request);

                for (size_t n = 1; n < 9; n++) {
                        uint32_t payload = (uint32_t) (b.size - FRAME_HEADER_SIZE + n);
                        char *longer = calloc(1, b.size + n);

                        memcpy(longer, b.data, b.size);
                        memcpy(longer + 16, &payload, sizeof payload);
                        assert_int_equal(decode(is_request, longer, b.size + n, NULL, NULL), -EBADMSG);
                        free(longer);
                }
        }
}

/* Changed */

static void test_every_byte(void **state) {
        static const unsigned char masks[] = { 0x01, 0x80, 0xff, 0x10 };

        (void) state;

        FOREACH_SAMPLE(i) {
                bool is_request;
                _cleanup_(buffer_done) Buffer b = sample(i, &is_request);

                for (size_t at = 0; at < b.size; at++)
                        for (size_t m = 0; m < ELEMENTSOF(masks) + 1; m++) {
                                char saved = b.data[at];

                                b.data[at] = m < ELEMENTSOF(masks) ? (char) (saved ^ masks[m]) : '\0';
                                if (decode(is_request, b.data, b.size, NULL, NULL) > 0)
                                        assert_valid(is_request, b.data, b.size);
                                b.data[at] = saved;
                        }
        }
}

static uint64_t random_state;

static uint32_t next_random(void) {
        random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t) (random_state >> 33);
}

static void test_random(void **state) {
        const char *seed = getenv("SEED");
        unsigned n_taken = 0;

        (void) state;

        random_state = seed ? strtoull(seed, NULL, 0) : 20180622;
        print_message("# seed %llu\n", (unsigned long long) random_state);
        for (unsigned round = 0; round < 20000; round++) {
                bool is_request;
                _cleanup_(buffer_done) Buffer b =
                                sample(next_random() % (N_REQUESTS + N_FRAMES), &is_request);

                for (unsigned n = 1 + next_random() % 4; n > 0; n--) {
                        size_t at = next_random() % b.size;
                        uint32_t value;

                        switch (next_random() % 5) {
                        case 0:
                                b.data[at] = (char) next_random();
                                break;
                        case 1: /* a number: near a bound, or small */
                                value = (uint32_t[]){ 0, 1, 2, 3, 255, 65535, 65536, FRAME_SIZE_MAX,
                                        INT32_MAX, UINT32_MAX }[next_random() % 10];
                                if (at + sizeof value <= b.size)
                                        memcpy(b.data + at, &value, sizeof value);
                                break;
                        case 2: /* a part moved */
                                memmove(b.data + at, b.data + at / 2, b.size - at);
                                break;
                        case 3: /* cut, and the header says so */
                                b.size = MAX(at, (size_t) FRAME_HEADER_SIZE);
                                value = (uint32_t) (b.size - FRAME_HEADER_SIZE);
                                memcpy(b.data + 16, &value, sizeof value);
                                break;
                        default:
                                memset(b.data + at, (int) next_random(), MIN(b.size - at, (size_t) 4));
                                break;
                        }
                }
                /* The magic stays, or there were nothing to see. */
                memcpy(b.data, "\x76\x65\x64\x6d", 4);
                if (decode(is_request, b.data, b.size, NULL, NULL) > 0) {
                        assert_valid(is_request, b.data, b.size);
                        n_taken++;
                }
        }
        assert_true(n_taken > 100);
}

/* The header */

static void patch_u32(Buffer *b, size_t at, uint32_t value) {
        assert_true(at + sizeof value <= b->size);
        memcpy(b->data + at, &value, sizeof value);
}

static void test_header(void **state) {
        (void) state;

        FOREACH_SAMPLE(i) {
                bool is_request;
                _cleanup_(buffer_done) Buffer b = sample(i, &is_request);
                uint32_t magic, kind;

                memcpy(&magic, b.data, sizeof magic);
                memcpy(&kind, b.data + 4, sizeof kind);
                patch_u32(&b, 0, magic + 1);
                assert_int_equal(decode(is_request, b.data, b.size, NULL, NULL), -EBADMSG);
                assert_int_equal(decode(is_request, b.data, FRAME_HEADER_SIZE, NULL, NULL), -EBADMSG);
                patch_u32(&b, 0, magic);
                patch_u32(&b, 4, is_request ? (uint32_t) _REQUEST_KIND_MAX : (uint32_t) _FRAME_KIND_MAX);
                assert_int_equal(decode(is_request, b.data, b.size, NULL, NULL), -EBADMSG);
                patch_u32(&b, 4, UINT32_MAX);
                assert_int_equal(decode(is_request, b.data, b.size, NULL, NULL), -EBADMSG);
                patch_u32(&b, 4, kind);

                /* Too large is said at once, and not waited for. */
                patch_u32(&b, 16, FRAME_SIZE_MAX);
                assert_int_equal(decode(is_request, b.data, b.size, NULL, NULL), 0);
                patch_u32(&b, 16, FRAME_SIZE_MAX + 1);
                assert_int_equal(decode(is_request, b.data, b.size, NULL, NULL), -EBADMSG);
                assert_int_equal(decode(is_request, b.data, FRAME_HEADER_SIZE, NULL, NULL), -EBADMSG);
                patch_u32(&b, 16, UINT32_MAX);
                assert_int_equal(decode(is_request, b.data, b.size, NULL, NULL), -EBADMSG);
        }
}

/* Too large */

static void assert_too_large(Frame *f) {
        _cleanup_(buffer_done) Buffer b = {};
        _cleanup_(frame_done) Frame small = make_frame(1), got = FRAME_INIT;
        size_t size;

        /* What was in the buffer stays. */
        assert_int_equal(frame_encode(&small, &b), 0);
        size = b.size;
        assert_int_equal(frame_encode(f, &b), -EFBIG);
        assert_int_equal(b.size, size);
        assert_int_equal(frame_encode(&small, &b), 0);
        assert_int_equal(b.size, 2 * size);
        assert_int_equal(decode(false, b.data + size, size, NULL, &got), 1);
        assert_frames_equal(&small, &got);
}

static void test_too_large(void **state) {
        _cleanup_(frame_done) Frame f = make_frame(5);

        (void) state;

        free(f.reason);
        f.reason = malloc(FRAME_SIZE_MAX + 1);
        memset(f.reason, 'x', FRAME_SIZE_MAX);
        f.reason[FRAME_SIZE_MAX] = '\0';
        assert_too_large(&f);
        f.reason[FRAME_SIZE_MAX - 1] = '\0';
        assert_too_large(&f);
        f.reason[FRAME_SIZE_MAX - 100] = '\0'; /* with the rest it fits */
        {
                _cleanup_(buffer_done) Buffer b = {};
                _cleanup_(frame_done) Frame got = FRAME_INIT;

                assert_int_equal(frame_encode(&f, &b), 0);
                assert_int_equal(decode(false, b.data, b.size, NULL, &got), 1);
                assert_frames_equal(&f, &got);
        }
}

/* A parent with all the types that there may be, with much to say, fits; so does the largest definition. */
static void test_largest(void **state) {
        _cleanup_(frame_done) Frame f = make_frame(6), got = FRAME_INIT, f2 = make_frame(3),
                                    got2 = FRAME_INIT;
        _cleanup_(buffer_done) Buffer b = {}, b2 = {};
        static char value[63];

        (void) state;

        types_done(&f.types);
        f.types.types = calloc(TYPES_MAX, sizeof *f.types.types);
        f.types.n = TYPES_MAX;
        for (size_t i = 0; i < TYPES_MAX; i++) {
                char *description = calloc(1, 3500);

                memset(description, 'd', 3499);
                f.types.types[i] = (Type){ copy("type"), copy("label"), copy("vfio-pci"), description, 1 };
        }
        assert_int_equal(frame_encode(&f, &b), 0);
        assert_int_equal(decode(false, b.data, b.size, NULL, &got), 1);
        assert_frames_equal(&f, &got);

        attributes_done(&f2.definition.attributes);
        memset(value, 'v', 61);
        for (unsigned i = 0; i < ATTRIBUTES_MAX; i++)
                assert_int_equal(attributes_append(&f2.definition.attributes, "a", value), 0);
        assert_int_equal(f2.definition.attributes.size, ATTRIBUTES_SIZE_MAX);
        assert_int_equal(frame_encode(&f2, &b2), 0);
        assert_int_equal(decode(false, b2.data, b2.size, NULL, &got2), 1);
        assert_frames_equal(&f2, &got2);
}

static void test_too_many_types(void **state) {
        _cleanup_(frame_done) Frame f = make_frame(6);
        _cleanup_(buffer_done) Buffer b = {};

        (void) state;

        types_done(&f.types);
        f.types.types = calloc(TYPES_MAX + 1, sizeof *f.types.types);
        f.types.n = TYPES_MAX + 1;
        for (size_t i = 0; i < f.types.n; i++)
                f.types.types[i] = (Type){ copy("t"), copy(""), copy(""), copy(""), 1 };
        assert_int_equal(frame_encode(&f, &b), 0);
        assert_int_equal(decode(false, b.data, b.size, NULL, NULL), -EBADMSG);
}

/* Contents */

static void assert_frame_refused(Frame *f) {
        _cleanup_(buffer_done) Buffer b = {};

        assert_int_equal(frame_encode(f, &b), 0);
        assert_int_equal(decode(false, b.data, b.size, NULL, NULL), -EBADMSG);
        frame_done(f);
}

static void test_names(void **state) {
        static const char *const bad_parents[] = { "", ".", "..", "a/b", "scripts.d", "a\nb" },
                                 *const bad_types[] = { ".", "..", "a/b", "a\nb" };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(bad_parents); i++) {
                Frame f = make_frame(3);
                _cleanup_(request_done) Request r = make_request(0);
                _cleanup_(buffer_done) Buffer b = {};

                assert_int_equal(free_and_strdup(&f.definition.parent, bad_parents[i]), 0);
                assert_frame_refused(&f);
                assert_int_equal(free_and_strdup(&r.definition.parent, bad_parents[i]), 0);
                assert_int_equal(request_encode(&r, &b), 0);
                assert_int_equal(decode(true, b.data, b.size, NULL, NULL), -EBADMSG);
        }
        for (size_t i = 0; i < ELEMENTSOF(bad_types); i++) {
                Frame f = make_frame(3);

                assert_int_equal(free_and_strdup(&f.definition.type, bad_types[i]), 0);
                assert_frame_refused(&f);
        }
}

static void assert_request_refused(Request *r) {
        _cleanup_(buffer_done) Buffer b = {};

        assert_int_equal(request_encode(r, &b), 0);
        assert_int_equal(decode(true, b.data, b.size, NULL, NULL), -EBADMSG);
        request_done(r);
}

static void test_modification(void **state) {
        Request r = make_request(REQUEST_MODIFY);

        (void) state;

        assert_int_equal(r.kind, REQUEST_MODIFY);
        r.modification.autostart = _AUTOSTART_MAX;
        assert_request_refused(&r);
        r = make_request(REQUEST_MODIFY);
        assert_int_equal(free_and_strdup(&r.modification.type, "a/b"), 0);
        assert_request_refused(&r);
        r = make_request(REQUEST_MODIFY);
        assert_int_equal(free_and_strdup(&r.modification.add_name, "remove"), 0);
        assert_request_refused(&r);
        r = make_request(REQUEST_MODIFY);
        assert_int_equal(free_and_strdup(&r.modification.add_value, NULL), 0);
        assert_request_refused(&r);
}

static void test_missing(void **state) {
        Frame f = make_frame(3);

        (void) state;

        assert_int_equal(free_and_strdup(&f.definition.parent, NULL), 0);
        assert_frame_refused(&f);
        f = make_frame(3);
        assert_int_equal(free_and_strdup(&f.definition.type, NULL), 0);
        assert_frame_refused(&f);
        f = make_frame(5);
        assert_int_equal(free_and_strdup(&f.path, NULL), 0);
        assert_frame_refused(&f);
        f = make_frame(5);
        assert_int_equal(free_and_strdup(&f.reason, NULL), 0);
        assert_frame_refused(&f);
        f = make_frame(6);
        assert_int_equal(free_and_strdup(&f.parent, NULL), 0);
        assert_frame_refused(&f);
        f = make_frame(6);
        assert_int_equal(free_and_strdup(&f.types.types[1].description, NULL), 0);
        assert_frame_refused(&f);

        /* Whatever is there is somewhere. */
        for (unsigned i = 0; i < _PRESENCE_MAX; i++)
                for (unsigned what = 0; what < 2; what++) {
                        if (i == PRESENCE_ABSENT || i == PRESENCE_UNKNOWN)
                                continue;
                        f = make_frame(1);
                        f.sighting.presence = (Presence) i;
                        assert_int_equal(free_and_strdup(what ? &f.sighting.parent : &f.sighting.path, NULL),
                                        0);
                        assert_frame_refused(&f);
                }
}

static void test_numbers(void **state) {
        Frame f = make_frame(13);

        (void) state;

        f.failure.error = -1;
        assert_frame_refused(&f);
        f = make_frame(13);
        f.failure.state = _DEVICE_STATE_MAX;
        assert_frame_refused(&f);
        f = make_frame(13);
        f.failure.state = -2;
        assert_frame_refused(&f);
        f = make_frame(13);
        f.failure.kind = _FAILURE_MAX;
        assert_frame_refused(&f);
        f = make_frame(1);
        f.sighting.presence = _PRESENCE_MAX;
        assert_frame_refused(&f);

        /* A truth value is one or the other. */
        f = make_frame(13);
        {
                _cleanup_(buffer_done) Buffer b = {};

                assert_int_equal(frame_encode(&f, &b), 0);
                patch_u32(&b, b.size - sizeof(uint32_t), 2);
                assert_int_equal(decode(false, b.data, b.size, NULL, NULL), -EBADMSG);
                patch_u32(&b, b.size - sizeof(uint32_t), 0);
                assert_int_equal(decode(false, b.data, b.size, NULL, NULL), 1);
        }
        frame_done(&f);

        f = make_frame(0);
        f.kind = _FRAME_KIND_MAX;
        {
                _cleanup_(buffer_done) Buffer b = {};

                assert_int_equal(frame_encode(&f, &b), -EINVAL);
                assert_int_equal(b.size, 0);
        }
        frame_done(&f);
}

/* A string's bytes are found and changed where they lie. */
static void test_strings(void **state) {
        static const char *const bad[] = { "no\0", "no\xff", "no\xc3", "\0no" };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                Frame f = make_frame(5);
                _cleanup_(buffer_done) Buffer b = {};
                char *at;

                assert_int_equal(free_and_strdup(&f.reason, "XYZ"), 0);
                assert_int_equal(frame_encode(&f, &b), 0);
                assert_int_equal(decode(false, b.data, b.size, NULL, NULL), 1);
                at = memmem(b.data, b.size, "XYZ", 4);
                assert_non_null(at);
                memcpy(at, bad[i], 3);
                assert_int_equal(decode(false, b.data, b.size, NULL, NULL), -EBADMSG);
                memcpy(at, "XYZ!", 4); /* without an end */
                assert_int_equal(decode(false, b.data, b.size, NULL, NULL), -EBADMSG);
                frame_done(&f);
        }
}

static void test_attributes(void **state) {
        static const struct {
                const char *text; /* of 16 bytes, instead of "aaa=1, bb=22, c=" */
        } bad[] = { { "aaa\0"
                      "1\0bb\0"
                      "22\0c\0"
                      ""
                      "x" },
                { "\0aa\0"
                  "1\0bb\0"
                  "22\0c\0" },
                { "../\0"
                  "1\0bb\0"
                  "22\0c\0" },
                { "aaa\0"
                  "1\0bb\0"
                  "22\0\0\0" },
                { "aaa1\0\0bb\0"
                  "22\0c\0"
                  "z" } };
        _cleanup_(request_done) Request r = make_request(1);
        _cleanup_(buffer_done) Buffer b = {};
        char *at;

        (void) state;

        assert_int_equal(attributes_append(&r.definition.attributes, "aaa", "1"), 0);
        assert_int_equal(attributes_append(&r.definition.attributes, "bb", "22"), 0);
        assert_int_equal(attributes_append(&r.definition.attributes, "c", ""), 0);
        assert_int_equal(request_encode(&r, &b), 0);
        at = memmem(b.data, b.size, "aaa", 3);
        assert_non_null(at);
        assert_int_equal(r.definition.attributes.size, 15);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                memcpy(at, bad[i].text, 15);
                if (i == 0)
                        at[14] = 'x'; /* the last NUL */
                assert_int_equal(decode(true, b.data, b.size, NULL, NULL), -EBADMSG);
        }

        /* A number of pairs that is another. */
        memcpy(at,
                        "aaa\0"
                        "1\0bb\0"
                        "22\0c\0",
                        15);
        assert_int_equal(decode(true, b.data, b.size, NULL, NULL), 1);
        at[-8] = 2;
        assert_int_equal(decode(true, b.data, b.size, NULL, NULL), -EBADMSG);
        at[-8] = 4;
        assert_int_equal(decode(true, b.data, b.size, NULL, NULL), -EBADMSG);
}

static void test_done(void **state) {
        Request r = make_request(6);
        Frame f = make_frame(13);
        Buffer b = {};

        (void) state;

        request_done(&r);
        request_done(&r);
        assert_null(r.parents);
        frame_done(&f);
        frame_done(&f);
        assert_int_equal(f.sighting.presence, PRESENCE_UNKNOWN);
        assert_int_equal(f.failure.state, -1);
        buffer_done(&b);
        assert_int_equal(request_encode(&r, &b), 0);
        buffer_done(&b);
        assert_null(b.data);
        assert_int_equal(b.size, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip_requests),
                cmocka_unit_test(test_round_trip_frames),
                cmocka_unit_test(test_every_enumerator),
                cmocka_unit_test(test_sequence),
                cmocka_unit_test(test_every_prefix),
                cmocka_unit_test(test_every_payload_cut),
                cmocka_unit_test(test_every_payload_too_long),
                cmocka_unit_test(test_every_byte),
                cmocka_unit_test(test_random),
                cmocka_unit_test(test_header),
                cmocka_unit_test(test_too_large),
                cmocka_unit_test(test_largest),
                cmocka_unit_test(test_too_many_types),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_modification),
                cmocka_unit_test(test_missing),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_strings),
                cmocka_unit_test(test_attributes),
                cmocka_unit_test(test_done),
        };

        return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Effects on a tree whose create and remove do what the kernel's do. What was told is kept as text, a line a
 * frame: "sighting present 0000:3b:00.0 t", "definition <parent> <type>", "result <kind> <errno>", and so on.
 */

#include "kernel.h"

#include "host/effect.h"
#include "model/name.h"

#define P1 "0000:3b:00.0"
#define P2 "0000:3b:00.4"
#define TYPE "t-1"
#define DEVICE DEVICES P1 "/" UUID_A
#define TOP "etc/mdevctl.d/"
#define FILE_A TOP P1 "/" UUID_A

#define EMPTY "{\n  \"mdev_type\": \"" TYPE "\",\n  \"start\": \"manual\",\n  \"attrs\": []\n}"

static struct {
        char text[16384];
        Failure failure; /* of the result */
        bool created;
        unsigned n_results;
        int error; /* what emit returns for facts */
} told;

static const char *const presences[_PRESENCE_MAX] = { "absent", "arriving", "present", "leaving", "orphan",
        "unknown" };

static inline void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline void tell(const char *format, ...) {
        size_t n = strlen(told.text);
        va_list ap;

        va_start(ap, format);
        assert_true(vsnprintf(told.text + n, sizeof told.text - n, format, ap) <
                        (int) (sizeof told.text - n));
        va_end(ap);
}

static inline int on_emit(const Frame *frame, void *userdata) {
        const Definition *d = &frame->definition;
        _cleanup_(buffer_done) Buffer b = {};

        assert_ptr_equal(userdata, &told);
        assert_true(frame->op == 4711);
        assert_int_equal(frame_encode(frame, &b), 0); /* it can go on its way */
        switch (frame->kind) {
        case FRAME_SIGHTING:
                tell("sighting %s %s %s\n", presences[frame->sighting.presence],
                                strempty(frame->sighting.parent), strempty(frame->sighting.type));
                break;
        case FRAME_DEFINITION:
                tell("definition %.2s %s %s\n", UUID_TEXT(&d->uuid), d->parent,
                                frame->exists ? d->type : "(none)");
                break;
        case FRAME_INVALID:
                tell("invalid %s: %s\n", frame->path, frame->reason);
                break;
        case FRAME_TYPES:
                tell("types %s", frame->parent);
                for (size_t i = 0; i < frame->types.n; i++)
                        tell(" %s=%u", frame->types.types[i].name, frame->types.types[i].available_instances);
                tell("\n");
                break;
        case FRAME_ATTRIBUTES:
                tell("attributes");
                FOREACH_ATTRIBUTE(name, value, &frame->attributes)
                        tell(" %s=%s", name, value);
                tell("\n");
                break;
        case FRAME_SCRIPT:
                tell("script %s%s: %s\n", strrchr(frame->path, '/') + 1, frame->failed ? " failed" : "",
                                frame->reason);
                break;
        case FRAME_CAPABILITY:
                /* Whether it is told depends on how new the scripts are, and that on the machine. */
                assert_non_null(frame->capability.type);
                break;
        case FRAME_RESULT:
                tell("result\n");
                told.n_results++;
                told.created = frame->created;
                failure_done(&told.failure);
                told.failure = frame->failure;
                told.failure.parent = told.failure.type = told.failure.subject = told.failure.detail = NULL;
                assert_int_equal(free_and_strdup(&told.failure.parent, frame->failure.parent), 0);
                assert_int_equal(free_and_strdup(&told.failure.type, frame->failure.type), 0);
                assert_int_equal(free_and_strdup(&told.failure.subject, frame->failure.subject), 0);
                assert_int_equal(free_and_strdup(&told.failure.detail, frame->failure.detail), 0);
                break;
        case _FRAME_KIND_MAX:
                fail();
        }

        /* Nobody may be listening any more. */
        return told.error;
}

static inline int setup(void **state) {
        memset(&told, 0, sizeof told);
        told.failure = FAILURE_INIT;
        assert_int_equal(kernel_setup(state), 0);
        host_parent(P1);
        host_type(P1, TYPE, "4\n");
        return 0;
}

static inline int teardown(void **state) {
        failure_done(&told.failure);
        return tree_teardown(state);
}

/* A request of the device UUID_A on P1; @attributes: name, value, …, NULL. */
static inline Request request_for(RequestKind kind, const char *const *attributes) {
        Request r = { .kind = kind, .op = 4711, .definition = { .uuid = uuid_of(UUID_A) } };

        r.definition.parent = strdup(P1);
        r.definition.type = strdup(TYPE);
        assert_non_null(r.definition.parent);
        assert_non_null(r.definition.type);
        for (; attributes && *attributes; attributes += 2)
                assert_int_equal(
                                attributes_append(&r.definition.attributes, attributes[0], attributes[1]), 0);
        return r;
}

static inline void set_parents(Request *r, const char *const *parents) {
        size_t n = 0;

        while (parents[n])
                n++;
        r->parents = calloc(n + 1, sizeof *r->parents);
        assert_non_null(r->parents);
        for (size_t i = 0; i < n; i++)
                r->parents[i] = strdup(parents[i]);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* Performs, frees the request, and compares what was told; @expected NULL: the caller does. */
static inline void perform(Request *r, int lock_fd, const char *expected) {
        told.text[0] = '\0';
        told.n_results = 0;
        effect_perform(tree_fd, r, lock_fd, on_emit, &told);
        request_done(r);
        if (expected)
                assert_string_equal(told.text, expected);
        assert_int_equal(told.n_results, 1);
}

static inline void assert_result(FailureKind kind, int error, bool created) {
        assert_int_equal(told.failure.kind, kind);
        assert_int_equal(told.failure.error, error);
        assert_int_equal(told.created, created);
        assert_int_equal(told.failure.rollback_error, 0);
        if (kind != FAILURE_NONE) {
                assert_true(told.failure.has_uuid);
                assert_string_equal(UUID_TEXT(&told.failure.uuid), UUID_A);
                assert_streq_ptr(told.failure.parent, P1);
        }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit.h"

#include "model/failure.h"

static const Uuid uuid = { { 1, 2, 3 } };

/* The errnos are the API's: a client sees them. */
static const struct {
        FailureKind kind;
        int error;
} kinds[] = {
        { FAILURE_NONE, 0 },
        { FAILURE_EXISTS, EEXIST },
        { FAILURE_EXISTS_DEFINED, EEXIST },
        { FAILURE_EXISTS_ELSEWHERE, EEXIST },
        { FAILURE_BEING_CREATED, EAGAIN },
        { FAILURE_BEING_REMOVED, EAGAIN },
        { FAILURE_BUSY, EAGAIN },
        { FAILURE_CHANGED_MEANWHILE, EAGAIN },
        { FAILURE_NO_SUCH_DEVICE, ENODEV },
        { FAILURE_NO_SUCH_DEFINITION, ENODEV },
        { FAILURE_NO_SUCH_PARENT, ENODEV },
        { FAILURE_NOT_ACTIVE, ENODEV },
        { FAILURE_AMBIGUOUS, ENOTUNIQ },
        { FAILURE_ORPHANED, ENOTRECOVERABLE },
        { FAILURE_PARENT_ABSENT, ENXIO },
        { FAILURE_TOO_MANY, EUSERS },
        { FAILURE_BAD_UUID, EINVAL },
        { FAILURE_BAD_PARENT, EINVAL },
        { FAILURE_BAD_TYPE, EINVAL },
        { FAILURE_BAD_ATTRIBUTE, EINVAL },
        { FAILURE_BAD_OPTION, EINVAL },
        { FAILURE_UNDERSPECIFIED, EINVAL },
        { FAILURE_EXISTS_IN_KERNEL, EEXIST },
        { FAILURE_NO_SUCH_TYPE, ENOENT },
        { FAILURE_NO_CAPACITY, ENOSPC },
        { FAILURE_INVALID_DEFINITION, EBADMSG },
        { FAILURE_EXISTS_ON_DISK, EEXIST },
        { FAILURE_CANCELLED, ECANCELED },
        { FAILURE_NO_MEMORY, ENOMEM },
};

static void test_errno_of_kinds(void **state) {
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                Failure f = FAILURE_INIT;

                assert_int_equal(failure_set(&f, kinds[i].kind, 0, NULL, NULL), -kinds[i].error);
                assert_int_equal(failure_errno(&f), kinds[i].error);
                assert_int_equal(failure_is_set(&f), kinds[i].kind != FAILURE_NONE);
                failure_done(&f);
        }
}

/* No kind may be without an errno: "return failure_set(…)" would be a success. */
static void test_every_kind_has_an_errno(void **state) {
        (void) state;

        for (int kind = FAILURE_NONE + 1; kind < _FAILURE_MAX; kind++) {
                Failure f = FAILURE_INIT;

                if (failure_set(&f, (FailureKind) kind, 0, NULL, NULL) >= 0)
                        fail_msg("kind %d", kind);
                failure_done(&f);
        }
}

/* What the kernel or the disk said goes before the kind's own, whatever its sign. */
static void test_errno_given(void **state) {
        Failure f = FAILURE_INIT;

        (void) state;

        assert_int_equal(failure_set(&f, FAILURE_KERNEL, -EBUSY, "create", NULL), -EBUSY);
        assert_int_equal(f.error, EBUSY);
        assert_int_equal(failure_set(&f, FAILURE_STORE, EROFS, "/etc", NULL), -EROFS);
        assert_int_equal(failure_errno(&f), EROFS);
        assert_int_equal(failure_set(&f, FAILURE_KERNEL, 524, NULL, NULL), -524);
        assert_int_equal(failure_set(&f, FAILURE_KERNEL, 0, NULL, NULL), -EIO);
        assert_int_equal(failure_set(&f, FAILURE_NO_MEMORY, EBUSY, NULL, NULL), -ENOMEM);
        failure_done(&f);
}

static void test_initial(void **state) {
        Failure f = FAILURE_INIT;

        (void) state;

        assert_false(failure_is_set(&f));
        assert_int_equal(failure_errno(&f), 0);
        assert_int_equal(f.state, -1);
        assert_false(f.has_uuid);
        failure_done(&f);
        failure_done(&f);
        assert_int_equal(f.state, -1);
}

static void test_set_replaces(void **state) {
        Failure f = FAILURE_INIT;
        char subject[] = "create";

        (void) state;

        (void) failure_set(&f, FAILURE_KERNEL, EIO, subject, "probe failed");
        subject[0] = 'X';
        assert_string_equal(f.subject, "create");
        assert_string_equal(f.detail, "probe failed");

        (void) failure_set(&f, FAILURE_BUSY, 0, "remove", NULL);
        assert_int_equal(f.kind, FAILURE_BUSY);
        assert_int_equal(f.error, 0);
        assert_string_equal(f.subject, "remove");
        assert_null(f.detail);

        (void) failure_set(&f, FAILURE_BUSY, 0, NULL, "");
        assert_null(f.subject);
        assert_string_equal(f.detail, "");
        failure_done(&f);
        assert_null(f.detail);
        assert_int_equal(f.kind, FAILURE_NONE);
}

static void test_set_device(void **state) {
        Failure f = FAILURE_INIT;

        (void) state;

        assert_int_equal(failure_set_device(&f, &uuid, "p", "t"), 0);
        assert_false(failure_is_set(&f));
        assert_true(f.has_uuid);
        assert_true(uuid_equal(&f.uuid, &uuid));
        assert_string_equal(f.parent, "p");
        assert_string_equal(f.type, "t");

        /* The kind is not touched by it, nor what it speaks of by the kind. */
        assert_int_equal(failure_set(&f, FAILURE_EXISTS, 0, "s", NULL), -EEXIST);
        assert_string_equal(f.parent, "p");
        assert_int_equal(failure_set_device(&f, &f.uuid, "q", NULL), -EEXIST);
        assert_true(uuid_equal(&f.uuid, &uuid));
        assert_string_equal(f.parent, "q");
        assert_null(f.type);
        assert_string_equal(f.subject, "s");

        assert_int_equal(failure_set_device(&f, NULL, NULL, NULL), -EEXIST);
        assert_false(f.has_uuid);
        assert_null(f.parent);
        failure_done(&f);
}

static void test_move(void **state) {
        Failure from = FAILURE_INIT, to = FAILURE_INIT;

        (void) state;

        (void) failure_set(&to, FAILURE_BUSY, 0, "old", "old");
        (void) failure_set_device(&to, NULL, "old", "old");
        (void) failure_set(&from, FAILURE_ATTRIBUTE, EINVAL, "name", "text");
        (void) failure_set_device(&from, &uuid, "p", "t");
        from.index = 7;
        from.state = 2;
        from.rollback_error = EBUSY;

        failure_move(&to, &from);
        assert_int_equal(to.kind, FAILURE_ATTRIBUTE);
        assert_int_equal(to.error, EINVAL);
        assert_int_equal(to.index, 7);
        assert_int_equal(to.state, 2);
        assert_int_equal(to.rollback_error, EBUSY);
        assert_true(to.has_uuid && uuid_equal(&to.uuid, &uuid));
        assert_string_equal(to.parent, "p");
        assert_string_equal(to.type, "t");
        assert_string_equal(to.subject, "name");
        assert_string_equal(to.detail, "text");

        assert_false(failure_is_set(&from));
        assert_null(from.parent);
        assert_null(from.type);
        assert_null(from.subject);
        assert_null(from.detail);
        assert_int_equal(from.state, -1);
        failure_done(&from);
        failure_done(&to);
}

static void test_errno_name(void **state) {
        (void) state;

        assert_string_equal(errno_name(ENOSPC), "ENOSPC");
        assert_string_equal(errno_name(EEXIST), "EEXIST");
        assert_string_equal(errno_name(ENOTRECOVERABLE), "ENOTRECOVERABLE");
        assert_string_equal(errno_name(512), "ERESTARTSYS");
        assert_string_equal(errno_name(513), "ERESTARTNOINTR");
        assert_string_equal(errno_name(517), "EPROBE_DEFER");
        assert_string_equal(errno_name(524), "ENOTSUPP");
        assert_null(errno_name(4242));
        assert_null(errno_name(-1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_errno_of_kinds),
                cmocka_unit_test(test_every_kind_has_an_errno),
                cmocka_unit_test(test_errno_given),
                cmocka_unit_test(test_initial),
                cmocka_unit_test(test_set_replaces),
                cmocka_unit_test(test_set_device),
                cmocka_unit_test(test_move),
                cmocka_unit_test(test_errno_name),
        };

        return cmocka_run_group_tests_name("failure", tests, NULL, NULL);
}

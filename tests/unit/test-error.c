/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For every kind of failure, and whatever of it is known or not: a name, and a sentence that reads as one. */

#include "unit.h"

#include "api/mdevd-names.h"
#include "bus/error.h"
#include "model/registry.h"

#define UUID "00112233-4455-6677-8899-aabbccddeeff"
#define PARENT "0000:3b:00.0"
#define TYPE "nvidia-35"

/* What is known of a failure, as a mask. */
enum {
        WITH_UUID = 1 << 0,
        WITH_PARENT = 1 << 1,
        WITH_TYPE = 1 << 2,
        WITH_SUBJECT = 1 << 3,
        WITH_DETAIL = 1 << 4,
        WITH_STATE = 1 << 5,
        WITH_ERROR = 1 << 6,
        WITH_ALL = (1 << 7) - 1,
};

/* The contract, and what each sentence cannot do without (which is always given), and what it says if given.
 */
static const struct {
        const char *name;
        unsigned needs, tells;
        int error; /* its errno if the failure has none of its own */
} kinds[_FAILURE_MAX] = {
        [FAILURE_NONE] = { SD_BUS_ERROR_FAILED, 0, 0, 0 },
        [FAILURE_EXISTS] = { "org.mdevd1.Error.Exists", WITH_UUID | WITH_STATE, WITH_PARENT | WITH_TYPE,
                        EEXIST },
        [FAILURE_EXISTS_DEFINED] = { "org.mdevd1.Error.Exists", WITH_UUID | WITH_PARENT, WITH_TYPE, EEXIST },
        [FAILURE_EXISTS_ELSEWHERE] = { "org.mdevd1.Error.Exists", WITH_UUID | WITH_PARENT, WITH_TYPE,
                        EEXIST },
        [FAILURE_EXISTS_IN_KERNEL] = { "org.mdevd1.Error.Exists", WITH_UUID, WITH_ERROR, EEXIST },
        [FAILURE_EXISTS_ON_DISK] = { "org.mdevd1.Error.Exists", WITH_SUBJECT, 0, EEXIST },
        [FAILURE_BEING_CREATED] = { "org.mdevd1.Error.TryAgain", WITH_UUID, WITH_PARENT, EAGAIN },
        [FAILURE_BEING_REMOVED] = { "org.mdevd1.Error.TryAgain", WITH_UUID, WITH_PARENT, EAGAIN },
        [FAILURE_BUSY] = { "org.mdevd1.Error.TryAgain", WITH_UUID, 0, EAGAIN },
        [FAILURE_CHANGED_MEANWHILE] = { "org.mdevd1.Error.TryAgain", WITH_UUID, 0, EAGAIN },
        [FAILURE_NO_SUCH_DEVICE] = { "org.mdevd1.Error.NotFound", WITH_UUID, 0, ENODEV },
        [FAILURE_NO_SUCH_DEFINITION] = { "org.mdevd1.Error.NotFound", WITH_UUID, WITH_PARENT, ENODEV },
        [FAILURE_NO_SUCH_PARENT] = { "org.mdevd1.Error.NotFound", WITH_PARENT, 0, ENODEV },
        [FAILURE_NOT_ACTIVE] = { "org.mdevd1.Error.NotActive", WITH_UUID, WITH_PARENT, ENODEV },
        [FAILURE_AMBIGUOUS] = { "org.mdevd1.Error.Ambiguous", WITH_UUID | WITH_DETAIL, 0, ENOTUNIQ },
        [FAILURE_ORPHANED] = { "org.mdevd1.Error.Orphaned", WITH_UUID, WITH_PARENT, ENOTRECOVERABLE },
        [FAILURE_PARENT_ABSENT] = { "org.mdevd1.Error.ParentAbsent", WITH_PARENT, WITH_UUID, ENXIO },
        [FAILURE_TOO_MANY] = { "org.mdevd1.Error.LimitsExceeded", WITH_SUBJECT, 0, EUSERS },
        [FAILURE_BAD_UUID] = { SD_BUS_ERROR_INVALID_ARGS, WITH_SUBJECT, 0, EINVAL },
        [FAILURE_BAD_PARENT] = { SD_BUS_ERROR_INVALID_ARGS, WITH_SUBJECT, 0, EINVAL },
        [FAILURE_BAD_TYPE] = { SD_BUS_ERROR_INVALID_ARGS, WITH_SUBJECT, 0, EINVAL },
        [FAILURE_BAD_ATTRIBUTE] = { SD_BUS_ERROR_INVALID_ARGS, WITH_SUBJECT | WITH_DETAIL, 0, EINVAL },
        [FAILURE_BAD_INDEX] = { SD_BUS_ERROR_INVALID_ARGS, WITH_UUID, WITH_PARENT, EINVAL },
        [FAILURE_BAD_OPTION] = { SD_BUS_ERROR_INVALID_ARGS, WITH_SUBJECT | WITH_DETAIL, 0, EINVAL },
        [FAILURE_UNDERSPECIFIED] = { SD_BUS_ERROR_INVALID_ARGS, WITH_SUBJECT, WITH_UUID, EINVAL },
        [FAILURE_NO_SUCH_TYPE] = { "org.mdevd1.Error.NoSuchType", WITH_PARENT | WITH_TYPE, WITH_UUID,
                        ENOENT },
        [FAILURE_NO_CAPACITY] = { "org.mdevd1.Error.NoCapacity", WITH_UUID | WITH_TYPE,
                        WITH_PARENT | WITH_ERROR, ENOSPC },
        [FAILURE_IN_USE] = { "org.mdevd1.Error.InUse", WITH_UUID, WITH_PARENT | WITH_TYPE | WITH_DETAIL,
                        EBUSY },
        [FAILURE_KERNEL] = { "org.mdevd1.Error.Kernel", WITH_UUID | WITH_SUBJECT | WITH_ERROR,
                        WITH_PARENT | WITH_TYPE | WITH_DETAIL, EIO },
        [FAILURE_ATTRIBUTE] = { "org.mdevd1.Error.Attribute", WITH_UUID | WITH_SUBJECT | WITH_ERROR,
                        WITH_PARENT | WITH_TYPE | WITH_DETAIL, EIO },
        [FAILURE_LIVE_ATTRIBUTE] = { "org.mdevd1.Error.Attribute", WITH_UUID | WITH_SUBJECT | WITH_ERROR,
                        WITH_PARENT | WITH_TYPE | WITH_DETAIL, EIO },
        [FAILURE_NOT_LIVE] = { SD_BUS_ERROR_NOT_SUPPORTED, WITH_UUID, WITH_PARENT | WITH_TYPE, EOPNOTSUPP },
        [FAILURE_INVALID_DEFINITION] = { "org.mdevd1.Error.InvalidDefinition", WITH_DETAIL, WITH_SUBJECT,
                        EBADMSG },
        [FAILURE_STORE] = { "org.mdevd1.Error.Store", WITH_SUBJECT | WITH_ERROR, WITH_UUID, EIO },
        [FAILURE_INCOMPLETE] = { "org.freedesktop.DBus.Error.Failed", WITH_UUID, WITH_PARENT | WITH_TYPE,
                        EIO },
        [FAILURE_CALL_OUT] = { "org.mdevd1.Error.CallOut", WITH_UUID | WITH_SUBJECT | WITH_DETAIL,
                        WITH_PARENT | WITH_TYPE, ECANCELED },
        [FAILURE_SCRIPT] = { "org.mdevd1.Error.CallOut", WITH_UUID | WITH_SUBJECT | WITH_DETAIL,
                        WITH_PARENT | WITH_TYPE, ECANCELED },
        [FAILURE_WORKER] = { SD_BUS_ERROR_FAILED, WITH_UUID,
                        WITH_PARENT | WITH_TYPE | WITH_DETAIL | WITH_ERROR, EIO },
        [FAILURE_PENDING] = { "org.mdevd1.Error.Pending", WITH_UUID, WITH_PARENT, EINPROGRESS },
        [FAILURE_CANCELLED] = { "org.mdevd1.Error.Pending", WITH_UUID, 0, ECANCELED },
        [FAILURE_NO_MEMORY] = { SD_BUS_ERROR_NO_MEMORY, 0, 0, ENOMEM },
};

static Failure make(FailureKind kind, unsigned with) {
        Failure f = FAILURE_INIT;
        Uuid uuid;

        assert_int_equal(uuid_from_text(UUID, &uuid), 0);
        (void) failure_set(&f, kind, with & WITH_ERROR ? EADDRINUSE : 0,
                        with & WITH_SUBJECT ? "the-subject" : NULL, with & WITH_DETAIL ? "the-detail" : NULL);
        (void) failure_set_device(&f, with & WITH_UUID ? &uuid : NULL, with & WITH_PARENT ? PARENT : NULL,
                        with & WITH_TYPE ? TYPE : NULL);
        if (with & WITH_STATE)
                f.state = DEVICE_ACTIVE;
        f.index = 4711;
        return f;
}

static void assert_reads_well(const char *s, FailureKind kind, unsigned with) {
        static const char *const wrong[] = { "{", "}", "[", "]", "  ", " .", " ,", " :", "..", "()", "\"\"",
                "(null)", " )", "( ", ".The", ":.", ",." };
        size_t n = strlen(s);

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                if (strstr(s, wrong[i]))
                        fail_msg("kind %d with %#x: \"%s\" in: %s", kind, with, wrong[i], s);
        /* The kernel's or a script's words, which go last, end as they do. */
        if (n < 10 || s[0] == ' ' || (s[n - 1] != '.' && !streq(s + n - 10, "the-detail")))
                fail_msg("kind %d with %#x: no sentence: %s", kind, with, s);
}

static void assert_tells(const char *s, FailureKind kind, unsigned mask) {
        static const struct {
                unsigned with;
                const char *text;
        } parts[] = {
                { WITH_UUID, UUID },
                { WITH_PARENT, PARENT },
                { WITH_TYPE, TYPE },
                { WITH_SUBJECT, "the-subject" },
                { WITH_DETAIL, "the-detail" },
                { WITH_STATE, "active" },
                { WITH_ERROR, "Address already in use (EADDRINUSE, errno 98)" },
        };

        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if ((mask & parts[i].with) && !strstr(s, parts[i].text))
                        fail_msg("kind %d does not tell \"%s\": %s", kind, parts[i].text, s);
}

/* With all that is needed and any choice of the rest. */
static void test_every_sentence(void **state) {
        (void) state;

        for (unsigned kind = 0; kind < _FAILURE_MAX; kind++)
                for (unsigned with = 0; with <= WITH_ALL; with++) {
                        _cleanup_(failure_done) Failure f = make((FailureKind) kind, with);
                        _cleanup_(freep) char *s = NULL;

                        if ((with & kinds[kind].needs) != kinds[kind].needs)
                                continue;
                        s = error_sentence(&f);
                        assert_non_null(s);
                        assert_reads_well(s, (FailureKind) kind, with);
                        assert_tells(s, (FailureKind) kind, with & (kinds[kind].needs | kinds[kind].tells));
                }
}

/* With less than that it may read badly, but it is a sentence without gaps all the same. */
static void test_every_poor_sentence(void **state) {
        (void) state;

        for (unsigned kind = 0; kind < _FAILURE_MAX; kind++)
                for (unsigned with = 0; with <= WITH_ALL; with++) {
                        _cleanup_(failure_done) Failure f = make((FailureKind) kind, with);
                        _cleanup_(freep) char *s = error_sentence(&f);

                        assert_non_null(s);
                        assert_null(strpbrk(s, "{}[]"));
                        assert_true(strlen(s) > 10);
                }
}

static void test_every_name(void **state) {
        (void) state;

        for (unsigned kind = 0; kind < _FAILURE_MAX; kind++) {
                _cleanup_(failure_done) Failure f = make((FailureKind) kind, 0);

                assert_non_null(kinds[kind].name); /* or the table above lacks one */
                assert_string_equal(error_name(&f), kinds[kind].name);
                assert_int_equal(failure_errno(&f), kinds[kind].error);
        }
}

static void assert_sentence(const Failure *f, const char *expected) {
        _cleanup_(freep) char *s = error_sentence(f);

        assert_string_equal(s, expected);
}

/* What stands in brackets goes as a whole, and what the failure says is not taken for brackets or gaps. */
static void test_brackets(void **state) {
        Failure f = make(FAILURE_KERNEL, WITH_UUID | WITH_SUBJECT | WITH_ERROR);

        (void) state;

        assert_sentence(&f,
                        "The kernel could not the-subject device " UUID
                        ": Address already in use (EADDRINUSE, errno 98).");
        failure_done(&f);
        f = make(FAILURE_KERNEL, WITH_ALL);
        assert_sentence(&f,
                        "The kernel could not the-subject device " UUID " on parent " PARENT ", type " TYPE
                        ": Address already in use (EADDRINUSE, errno 98). Its log says: \"the-detail\".");
        (void) failure_set(&f, FAILURE_KERNEL, EIO, "create", "a [b] {uuid} ]c{ %s %n");
        assert_sentence(&f,
                        "The kernel could not create device " UUID " on parent " PARENT ", type " TYPE
                        ": Input/output error (EIO, errno 5). Its log says: \"a [b] {uuid} ]c{ %s %n\".");
        failure_done(&f);
        f = make(FAILURE_KERNEL, WITH_ALL);
        assert_int_equal(free_and_strdup(&f.type, ""), 0); /* empty is not there */
        assert_int_equal(free_and_strdup(&f.detail, ""), 0);
        assert_sentence(&f,
                        "The kernel could not the-subject device " UUID " on parent " PARENT
                        ": Address already in use (EADDRINUSE, errno 98).");
        failure_done(&f);
}

static void test_states(void **state) {
        (void) state;

        for (int s = 0; s < _DEVICE_STATE_MAX; s++) {
                _cleanup_(failure_done) Failure f = make(FAILURE_EXISTS, WITH_UUID | WITH_STATE);
                _cleanup_(freep) char *text = NULL;

                f.state = s;
                text = error_sentence(&f);
                assert_non_null(strstr(text, device_state_to_string((DeviceState) s)));
        }
}

static void test_errnos(void **state) {
        static const struct {
                int error;
                const char *text;
        } cases[] = {
                { EBUSY, "Device or resource busy (EBUSY, errno 16)" },
                { 512, "Unknown error 512 (ERESTARTSYS, errno 512)" },
                { 524, "Unknown error 524 (ENOTSUPP, errno 524)" },
                { 4000, "Unknown error 4000 (no name, errno 4000)" },
        };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(failure_done) Failure f = make(FAILURE_KERNEL, WITH_UUID);
                _cleanup_(freep) char *text = NULL;

                (void) failure_set(&f, FAILURE_KERNEL, cases[i].error, "create", NULL);
                text = error_sentence(&f);
                assert_non_null(strstr(text, cases[i].text));
        }
}

static void test_index(void **state) {
        _cleanup_(failure_done) Failure f = make(FAILURE_TOO_MANY, 0);

        (void) state;

        (void) failure_set(&f, FAILURE_TOO_MANY, 0, "operations under way", NULL);
        assert_sentence(&f, "Too many operations under way: the limit is 4711.");
        f.index = 0;
        assert_sentence(&f, "Too many operations under way: the limit is 0.");
        f.index = UINT32_MAX;
        assert_sentence(&f, "Too many operations under way: the limit is 4294967295.");
}

/* What became of the device. */
static void test_rollback(void **state) {
        _cleanup_(failure_done) Failure f = make(FAILURE_ATTRIBUTE, WITH_ALL & ~WITH_DETAIL);
        _cleanup_(freep) char *done = error_sentence(&f), *undone = NULL;

        (void) state;

        assert_non_null(strstr(done, " The device has been removed again."));
        f.rollback_error = EBUSY;
        undone = error_sentence(&f);
        assert_null(strstr(undone, "removed again"));
        assert_non_null(strstr(undone,
                        " It could not be undone either: Device or resource busy. The device may still "
                        "be there."));
        assert_reads_well(undone, FAILURE_ATTRIBUTE, WITH_ALL);
}

/* Nothing is said to be as it was that may not be. */
static void test_nothing_changed(void **state) {
        _cleanup_(failure_done) Failure f = make(FAILURE_STORE, WITH_SUBJECT | WITH_ERROR);

        (void) state;

        assert_sentence(&f,
                        "the-subject could not be read or written: Address already in use (EADDRINUSE, errno "
                        "98). Nothing has changed.");
        f.changed_store = true;
        assert_sentence(&f,
                        "the-subject could not be read or written: Address already in use (EADDRINUSE, errno "
                        "98). It could not be undone either: the definitions may have changed. Look at them "
                        "before the next attempt.");
        f.changed_store = false;
        f.changed_live = true;
        assert_sentence(&f,
                        "the-subject could not be read or written: Address already in use (EADDRINUSE, errno "
                        "98). The active device has been changed, and stays so.");
        f.kind = FAILURE_NO_MEMORY;
        assert_sentence(&f, "Not enough memory. The active device has been changed, and stays so.");
        f.changed_live = false;
        assert_sentence(&f, "Not enough memory. Nothing has changed.");
}

static void test_set(void **state) {
        _cleanup_(failure_done) Failure f = make(FAILURE_NO_SUCH_DEVICE, WITH_UUID);
        _cleanup_(freep) char *s = error_sentence(&f);
        sd_bus_error error = SD_BUS_ERROR_NULL;

        (void) state;

        assert_true(error_set(&error, &f) < 0);
        assert_string_equal(error.name, MDEVD_ERROR_NOT_FOUND);
        assert_string_equal(error.message, s);
        sd_bus_error_free(&error);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_sentence),
                cmocka_unit_test(test_every_poor_sentence),
                cmocka_unit_test(test_every_name),
                cmocka_unit_test(test_brackets),
                cmocka_unit_test(test_states),
                cmocka_unit_test(test_errnos),
                cmocka_unit_test(test_index),
                cmocka_unit_test(test_rollback),
                cmocka_unit_test(test_nothing_changed),
                cmocka_unit_test(test_set),
        };

        return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}

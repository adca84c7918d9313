/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Standard error is a pipe here, and for the journal's sake it can be declared to be its stream; what would
 * go to the journal ends in the hook. */

#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/log.h"

static int stderr_fd = -EBADF, pipe_fds[2] = { -EBADF, -EBADF };
static char journal[8192]; /* the fields of the last entry, one a line */
static unsigned n_entries;

int __wrap_sd_journal_sendv(const struct iovec *iov, int n);

int __wrap_sd_journal_sendv(const struct iovec *iov, int n) {
        char *p = journal;

        for (int i = 0; i < n && iov[i].iov_len < (size_t) (journal + sizeof journal - p) - 2; i++) {
                p = mempcpy(p, iov[i].iov_base, iov[i].iov_len);
                *p++ = '\n';
        }
        *p = '\0';
        n_entries++;
        errno = EBADF;
        return -EBADF;
}

static int setup(void **state) {
        (void) state;

        journal[0] = '\0';
        n_entries = 0;
        (void) unsetenv("JOURNAL_STREAM");
        stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        if (stderr_fd < 0 || pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -1;
        return dup2(pipe_fds[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int teardown(void **state) {
        (void) state;

        (void) dup2(stderr_fd, STDERR_FILENO);
        closep(&stderr_fd);
        closep(&pipe_fds[0]);
        closep(&pipe_fds[1]);
        return 0;
}

/* What was written to standard error since the last call. */
static const char *written(void) {
        static char text[16384];
        ssize_t n = read(pipe_fds[0], text, sizeof text - 1);

        text[MAX(n, (ssize_t) 0)] = '\0';
        return text;
}

static void open_journal(int level) {
        char stream[64];
        struct stat st;

        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        (void) snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
        assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
        log_open(level);
}

static void test_levels(void **state) {
        (void) state;

        for (int max = LOG_EMERG; max <= LOG_DEBUG; max++) {
                log_open(max);
                for (int level = LOG_EMERG; level <= LOG_DEBUG; level++) {
                        char expected[32];

                        (void) snprintf(expected, sizeof expected, "<%d>line %d\n", level, level);
                        log_plain(level, "line %d", level);
                        assert_string_equal(written(), level <= max ? expected : "");
                        assert_int_equal(log_enabled(level), level <= max);
                }
        }

        log_open(LOG_DEBUG);
        log_error("e");
        assert_string_equal(written(), "<3>e\n");
        log_warning("w");
        assert_string_equal(written(), "<4>w\n");
        log_info("i");
        assert_string_equal(written(), "<6>i\n");
        log_debug("d");
        assert_string_equal(written(), "<7>d\n");
        assert_int_equal(n_entries, 0);
}

static void test_errno(void **state) {
        (void) state;

        log_open(LOG_INFO);
        errno = ENOTTY;
        assert_int_equal(log_error_errno(-ENOENT, "no %s", "file"), -ENOENT);
        assert_int_equal(log_warning_errno(EBUSY, "busy"), -EBUSY);
        assert_int_equal(log_debug_errno(-EIO, "not written"), -EIO);
        assert_int_equal(errno, ENOTTY);
        assert_string_equal(written(), "<3>no file\n<4>busy\n");

        open_journal(LOG_INFO);
        errno = ENOTTY;
        assert_int_equal(log_error_errno(-ENOENT, "no file"), -ENOENT);
        assert_int_equal(errno, ENOTTY);
        assert_non_null(strstr(journal, "\nERRNO=2\n"));
}

static void test_journal(void **state) {
        const LogField fields[] = { { "MDEVD_UUID", "u" }, { "MDEVD_TYPE", "" }, { "MDEVD_PARENT", NULL },
                { "MDEVD_STATE", "active" }, { NULL, NULL }, { "BEHIND", "the end" } };

        (void) state;

        open_journal(LOG_INFO);
        log_event(LOG_NOTICE, "0123456789abcdef0123456789abcdef", fields, "Device %s.", "is active");
        assert_int_equal(n_entries, 1);
        assert_string_equal(written(), "");
        assert_non_null(strstr(journal, "MESSAGE=Device is active.\n"));
        assert_non_null(strstr(journal, "\nPRIORITY=5\n"));
        assert_non_null(strstr(journal, "\nMESSAGE_ID=0123456789abcdef0123456789abcdef\n"));
        assert_non_null(strstr(journal, "\nMDEVD_UUID=u\nMDEVD_STATE=active\n"));
        assert_non_null(strstr(journal, "\nCODE_FUNC=test_journal\n"));
        assert_non_null(strstr(journal, "test-log.c\n"));
        assert_null(strstr(journal, "MDEVD_TYPE"));
        assert_null(strstr(journal, "MDEVD_PARENT"));
        assert_null(strstr(journal, "BEHIND"));
        assert_null(strstr(journal, "ERRNO="));

        log_debug("below the level");
        assert_int_equal(n_entries, 1);
        log_info("plain");
        assert_int_equal(n_entries, 2);
        assert_null(strstr(journal, "MESSAGE_ID="));
}

/* Another file's inode, half a variable, none: the line goes to standard error. */
static void test_not_the_journal(void **state) {
        static const char *const streams[] = { "", "1", "0:0", "x:y", ":" };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(streams); i++) {
                assert_int_equal(setenv("JOURNAL_STREAM", streams[i], 1), 0);
                log_open(LOG_INFO);
                log_info("here");
                assert_string_equal(written(), "<6>here\n");
        }

        /* The right number on another file system, and the right file system. */
        for (unsigned i = 0; i < 2; i++) {
                char stream[64];
                struct stat st;

                assert_int_equal(fstat(STDERR_FILENO, &st), 0);
                (void) snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t) st.st_dev + i,
                                (uintmax_t) st.st_ino + 1 - i);
                assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
                log_open(LOG_INFO);
                log_info("here");
                assert_string_equal(written(), "<6>here\n");
        }
        assert_int_equal(n_entries, 0);
}

/* Too many fields and too long a sentence are cut, not overrun. */
static void test_bounds(void **state) {
        static char text[20000];
        LogField fields[101] = {};
        char *p;

        (void) state;

        memset(text, 'x', sizeof text - 1);
        for (size_t i = 0; i < 100; i++)
                fields[i] = (LogField){ "FIELD", "v" };

        open_journal(LOG_INFO);
        log_event(LOG_INFO, NULL, fields, "sentence");
        assert_int_equal(n_entries, 1);
        assert_non_null(strstr(journal, "MESSAGE=sentence\n"));
        assert_non_null(strstr(journal, "\nFIELD=v\n"));

        (void) unsetenv("JOURNAL_STREAM");
        log_open(LOG_INFO);
        log_info("%s", text);
        p = strchr(written(), '\n');
        assert_non_null(p);
        assert_int_equal(p[1], '\0');
        assert_int_equal(p[-1], 'x');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_levels),
                TEST(test_errno),
                TEST(test_journal),
                TEST(test_not_the_journal),
                TEST(test_bounds),
        };

        return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}

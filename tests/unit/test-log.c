/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Standard error is a pipe here, and for the journal's sake it can be declared to be its stream. What would
 * go to the journal goes to a socket of ours. */

#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"

static int stderr_fd = -EBADF, pipe_fds[2] = { -EBADF, -EBADF };
static int journal_fd = -EBADF;
static struct sockaddr_un journal_address; /* what stands for the journal's */
static socklen_t journal_address_size;

ssize_t __real_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address,
                socklen_t address_size);
ssize_t __wrap_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address,
                socklen_t address_size);

/* Instead of the moment that is waited for a busy journal: a busy machine may take longer. */
static struct timeval patience;

/* A journal that makes each line wait that may wait, and how many did. */
static bool trickles;
static unsigned n_waited;

/* That many lines are too long for it. */
static unsigned n_too_long;

ssize_t __wrap_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address,
                socklen_t address_size) {
        const struct sockaddr_un *un = (const struct sockaddr_un *) address;

        if (patience.tv_sec > 0)
                (void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        assert_true(flags & MSG_NOSIGNAL);
        assert_true(address_size > sizeof un->sun_family);
        assert_string_equal(un->sun_path, "/run/systemd/journal/socket");
        if (n_too_long > 0 && n_too_long--) {
                errno = EMSGSIZE;
                return -1;
        }
        if (trickles) {
                if (flags & MSG_DONTWAIT) {
                        errno = EAGAIN;
                        return -1;
                }
                n_waited++;
                (void) nanosleep(&(struct timespec){ .tv_nsec = 100 * 1000 * 1000 }, NULL);
        }
        return __real_sendto(fd, data, size, flags, (const struct sockaddr *) &journal_address,
                        journal_address_size);
}

/* The fields of the next entry, one a line; "" if there is none. */
static const char *entry(void) {
        static char text[65536];
        ssize_t n = recv(journal_fd, text, sizeof text - 1, MSG_DONTWAIT);

        text[MAX(n, (ssize_t) 0)] = '\0';
        return text;
}

static int open_socket(void) {
        journal_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        journal_address_size = sizeof journal_address;
        journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        /* One that the kernel finds a name for. */
        return bind(journal_fd, (const struct sockaddr *) &journal_address,
                               sizeof journal_address.sun_family) < 0
                        ? -1
                        : getsockname(journal_fd, (struct sockaddr *) &journal_address,
                                          &journal_address_size);
}

static int setup(void **state) {
        (void) state;

        if (open_socket() < 0)
                return -1;
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
        closep(&journal_fd);
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
        assert_string_equal(entry(), "");
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
        assert_non_null(strstr(entry(), "\nERRNO=2\n"));
}

static void test_journal(void **state) {
        const char *journal;
        const LogField fields[] = { { "MDEVD_UUID", "u" }, { "MDEVD_TYPE", "" }, { "MDEVD_PARENT", NULL },
                { "MDEVD_STATE", "active" }, { NULL, NULL }, { "BEHIND", "the end" } };

        (void) state;

        open_journal(LOG_INFO);
        log_event(LOG_NOTICE, "0123456789abcdef0123456789abcdef", fields, "Device %s.", "is active");
        journal = entry();
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
        assert_string_equal(entry(), "");
        log_info("plain");
        journal = entry();
        assert_non_null(strstr(journal, "MESSAGE=plain\n"));
        assert_null(strstr(journal, "MESSAGE_ID="));
        assert_string_equal(entry(), "");
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
        assert_string_equal(entry(), "");
}

/* Too many fields and too long a sentence are cut, not overrun. */
static void test_bounds(void **state) {
        static char text[20000];
        LogField fields[101] = {};
        const char *journal;
        char *p;

        (void) state;

        memset(text, 'x', sizeof text - 1);
        for (size_t i = 0; i < 100; i++)
                fields[i] = (LogField){ "FIELD", "v" };

        open_journal(LOG_INFO);
        log_event(LOG_INFO, NULL, fields, "sentence");
        journal = entry();
        assert_non_null(strstr(journal, "MESSAGE=sentence\n"));
        assert_non_null(strstr(journal, "\nFIELD=v\n"));

        /* One that does not fit is left out, those behind it are not. */
        fields[0] = (LogField){ "LONG", text };
        fields[1] = (LogField){ "LONGER", text };
        log_event(LOG_INFO, NULL, fields, "%s", text);
        journal = entry();
        assert_true(startswith(journal, "MESSAGE=xxx"));
        assert_null(strstr(journal, "LONGER"));
        assert_non_null(strstr(journal, "\nFIELD=v\n"));

        (void) unsetenv("JOURNAL_STREAM");
        log_open(LOG_INFO);
        log_info("%s", text);
        p = strchr(written(), '\n');
        assert_non_null(p);
        assert_int_equal(p[1], '\0');
        assert_int_equal(p[-1], 'x');
}

/* More than one line: the size comes before them, and nothing in them looks like a field. */
static void test_lines(void **state) {
        static const char expected[] = "MESSAGE\n\x12\0\0\0\0\0\0\0one\nMESSAGE_ID=two\nPRIORITY=6\n";
        char received[256];

        (void) state;

        open_journal(LOG_INFO);
        log_info("one\nMESSAGE_ID=two");
        assert_true(recv(journal_fd, received, sizeof received, MSG_DONTWAIT) > (ssize_t) sizeof expected);
        assert_memory_equal(received, expected, sizeof expected - 1);
}

static bool send_to_journal(void) {
        static int fd = -EBADF;

        if (fd < 0)
                fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return __real_sendto(fd, "x", 1, MSG_DONTWAIT, (const struct sockaddr *) &journal_address,
                               journal_address_size) == 1;
}

static void note_line(void *userdata) {
        ++*(unsigned *) userdata;
}

static double now(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* A journal that reads nothing: a moment is waited for it, once; what there is room for is kept. */
static void test_stuck(void **state) {
        unsigned n = 0, n_told = 0, n_lost;
        char expected[128];
        uint64_t since = 0;
        const char *text;
        double began;

        (void) state;

        open_journal(LOG_INFO);
        began = now();
        while (log_refused(&since) == 0) {
                log_info("line %u", n++);
                assert_true(n < 100000);
        }
        assert_true(since > UINT64_C(1600000000) * 1000 * 1000);
        for (unsigned i = 0; i < 10000; i++)
                log_info("line %u", n++);
        assert_int_equal(log_refused(NULL), 10001);
        /* Had each waited, that would be 40 minutes. */
        assert_true(now() - began > 0.2 && now() - began < 20);

        /* What it took it has in order, and with the next line what was kept; then it is told how many were
         * not. */
        for (; *(text = entry()); n_told++) {
                (void) snprintf(expected, sizeof expected, "MESSAGE=line %u\n", n_told);
                assert_true(startswith(text, expected));
        }
        assert_int_equal(n_told, n - 10001);
        for (;;) {
                log_flush();
                text = entry();
                (void) snprintf(expected, sizeof expected, "MESSAGE=line %u\n", n_told);
                if (!startswith(text, expected))
                        break;
                n_told++;
        }
        /* 64 KiB are several hundred lines. */
        n_lost = n - n_told;
        assert_true(n_lost > 0 && n_lost < 9900);
        (void) snprintf(expected, sizeof expected,
                        "MESSAGE=Lines lost before this one, because the journal did not take them: "
                        "%u.\nPRIORITY=4\n",
                        n_lost);
        assert_true(startswith(text, expected));
        assert_int_equal(log_refused(NULL), 0);
        assert_string_equal(entry(), "");
        log_info("here again");
        assert_true(startswith(entry(), "MESSAGE=here again\n"));
        assert_string_equal(entry(), "");
}

/* Behind a line that is lost all are, though a short one has room. */
static void test_lost_in_order(void **state) {
        static char text[6000];
        unsigned n = 0, n_read = 0;

        (void) state;

        memset(text, 'x', sizeof text - 1);
        open_journal(LOG_INFO);
        while (send_to_journal())
                n++;
        for (unsigned i = 0; i < 11; i++)
                log_info("%s", text);
        log_info("short");
        assert_int_equal(log_refused(NULL), 12);

        while (*entry())
                assert_true(++n_read <= n);
        log_flush();
        while (startswith(entry(), "MESSAGE=xxx"))
                n_read++;
        log_flush();
        assert_int_equal(n_read - n, 10);
        log_info("short");
        assert_true(startswith(entry(), "MESSAGE=short\n"));
        assert_int_equal(log_refused(NULL), 0);
}

/* One that takes a line now and then is not waited for again and again. */
static void test_trickle(void **state) {
        unsigned n_woken = 0;
        char expected[64];

        (void) state;

        open_journal(LOG_INFO);
        log_hold(note_line, &n_woken);
        for (unsigned i = 0; i < 50; i++)
                log_info("line %u", i);
        trickles = true;
        n_waited = 0;
        log_flush();
        log_flush();
        log_warning("line 50");
        trickles = false;
        assert_true(n_waited > 0 && n_waited <= 3);
        assert_int_equal(log_refused(NULL), 51 - n_waited);

        for (unsigned i = 0; i < 51; i++) {
                log_flush();
                (void) snprintf(expected, sizeof expected, "MESSAGE=line %u\n", i);
                assert_true(startswith(entry(), expected));
        }
        assert_string_equal(entry(), "");
        assert_int_equal(log_refused(NULL), 0);
        log_hold(NULL, NULL);
}

/* One that it will never take does not hold up those behind it. */
static void test_too_long(void **state) {
        (void) state;

        open_journal(LOG_INFO);
        n_too_long = 1;
        log_info("one");
        assert_true(startswith(entry(),
                        "MESSAGE=Lines lost before this one, because the journal did not take "
                        "them: 1.\n"));
        log_info("two");
        assert_true(startswith(entry(), "MESSAGE=two\n"));
        assert_int_equal(log_refused(NULL), 0);
}

/* One that is busy, and not stuck, loses nothing. */
static void test_busy(void **state) {
        unsigned n_room = 0;
        pid_t pid;
        int status;

        (void) state;

        open_journal(LOG_INFO);
        while (send_to_journal())
                n_room++;
        pid = fork();
        if (pid == 0) {
                (void) alarm(100);
                for (unsigned i = 0; i < n_room + 100; i++)
                        if (recv(journal_fd, &status, 1, 0) < 0)
                                _exit(1);
                _exit(0);
        }
        patience.tv_sec = 60;
        for (unsigned i = 0; i < 100; i++)
                log_info("line %u", i);
        patience.tv_sec = 0;
        assert_int_equal(log_refused(NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* Lines that are held go together and in order, a warning at once and behind them. */
static void test_hold(void **state) {
        unsigned n_woken = 0;

        (void) state;

        open_journal(LOG_INFO);
        log_hold(note_line, &n_woken);
        log_debug("nothing");
        assert_int_equal(n_woken, 0);
        log_info("one");
        log_info("two");
        assert_int_equal(n_woken, 2);
        assert_string_equal(entry(), "");
        errno = ENOTTY;
        log_flush();
        assert_int_equal(errno, ENOTTY);
        assert_true(startswith(entry(), "MESSAGE=one\n"));
        assert_true(startswith(entry(), "MESSAGE=two\n"));
        assert_string_equal(entry(), "");
        log_flush();
        assert_string_equal(entry(), "");

        log_info("three");
        assert_int_equal(n_woken, 3);
        log_warning("four");
        assert_true(startswith(entry(), "MESSAGE=three\n"));
        assert_true(startswith(entry(), "MESSAGE=four\n"));

        log_info("five");
        log_hold(NULL, NULL);
        assert_true(startswith(entry(), "MESSAGE=five\n"));
        log_info("six");
        assert_true(startswith(entry(), "MESSAGE=six\n"));
        assert_int_equal(n_woken, 4);
}

/* More than is held is sent before. */
static void test_hold_much(void **state) {
        static char text[8000];
        unsigned n_woken = 0, n_sent = 0;
        char expected[64];

        (void) state;

        memset(text, 'x', sizeof text - 1);
        open_journal(LOG_INFO);
        log_hold(note_line, &n_woken);
        for (const char *sent = ""; *sent == '\0'; sent = entry()) {
                log_info("line %u %s", n_woken, text);
                assert_true(n_woken < 100);
        }
        assert_true(n_woken > 5);

        /* The first is read already, the last one is held, and those between them were sent. */
        log_hold(NULL, NULL);
        for (n_sent = 1; n_sent < n_woken; n_sent++) {
                (void) snprintf(expected, sizeof expected, "MESSAGE=line %u xxx", n_sent);
                assert_true(startswith(entry(), expected));
        }
        assert_string_equal(entry(), "");
        assert_int_equal(log_refused(NULL), 0);
}

/* What it did not take it gets without another line, and whoever holds lines hears that there is something.
 */
static void test_refused(void **state) {
        unsigned n_woken = 0, n = 0, n_told = 0;
        char expected[64];
        const char *text;

        (void) state;

        open_journal(LOG_INFO);
        log_hold(note_line, &n_woken);
        for (; log_refused(NULL) == 0; n++)
                log_warning("line %u", n);
        assert_int_equal(n_woken, 1);
        log_flush();
        assert_int_equal(log_refused(NULL), 1);
        assert_int_equal(n_woken, 1);

        for (; *(text = entry()); n_told++) {
                (void) snprintf(expected, sizeof expected, "MESSAGE=line %u\n", n_told);
                assert_true(startswith(text, expected));
        }
        log_flush();
        assert_int_equal(log_refused(NULL), 0);
        (void) snprintf(expected, sizeof expected, "MESSAGE=line %u\n", n - 1);
        assert_int_equal(n_told, n - 1);
        assert_true(startswith(entry(), expected));
        assert_string_equal(entry(), "");
        log_hold(NULL, NULL);
        assert_int_equal(n_woken, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_levels),
                TEST(test_errno),
                TEST(test_journal),
                TEST(test_not_the_journal),
                TEST(test_bounds),
                TEST(test_lines),
                TEST(test_hold),
                TEST(test_hold_much),
                TEST(test_stuck),
                TEST(test_lost_in_order),
                TEST(test_trickle),
                TEST(test_too_long),
                TEST(test_refused),
                TEST(test_busy),
        };

        return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}

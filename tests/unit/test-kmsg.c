/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A socket of records stands for /dev/kmsg: each read(2) gives one of them, and none when there is none. */

#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "host/kmsg.h"

#define UUID "00112233-4455-6677-8899-aabbccddeeff"
#define PARENT "0000:3b:00.0"

static int log_fd, write_fd;
static const int *read_errors; /* what the next reads fail with; ended by 0 */

ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);

ssize_t __wrap_read(int fd, void *data, size_t size) {
        if (read_errors && *read_errors > 0) {
                errno = *read_errors++;
                return -1;
        }
        return __real_read(fd, data, size);
}

static int setup(void **state) {
        int fds[2], size = 4 << 20;

        (void) state;

        read_errors = NULL;
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        log_fd = fds[0];
        write_fd = fds[1];
        (void) setsockopt(write_fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
        return 0;
}

static int teardown(void **state) {
        (void) state;

        (void) close(log_fd);
        (void) close(write_fd);
        return 0;
}

static void say_bytes(const void *record, size_t size) {
        assert_int_equal(send(write_fd, record, size, 0), size);
}

static void say(const char *record) {
        say_bytes(record, strlen(record));
}

static void assert_last(const char *expected) {
        _cleanup_(freep) char *line = kmsg_last_line(log_fd, UUID, PARENT);

        assert_streq_ptr(line, expected);
}

static void test_nothing(void **state) {
        (void) state;

        assert_last(NULL);
        assert_null(kmsg_last_line(-ENOENT, UUID, PARENT));
        assert_null(kmsg_last_line(-EBADF, UUID, PARENT));
}

static void test_last(void **state) {
        (void) state;

        say("6,1,100,-;nvidia " PARENT ": the first\n");
        say("3,2,101,-;mdev " UUID ": the second\n SUBSYSTEM=mdev\n DEVICE=+mdev:x\n");
        say("6,3,102,-;another driver: something else\n");
        assert_last("mdev " UUID ": the second");
        assert_last(NULL); /* what was read is read */
        say("6,4,103,c;" PARENT "; with a semicolon\n");
        assert_last(PARENT "; with a semicolon");
}

/* The words count in the text, not in the numbers before it or the dictionary behind it. */
static void test_where(void **state) {
        (void) state;

        say("6,1,100,-;text\n DEVICE=+mdev:" UUID "\n");
        say("6," UUID ",100,-;text\n");
        say(UUID " " PARENT "\n");
        say("");
        say("\n");
        assert_last(NULL);
        say("6,2,100,-;" UUID); /* without an end */
        assert_last(UUID);
}

static void test_odd_records(void **state) {
        static char large[9000];

        (void) state;

        say("6,1,100,-;good " UUID "\n");
        say("6,2,101,-;bad \xff " UUID "\n");
        say_bytes("6,3,102,-;cut\0" UUID "\n", 15 + sizeof UUID);
        assert_last("good " UUID);

        memset(large, 'x', sizeof large);
        memcpy(large, "6,4,103,-;" UUID, 10 + sizeof UUID - 1);
        say_bytes(large, sizeof large);
        {
                _cleanup_(freep) char *line = kmsg_last_line(log_fd, UUID, PARENT);

                assert_non_null(line);
                assert_int_equal(strlen(line), 8192 - 1 - 10);
        }
}

/* Records that were overwritten before they were read are no end, and neither is a signal. */
static void test_lost(void **state) {
        static const int errors[] = { EPIPE, EINTR, EPIPE, 0 };

        (void) state;

        say("6,1,100,-;" UUID " one\n");
        say("6,2,100,-;" UUID " two\n");
        read_errors = errors;
        assert_last(UUID " two");
}

/* A log that is flooded, or that never ends, is left at some time. */
static void test_bound(void **state) {
        static int errors[10001];
        unsigned n = 0;

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(errors) - 1; i++)
                errors[i] = EPIPE;
        read_errors = errors;
        say("6,1,100,-;" UUID "\n");
        assert_last(NULL);
        while (errors[n] > 0 && &errors[n] < read_errors)
                n++;
        assert_int_equal(n, 4096);
}

/* The sequence number of the next record; 0 if there is none. */
static unsigned long long next_sequence(int fd) {
        char record[8193];
        ssize_t n = read(fd, record, sizeof record - 1);
        unsigned long long sequence = 0;

        if (n <= 0)
                return 0;
        record[n] = '\0';
        assert_int_equal(sscanf(record, "%*u,%llu,", &sequence), 1);
        return sequence + 1;
}

/* What was logged before it was opened is not seen. */
static void test_open(void **state) {
        int all = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK), fd = kmsg_open();
        unsigned long long oldest, next;

        (void) state;

        if (fd < 0) {
                assert_true(all < 0 && (fd == -ENOENT || fd == -EPERM || fd == -EACCES));
                skip();
        }
        assert_true(all >= 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        oldest = next_sequence(all);
        next = next_sequence(fd);
        assert_true(oldest == 0 || next == 0 || next > oldest);
        (void) close(all);
        (void) close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_nothing),
                TEST(test_last),
                TEST(test_where),
                TEST(test_odd_records),
                TEST(test_lost),
                TEST(test_bound),
                TEST(test_open),
        };

        return cmocka_run_group_tests_name("kmsg", tests, NULL, NULL);
}

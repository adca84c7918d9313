/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The real worker at work on a tree, and one that does what none should. Where to find them is told by
 * MDEVD_WORKER and BAD_WORKER. */

#include "tree.h"

#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "host/worker.h"

#define P1 "0000:3b:00.0"
#define TYPE "t-1"
#define FILE_A "etc/mdevctl.d/" P1 "/" UUID_A
#define CREATE DEVICES P1 "/mdev_supported_types/" TYPE "/create"
#define EMPTY "{\n  \"mdev_type\": \"" TYPE "\",\n  \"start\": \"manual\",\n  \"attrs\": []\n}"

static WorkerProgram program = WORKER_PROGRAM_INIT;

static const char *path_from(const char *variable) {
        const char *path = getenv(variable);

        if (!path)
                fail_msg("%s is not set", variable);
        return path;
}

static int setup(void **state) {
        assert_int_equal(tree_setup(state), 0);
        assert_int_equal(worker_program_open(path_from("MDEVD_WORKER"), tree_root, &program), 0);
        return 0;
}

static int teardown(void **state) {
        worker_program_done(&program);
        assert_int_equal(program.exe_fd, -EBADF);
        worker_program_done(&program);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* every test reaps what it started */
        assert_int_equal(errno, ECHILD);
        return tree_teardown(state);
}

static Worker *start(void) {
        Worker *w = NULL;

        assert_int_equal(worker_start(&program, &w), 0);
        assert_non_null(w);
        assert_true(worker_pid(w) > 0);
        return w;
}

static Worker *start_bad(const char *how) {
        worker_program_done(&program);
        assert_int_equal(worker_program_open(path_from("BAD_WORKER"), how, &program), 0);
        return start();
}

/* Its exit status, or -signal. */
static int reap(pid_t pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int finish(Worker *w) {
        pid_t pid = worker_pid(w);

        assert_null(worker_free(w));
        return reap(pid);
}

/* The next thing that is not "nothing yet". */
static int receive(Worker *w, Frame *ret) {
        int r;

        while ((r = worker_receive(w, ret)) == 0) {
                struct pollfd p = { .fd = worker_fd(w), .events = POLLIN };

                if (poll(&p, 1, WAIT_SECONDS * 1000) == 0)
                        fail_msg("the worker says nothing");
        }
        return r;
}

static void expect(Worker *w, FrameKind kind, OpId op, Frame *ret) {
        Frame frame = FRAME_INIT;

        assert_int_equal(receive(w, &frame), 1);
        assert_int_equal(frame.kind, kind);
        assert_true(frame.op == op);
        if (ret)
                *ret = frame;
        else
                frame_done(&frame);
}

static void expect_end(Worker *w) {
        Frame frame = FRAME_INIT;

        assert_int_equal(receive(w, &frame), -EPIPE);
        assert_int_equal(receive(w, &frame), -EPIPE); /* and it stays so */
}

static Request request_for(RequestKind kind, OpId op) {
        Request r = { .kind = kind, .op = op, .definition = { .uuid = uuid_of(UUID_A) } };

        r.definition.parent = strdup(P1);
        r.definition.type = strdup(TYPE);
        return r;
}

static void send_request(Worker *w, RequestKind kind, OpId op, int lock_fd) {
        _cleanup_(request_done) Request r = request_for(kind, op);

        assert_int_equal(worker_send(w, &r, lock_fd), 0);
}

/* The program */

static void test_program(void **state) {
        WorkerProgram p = WORKER_PROGRAM_INIT;

        (void) state;

        assert_int_equal(worker_program_open("/nowhere/mdevd-worker", NULL, &p), -ENOENT);
        assert_int_equal(p.exe_fd, -EBADF);
        assert_int_equal(worker_program_open(path_from("MDEVD_WORKER"), NULL, &p), 0);
        assert_null(p.root_argument);
        assert_int_equal(fcntl(p.exe_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        worker_program_done(&p);
}

static void test_no_program(void **state) {
        Worker *w = NULL;

        (void) state;

        tree_put("no-program", "text");
        worker_program_done(&program);
        assert_int_equal(worker_program_open(PATH("%s/no-program", tree_root), NULL, &program), 0);
        if (worker_start(&program, &w) >= 0) {
                /* Where vfork(2) is but a fork(2), as under valgrind, this is told in another way. */
                expect_end(w);
                assert_int_equal(finish(w), 127);
                skip();
        }
        assert_null(w);
        assert_int_equal(worker_start(&program, &w), -EACCES);
        tree_chmod("no-program", 0755);
        assert_int_equal(worker_start(&program, &w), -ENOEXEC);
        assert_null(w);
        assert_null(worker_free(NULL));
}

/* What was opened is what is started, whatever has come in its place since. */
static void test_replaced_program(void **state) {
        _cleanup_(freep) char *binary = NULL;
        size_t size;
        Worker *w;

        (void) state;

        {
                FILE *from = fopen(path_from("BAD_WORKER"), "re"), *to = open_memstream(&binary, &size);

                assert_non_null(from);
                for (int c; (c = fgetc(from)) != EOF;)
                        (void) fputc(c, to);
                (void) fclose(from);
                (void) fclose(to);
        }
        tree_put_bytes("worker", binary, size);
        tree_chmod("worker", 0755);
        worker_program_done(&program);
        assert_int_equal(worker_program_open(PATH("%s/worker", tree_root), "die", &program), 0);
        tree_remove("worker");
        tree_put("worker", "something else");
        w = start();
        send_request(w, REQUEST_SCAN, 1, -EBADF);
        expect_end(w);
        assert_int_equal(finish(w), 3);
}

/* Run by hand it says what it is, and does nothing. */
static void test_by_hand(void **state) {
        (void) state;

        for (unsigned n = 0; n < 2; n++) {
                pid_t pid = fork();

                assert_true(pid >= 0);
                if (pid == 0) {
                        int null = open("/dev/null", O_RDWR);

                        (void) dup2(null, STDERR_FILENO);
                        (void) dup2(null, STDIN_FILENO);
                        if (n == 0)
                                (void) execl(path_from("MDEVD_WORKER"), "mdevd-worker", "--help",
                                                (char *) NULL);
                        else
                                (void) execl(path_from("MDEVD_WORKER"), "mdevd-worker", "a", "b",
                                                (char *) NULL);
                        _exit(99);
                }
                assert_int_equal(reap(pid), 1);
        }
}

/* A life */

static void test_request(void **state) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT, result = FRAME_INIT;
        Worker *w = start();

        (void) state;

        /* Ready, and it says nothing without being asked. */
        assert_int_equal(fcntl(worker_fd(w), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(worker_receive(w, &frame), 0);
        assert_int_equal(waitpid(worker_pid(w), NULL, WNOHANG), 0);

        send_request(w, REQUEST_DEFINE, 4711, -EBADF);
        expect(w, FRAME_DEFINITION, 4711, &frame);
        assert_true(frame.exists);
        assert_string_equal(frame.definition.parent, P1);
        expect(w, FRAME_RESULT, 4711, &result);
        assert_int_equal(result.failure.kind, FAILURE_NONE);
        assert_true(result.stays);
        assert_int_equal(finish(w), 0);
        assert_file(FILE_A, EMPTY);
        assert_int_equal(tree_mode(FILE_A), S_IFREG | 0644); /* whatever the umask is here */
}

/* It takes the next one, too; who has read all files has done enough. */
static void test_requests(void **state) {
        _cleanup_(frame_done) Frame result = FRAME_INIT, scanned = FRAME_INIT;
        Worker *w = start();

        (void) state;

        for (OpId op = 1; op <= 3; op++) {
                frame_done(&result);
                result = FRAME_INIT;
                send_request(w, REQUEST_DEFINE, op, -EBADF);
                expect(w, FRAME_DEFINITION, op, NULL);
                expect(w, FRAME_RESULT, op, &result);
                assert_int_equal(result.failure.kind, op == 1 ? FAILURE_NONE : FAILURE_EXISTS_ON_DISK);
                assert_true(result.stays);
        }
        send_request(w, REQUEST_SCAN, 4, -EBADF);
        expect(w, FRAME_DEFINITION, 4, NULL);
        expect(w, FRAME_RESULT, 4, &scanned);
        assert_false(scanned.stays);
        expect_end(w);
        assert_int_equal(finish(w), 0);
        assert_file(FILE_A, EMPTY);
}

static void test_umask(void **state) {
        (void) state;

        (void) umask(0077);
        test_request(state);
        (void) umask(022);
        assert_int_equal(tree_mode("etc/mdevctl.d"), S_IFDIR | 0755);
}

/* One that is not needed any more just ends. */
static void test_spare(void **state) {
        Worker *w = start();

        (void) state;

        assert_int_equal(finish(w), 0);
}

static void test_half_request(void **state) {
        Request r = request_for(REQUEST_DEFINE, 1);
        _cleanup_(buffer_done) Buffer b = {};

        (void) state;

        assert_int_equal(request_encode(&r, &b), 0);
        request_done(&r);
        for (size_t n = 1; n < b.size; n += 40) {
                Worker *w = start();

                assert_int_equal(send(worker_fd(w), b.data, n, MSG_NOSIGNAL), n);
                assert_int_equal(finish(w), 0);
                assert_false(tree_has("etc"));
        }
        b.data[0] ^= 1;
        {
                Worker *w = start();

                assert_int_equal(send(worker_fd(w), b.data, b.size, MSG_NOSIGNAL), b.size);
                expect_end(w);
                assert_int_equal(finish(w), 0);
                assert_false(tree_has("etc"));
        }
}

/* The daemon goes in the middle of it: the effect goes on to its end, the device is there and defined. */
static void test_daemon_goes(void **state) {
        Request r = request_for(REQUEST_CREATE, 1);
        Worker *w = start();
        pid_t pid = worker_pid(w);
        char text[64];
        int fd;

        (void) state;

        host_parent(P1);
        host_type(P1, TYPE, "4");
        tree_remove(CREATE);
        tree_fifo(CREATE);
        r.define = true;
        assert_int_equal(worker_send(w, &r, -EBADF), 0);
        request_done(&r);
        assert_null(worker_free(w));

        fd = openat(tree_fd, CREATE, O_RDONLY | O_CLOEXEC); /* it is in create(2) now, and is let go */
        assert_int_equal(read(fd, text, sizeof text), 36);
        (void) close(fd);
        assert_int_equal(reap(pid), 1); /* nobody took its result */
        assert_file(FILE_A, EMPTY);
}

static bool blocks_signal(pid_t pid, int number) {
        FILE *f = fopen(PATH("/proc/%d/status", (int) pid), "re");
        unsigned long long mask = 0;
        char line[256];

        assert_non_null(f);
        while (fgets(line, sizeof line, f))
                if (startswith(line, "SigBlk:"))
                        mask = strtoull(line + strlen("SigBlk:"), NULL, 16);
        (void) fclose(f);
        return mask & (1ULL << (number - 1));
}

/* Whatever signal it gets while it works is not for it. */
static void test_signals(void **state) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE, SIGALRM, SIGQUIT };
        Worker *w = start();
        char text[64];
        int fd;

        (void) state;

        host_parent(P1);
        host_type(P1, TYPE, "4");
        tree_remove(CREATE);
        tree_fifo(CREATE);
        send_request(w, REQUEST_CREATE, 1, -EBADF);

        WAIT_UNTIL(blocks_signal(worker_pid(w), SIGTERM)); /* else it has not begun */
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                assert_int_equal(kill(worker_pid(w), signals[i]), 0);
        fd = openat(tree_fd, CREATE, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(read(fd, text, sizeof text), 36);
        (void) close(fd);
        expect(w, FRAME_SIGHTING, 1, NULL);
        expect(w, FRAME_RESULT, 1, NULL);
        assert_int_equal(finish(w), 0);
}

/* What it is given */

static void assert_line(const char *text, const char *line) {
        char whole[PATH_MAX + 64];

        (void) snprintf(whole, sizeof whole, "%s\n", line);
        for (const char *p = text; (p = strstr(p, whole)); p++)
                if (p == text || p[-1] == '\n')
                        return;
        fail_msg("no \"%s\" in:\n%s", line, text);
}

static unsigned count_lines(const char *text, const char *beginning) {
        unsigned n = 0;

        for (const char *p = text; p && *p; p = strchr(p, '\n') + 1)
                n += startswith(p, beginning) != NULL;
        return n;
}

static void test_given(void **state) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;
        struct sigaction ignore = { .sa_handler = SIG_IGN };
        sigset_t all, old;
        const char *text;
        int lock, extra[2];
        Worker *w;

        (void) state;

        /* What the daemon has open, blocked, ignored and in its environment is its own. */
        assert_int_equal(setenv("NOTIFY_SOCKET", "/run/x", 1), 0);
        assert_int_equal(setenv("LD_PRELOAD_NOT", "x", 1), 0);
        assert_int_equal(pipe2(extra, O_CLOEXEC), 0);
        tree_put("lock", "");
        lock = openat(tree_fd, "lock", O_RDWR | O_CLOEXEC);
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, &old);
        (void) sigaction(SIGUSR1, &ignore, NULL);
        w = start_bad("tell");
        (void) sigprocmask(SIG_SETMASK, &old, NULL);
        (void) signal(SIGUSR1, SIG_DFL);

        send_request(w, REQUEST_SCAN, 7, lock);
        assert_int_equal(fcntl(lock, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC); /* still the caller's */
        expect(w, FRAME_INVALID, 7, &frame);
        text = frame.reason;
        assert_line(text, "argument mdevd-worker");
        assert_line(text, "argument --root=tell");
        assert_int_equal(count_lines(text, "argument "), 2);
        assert_line(text, "environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        assert_line(text, "environment LC_ALL=C.UTF-8");
        assert_int_equal(count_lines(text, "environment "), 2);
        assert_line(text, "descriptor 0 socket");
        assert_line(text, "descriptor 1 device");
        assert_int_equal(count_lines(text, "descriptor "), 3); /* and standard error */
        assert_int_equal(count_lines(text, "descriptor 2 "), 1);
        assert_int_equal(count_lines(text, "blocked "), 0);
        assert_int_equal(count_lines(text, "ignored "), 0);
        assert_line(text, "session own");

        expect(w, FRAME_RESULT, 7, NULL);
        expect_end(w);
        assert_int_equal(finish(w), 0);
        (void) close(lock);
        (void) close(extra[0]);
        (void) close(extra[1]);
}

/* What the real one has open while it waits for a lock: what it needs, and nothing of ours. */
static void test_descriptors(void **state) {
        const char *const allowed[] = { PATH("%s", tree_root), PATH("%s/sys", tree_root),
                PATH("%s/lock", tree_root), "/dev/null" };
        int lock, waiting, extra[2];
        bool has_sys = false;
        char directory[64];
        Worker *w;

        (void) state;

        tree_put("lock", "");
        lock = openat(tree_fd, "lock", O_RDWR | O_CLOEXEC);
        waiting = openat(tree_fd, "lock", O_RDONLY | O_CLOEXEC);
        assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
        assert_int_equal(pipe2(extra, O_CLOEXEC), 0);
        w = start();
        send_request(w, REQUEST_LOOK, 9, waiting);
        (void) close(waiting);

        (void) snprintf(directory, sizeof directory, "/proc/%d/fd", (int) worker_pid(w));
        for (double end = seconds_now() + WAIT_SECONDS; !has_sys; (void) poll(NULL, 0, 1)) {
                DIR *d = opendir(directory);
                unsigned n_bad = 0;

                assert_non_null(d);
                assert_true(seconds_now() < end);
                for (struct dirent *e; (e = readdir(d));) {
                        char target[PATH_MAX];
                        ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof target - 1);
                        bool good = false;

                        if (n < 0)
                                continue;
                        target[n] = '\0';
                        if (streq(target, allowed[1]))
                                has_sys = true;
                        for (size_t i = 0; i < ELEMENTSOF(allowed); i++)
                                good = good || streq(target, allowed[i]);
                        n_bad += !good && !streq(e->d_name, "0") && !streq(e->d_name, "2");
                }
                (void) closedir(d);
                if (has_sys) /* the last that it opens before it waits */
                        assert_int_equal(n_bad, 0);
        }

        {
                Frame frame = FRAME_INIT;

                assert_int_equal(worker_receive(w, &frame), 0); /* waits */
        }
        (void) close(lock);
        expect(w, FRAME_SIGHTING, 9, NULL);
        expect(w, FRAME_RESULT, 9, NULL);
        assert_int_equal(finish(w), 0);
        (void) close(extra[0]);
        (void) close(extra[1]);
}

/* The lock that is passed on is held as long as the effect lasts, and not longer than till the result. */
static void test_lock(void **state) {
        int lock, probe, fd;
        Worker *w = start();

        (void) state;

        host_parent(P1);
        host_type(P1, TYPE, "4");
        tree_remove(CREATE);
        tree_fifo(CREATE);
        tree_put("lock", "");
        lock = openat(tree_fd, "lock", O_RDWR | O_CLOEXEC);
        probe = openat(tree_fd, "lock", O_RDWR | O_CLOEXEC);
        assert_int_equal(flock(lock, LOCK_EX | LOCK_NB), 0);
        send_request(w, REQUEST_CREATE, 1, lock);
        (void) close(lock);
        assert_int_equal(flock(probe, LOCK_EX | LOCK_NB), -1);
        fd = openat(tree_fd, CREATE, O_RDONLY | O_CLOEXEC); /* lets it go */
        expect(w, FRAME_SIGHTING, 1, NULL);
        expect(w, FRAME_RESULT, 1, NULL);
        assert_int_equal(flock(probe, LOCK_EX | LOCK_NB), 0);
        (void) close(fd);
        (void) close(probe);
        assert_int_equal(finish(w) & ~1, 0); /* with or without somebody for its last words */
}

/* Bad ones */

static void test_dies(void **state) {
        (void) state;

        for (unsigned n = 0; n < 3; n++) {
                Worker *w = start_bad(n == 0 ? "die" : n == 1 ? "kill" : "half");

                send_request(w, REQUEST_SCAN, 1, -EBADF);
                expect_end(w);
                assert_int_equal(finish(w), n == 0 ? 3 : n == 1 ? -SIGKILL : 0);
        }
}

/* Before it could be given anything. */
static void test_dies_at_once(void **state) {
        _cleanup_(request_done) Request r = request_for(REQUEST_SCAN, 1);
        Worker *w = start_bad("die-at-once");
        siginfo_t info;

        (void) state;

        assert_int_equal(waitid(P_PID, (id_t) worker_pid(w), &info, WEXITED | WNOWAIT), 0);
        assert_int_equal(worker_send(w, &r, -EBADF), -EPIPE);
        expect_end(w);
        assert_int_equal(finish(w), 7);
}

static void test_no_message(void **state) {
        (void) state;

        for (unsigned n = 0; n < 2; n++) {
                Worker *w = start_bad(n == 0 ? "garbage" : "too-much");
                Frame frame = FRAME_INIT;

                send_request(w, REQUEST_SCAN, 1, -EBADF);
                assert_int_equal(receive(w, &frame), -EBADMSG);
                assert_int_equal(receive(w, &frame), -EBADMSG);
                assert_int_equal(finish(w), 0);
        }
}

/* Frames that come in pieces, and many at a time. */
static void test_many_files(void **state) {
        enum {
                N = 2500
        };
        Worker *w = start();
        unsigned n = 0;

        (void) state;

        for (unsigned i = 0; i < N; i++)
                tree_put(PATH("etc/mdevctl.d/" P1 "/%08x-4455-6677-8899-aabbccddeeff", i), EMPTY);
        send_request(w, REQUEST_SCAN, 1, -EBADF);
        for (;; n++) {
                _cleanup_(frame_done) Frame frame = FRAME_INIT;

                assert_int_equal(receive(w, &frame), 1);
                if (frame.kind == FRAME_RESULT)
                        break;
                assert_int_equal(frame.kind, FRAME_DEFINITION);
        }
        assert_int_equal(n, N);
        expect_end(w);
        assert_int_equal(finish(w), 0);
}

/* What the socket does not take at once goes after it, without any privilege. */
static void test_request_in_parts(void **state) {
        Request r = request_for(REQUEST_REMOVE, 1);
        Worker *w = start();
        unsigned n = 0;
        int more;

        (void) state;

        assert_int_equal(setsockopt(worker_fd(w), SOL_SOCKET, SO_SNDBUF, &(int){ 4096 }, sizeof(int)), 0);
        r.path = malloc(FRAME_SIZE_MAX / 2 + 1);
        memset(r.path, 'x', FRAME_SIZE_MAX / 2);
        r.path[FRAME_SIZE_MAX / 2] = '\0';
        for (more = worker_send(w, &r, -EBADF); more == 1; more = worker_send_more(w)) {
                struct pollfd p = { .fd = worker_fd(w), .events = POLLOUT };

                assert_int_equal(poll(&p, 1, 10000), 1);
                n++;
        }
        assert_int_equal(more, 0);
        assert_true(n > 1);
        expect(w, FRAME_SIGHTING, 1, NULL);
        expect(w, FRAME_RESULT, 1, NULL);
        assert_int_equal(finish(w), 0);

        /* One that gets half of it does nothing. */
        w = start();
        assert_int_equal(setsockopt(worker_fd(w), SOL_SOCKET, SO_SNDBUF, &(int){ 4096 }, sizeof(int)), 0);
        assert_int_equal(worker_send(w, &r, -EBADF), 1);
        assert_int_equal(shutdown(worker_fd(w), SHUT_WR), 0);
        expect_end(w);
        assert_int_equal(finish(w), 0);
        request_done(&r);
}

static void test_large_request(void **state) {
        Request r = request_for(REQUEST_DEFINE, 1);
        Worker *w = start();
        char value[4095];

        (void) state;

        memset(value, 'v', sizeof value);
        value[4093] = '\0';
        for (unsigned i = 0; i < 16; i++)
                assert_int_equal(attributes_append(&r.definition.attributes, "a", value), 0);
        assert_int_equal(worker_send(w, &r, -EBADF), 0);
        expect(w, FRAME_DEFINITION, 1, NULL);
        expect(w, FRAME_RESULT, 1, NULL);
        assert_int_equal(finish(w), 0);

        /* One that cannot be sent is not sent in part. */
        request_done(&r);
        r = request_for(REQUEST_REMOVE, 1);
        r.path = malloc(FRAME_SIZE_MAX + 1);
        memset(r.path, 'x', FRAME_SIZE_MAX);
        r.path[FRAME_SIZE_MAX] = '\0';
        w = start();
        assert_int_equal(worker_send(w, &r, -EBADF), -EFBIG);
        assert_int_equal(finish(w), 0);
        request_done(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_program),
                TEST(test_no_program),
                TEST(test_replaced_program),
                TEST(test_by_hand),
                TEST(test_request),
                TEST(test_requests),
                TEST(test_umask),
                TEST(test_spare),
                TEST(test_half_request),
                TEST(test_daemon_goes),
                TEST(test_signals),
                TEST(test_given),
                TEST(test_descriptors),
                TEST(test_lock),
                TEST(test_dies),
                TEST(test_dies_at_once),
                TEST(test_no_message),
                TEST(test_many_files),
                TEST(test_large_request),
                TEST(test_request_in_parts),
        };

        /* What the one who runs the tests left open is not what these are about. */
        for (int fd = 3; fd < 256; fd++)
                (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
        return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}

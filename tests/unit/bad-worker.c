/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stands for a worker that does what none should. What it does is told in place of the root: "--root=die". */

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/file.h"
#include "host/wire.h"

static OpId op;

static void receive(void) {
        static char data[65536];
        size_t size = 0, used;
        Request request;

        for (;;) {
                ssize_t n;

                if (request_decode(data, size, &request, &used) > 0)
                        break;
                n = recv(STDIN_FILENO, data + size, sizeof data - size, 0);
                if (n <= 0)
                        _exit(0);
                size += (size_t) n;
        }
        op = request.op;
        request_done(&request);
}

static Buffer encode(FrameKind kind, OpId id) {
        Frame frame = FRAME_INIT;
        Buffer b = {};

        frame.kind = kind;
        frame.op = id;
        frame.parent = frame.path = frame.reason = (char *) "x";
        if (frame_encode(&frame, &b) < 0)
                _exit(100);
        return b;
}

static void say(FrameKind kind, OpId id) {
        Buffer b = encode(kind, id);

        if (fd_write_all(STDIN_FILENO, b.data, b.size) < 0)
                _exit(101);
        buffer_done(&b);
}

/* What this process was started with: its descriptors, environment, arguments, signals. */
static void tell(int argc, char *argv[]) {
        Frame frame = FRAME_INIT;
        sigset_t mask;
        size_t size;
        Buffer b = {};
        FILE *f;

        frame.kind = FRAME_INVALID;
        frame.op = op;
        frame.path = (char *) "tell";
        f = open_memstream(&frame.reason, &size);
        for (int i = 0; i < argc; i++)
                fprintf(f, "argument %s\n", argv[i]);
        for (char **e = environ; *e; e++)
                fprintf(f, "environment %s\n", *e);
        for (int fd = 0; fd < 1024; fd++) {
                struct stat st;

                if (fstat(fd, &st) >= 0)
                        fprintf(f, "descriptor %d %s%s\n", fd,
                                        S_ISSOCK(st.st_mode)                  ? "socket"
                                                        : S_ISCHR(st.st_mode) ? "device"
                                                                              : "file",
                                        fd < 2 && (fcntl(fd, F_GETFL) & O_NONBLOCK) ? " non-blocking" : "");
        }
        (void) sigprocmask(SIG_BLOCK, NULL, &mask);
        for (int n = 1; n < NSIG; n++) {
                struct sigaction sa;

                if (sigismember(&mask, n) > 0)
                        fprintf(f, "blocked %d\n", n);
                if (sigaction(n, NULL, &sa) >= 0 && sa.sa_handler == SIG_IGN)
                        fprintf(f, "ignored %d\n", n);
        }
        fprintf(f, "session %s\n", getsid(0) == getpid() ? "own" : "inherited");
        (void) fclose(f);

        if (frame_encode(&frame, &b) < 0 || fd_write_all(STDIN_FILENO, b.data, b.size) < 0)
                _exit(102);
        buffer_done(&b);
        frame.path = NULL;
        frame_done(&frame);
}

int main(int argc, char *argv[]) {
        const char *how = argc == 2 ? startswith(argv[1], "--root=") : NULL;
        Buffer b;

        if (!how)
                return 103;
        if (streq(how, "die-at-once"))
                return 7;

        receive();
        if (streq(how, "die"))
                return 3;
        if (streq(how, "kill"))
                (void) kill(getpid(), SIGKILL);
        if (streq(how, "tell")) {
                tell(argc, argv);
                say(FRAME_RESULT, op);
        }
        if (streq(how, "half")) {
                b = encode(FRAME_RESULT, op);
                (void) !write(STDIN_FILENO, b.data, b.size / 2);
                buffer_done(&b);
        }
        if (streq(how, "garbage"))
                (void) !write(STDIN_FILENO, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
        if (streq(how, "too-much")) {
                uint32_t size = FRAME_SIZE_MAX + 1;

                b = encode(FRAME_RESULT, op);
                memcpy(b.data + FRAME_HEADER_SIZE - sizeof size, &size, sizeof size);
                (void) !write(STDIN_FILENO, b.data, b.size);
                buffer_done(&b);
        }
        if (streq(how, "foreign")) {
                say(FRAME_SIGHTING, op + 1);
                say(FRAME_RESULT, op + 1);
                say(FRAME_SIGHTING, op);
                say(FRAME_RESULT, op);
        }
        if (streq(how, "foreign-only"))
                say(FRAME_RESULT, op + 1);
        if (streq(how, "two-results")) {
                say(FRAME_RESULT, op);
                say(FRAME_SIGHTING, op);
                say(FRAME_RESULT, op);
        }
        if (streq(how, "types-after")) {
                say(FRAME_TYPES, op);
                say(FRAME_RESULT, op);
                say(FRAME_TYPES, op);
                say(FRAME_TYPES, op + 1);
        }
        if (streq(how, "result-then-die")) {
                say(FRAME_RESULT, op);
                (void) kill(getpid(), SIGKILL);
        }
        if (streq(how, "child-keeps-socket")) {
                /* The test holds the other end: the child ends when that is closed. */
                if (fork() == 0) {
                        char c;

                        (void) !read(STDIN_FILENO, &c, 1);
                        _exit(0);
                }
                return 5;
        }
        if (streq(how, "hang"))
                for (char c; read(STDIN_FILENO, &c, 1) > 0;) /* until the test lets go */
                        ;
        return 0;
}

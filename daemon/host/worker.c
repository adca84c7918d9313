/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* posix_spawn(3) and not fork(2): the daemon's memory, however large, is not copied. The child has standard
 * input as its socket, the journal as standard error, an environment of its own, no signal blocked, and
 * nothing else: all of the daemon's descriptors are close-on-exec from birth. */

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>

#include "host/worker.h"

#define RECEIVE_STEP 65536U

struct Worker {
        pid_t pid;
        int fd;
        Buffer in, out;
        size_t in_used, out_sent; /* bytes of each that were dealt with already */
};

static char *const environment[] = {
        (char *) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        (char *) "LC_ALL=C.UTF-8",
        NULL,
};

int worker_program_open(const char *path, const char *root, WorkerProgram *ret) {
        _cleanup_(worker_program_done) WorkerProgram p = WORKER_PROGRAM_INIT;

        p.exe_fd = open(path, O_PATH | O_CLOEXEC);
        if (p.exe_fd < 0)
                return -errno;
        if (root && asprintf(&p.root_argument, "--root=%s", root) < 0)
                return -ENOMEM;

        *ret = p;
        p = WORKER_PROGRAM_INIT;
        return 0;
}

void worker_program_done(WorkerProgram *p) {
        p->exe_fd = safe_close(p->exe_fd);
        free(p->root_argument);
        p->root_argument = NULL;
}

/* Return: 0; a positive errno, as posix_spawn(3) gives. */
static int spawn(const WorkerProgram *program, int socket_fd, pid_t *ret) {
        char path[64], *argv[] = { (char *) "mdevd-worker", program->root_argument, NULL };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, all;
        int r;

        (void) snprintf(path, sizeof path, "/proc/self/fd/%d", program->exe_fd);
        (void) sigemptyset(&none);
        (void) sigfillset(&all);

        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return r;
        r = posix_spawnattr_init(&attributes);
        if (r != 0) {
                (void) posix_spawn_file_actions_destroy(&actions);
                return r;
        }

        /* A session of its own: ^C on a daemon in the foreground is not meant for its workers. */
        (void) posix_spawnattr_setflags(
                        &attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        (void) posix_spawnattr_setsigmask(&attributes, &none);
        (void) posix_spawnattr_setsigdefault(&attributes, &all);

        r = posix_spawn_file_actions_adddup2(&actions, socket_fd, STDIN_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        if (r == 0)
                r = posix_spawn(ret, path, &actions, &attributes, argv, environment);

        (void) posix_spawnattr_destroy(&attributes);
        (void) posix_spawn_file_actions_destroy(&actions);
        return r;
}

int worker_start(const WorkerProgram *program, Worker **ret) {
        _cleanup_(worker_freep) Worker *w = NULL;
        _cleanup_(closep) int theirs = -EBADF;
        int fds[2], r;

        w = malloc(sizeof *w);
        if (!w)
                return -ENOMEM;
        *w = (Worker){ .fd = -EBADF };

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        w->fd = fds[0];
        theirs = fds[1];

        /* Only our end never blocks. */
        if (fcntl(w->fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        r = spawn(program, theirs, &w->pid);
        if (r > 0)
                return -r;

        *ret = TAKE_PTR(w);
        return 0;
}

Worker *worker_free(Worker *w) {
        if (!w)
                return NULL;

        (void) safe_close(w->fd);
        buffer_done(&w->in);
        buffer_done(&w->out);
        free(w);
        return NULL;
}

int worker_fd(const Worker *w) {
        return w->fd;
}

pid_t worker_pid(const Worker *w) {
        return w->pid;
}

/* Return: 0; 1 if there is more. */
static int note_sent(Worker *w, size_t n) {
        w->out_sent += n;
        if (w->out_sent < w->out.size)
                return 1;

        buffer_done(&w->out);
        w->out_sent = 0;
        return 0;
}

int worker_send(Worker *w, const Request *request, int lock_fd) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec iov;
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;
        int r;

        r = request_encode(request, &w->out);
        if (r < 0)
                return r;
        iov = (struct iovec){ .iov_base = w->out.data, .iov_len = w->out.size };

        if (lock_fd >= 0) {
                message.msg_control = &control;
                message.msg_controllen = sizeof control.space;
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(&control.header), &lock_fd, sizeof(int));
        }

        n = sendmsg(w->fd, &message, MSG_NOSIGNAL);
        if (n < 0)
                return errno == ECONNRESET ? -EPIPE : -errno;

        return note_sent(w, (size_t) n);
}

int worker_send_more(Worker *w) {
        ssize_t n = send(w->fd, w->out.data + w->out_sent, w->out.size - w->out_sent, MSG_NOSIGNAL);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 1 : errno == ECONNRESET ? -EPIPE : -errno;

        return note_sent(w, (size_t) n);
}

/* Forgets what was taken, once that is worth moving the rest. */
static void compact(Worker *w) {
        if (w->in_used == w->in.size)
                w->in.size = 0;
        else if (w->in_used >= RECEIVE_STEP) {
                memmove(w->in.data, w->in.data + w->in_used, w->in.size - w->in_used);
                w->in.size -= w->in_used;
        } else
                return;

        w->in_used = 0;
}

int worker_receive(Worker *w, Frame *ret) {
        for (;;) {
                size_t used;
                ssize_t n;
                int r;

                /* Before anything came there is no block to point into. */
                r = w->in_used < w->in.size
                                ? frame_decode(w->in.data + w->in_used, w->in.size - w->in_used, ret, &used)
                                : 0;
                if (r < 0)
                        return r;
                if (r > 0) {
                        w->in_used += used;
                        compact(w);
                        return 1;
                }

                r = grow((void **) &w->in.data, &w->in.allocated, w->in.size + RECEIVE_STEP, 1);
                if (r < 0)
                        return r;
                n = recv(w->fd, w->in.data + w->in.size, RECEIVE_STEP, 0);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return errno == EAGAIN ? 0 : -EPIPE;
                }
                if (n == 0)
                        return -EPIPE;
                w->in.size += (size_t) n;
        }
}

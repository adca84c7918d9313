/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The worker: takes a request from its standard input, a socket, does it, sends what came of it, and takes
 * the next, or ends if it has said that it does not stay. It is started before it is needed, so it may wait
 * for a request as long as the daemon lives; end of file means that there will be none. A daemon that dies
 * meanwhile stops nothing. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/file.h"
#include "host/effect.h"

#define SEND_STEP 65536U

/* Receives bytes, and at most one descriptor in all. Return: how many; 0 at the end; a negative errno. */
static ssize_t receive(char *data, size_t size, int *fd) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec iov = { .iov_base = data, .iov_len = size };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof control.space,
        };
        ssize_t n;

        n = recvmsg(STDIN_FILENO, &message, MSG_CMSG_CLOEXEC);
        if (n < 0)
                return -errno;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
                        (void) safe_close(*fd);
                        memcpy(fd, CMSG_DATA(c), sizeof *fd);
                }

        return n;
}

/* @in: is kept from one request to the next, so that who has said that he stays needs no memory to hear of
 * it. Return: 1; 0 if there is no request; a negative errno. */
static int receive_request(Buffer *in, Request *ret, int *ret_lock_fd) {
        size_t used;
        int r;

        in->size = 0;
        for (;;) {
                ssize_t n;

                r = in->size == 0 ? 0 : request_decode(in->data, in->size, ret, &used);
                if (r != 0)
                        return r;
                r = grow((void **) &in->data, &in->allocated, in->size + SEND_STEP, 1);
                if (r < 0)
                        return r;
                n = receive(in->data + in->size, SEND_STEP, ret_lock_fd);
                if (n <= 0)
                        return (int) n;
                in->size += (size_t) n;
        }
}

/* What is to be said, and whether somebody still listens. */
typedef struct Sender {
        Buffer out;
        int error;
        bool stays;
} Sender;

static int flush(Sender *s) {
        int r = fd_write_all(STDIN_FILENO, s->out.data, s->out.size);

        s->out.size = 0;
        if (r < 0)
                s->error = r;
        return r;
}

/* An EffectEmit: many small frames travel together; a result, and what must outlive us, at once. */
static int send_frame(const Frame *frame, void *userdata) {
        Sender *s = userdata;
        int r;

        r = frame_encode(frame, &s->out);
        if (r < 0) {
                /* Of all else it can be told that it is not told. */
                if (frame->kind == FRAME_RESULT)
                        s->error = r;
                return r;
        }
        if (frame->kind == FRAME_RESULT)
                s->stays = frame->stays;

        return s->out.size >= SEND_STEP || frame->kind == FRAME_RESULT || frame->kind == FRAME_ACTION
                        ? flush(s)
                        : 0;
}

/* Return: 1 if there is to be another; 0 if not; a negative errno. */
static int serve(int root_fd, Buffer *in) {
        _cleanup_(request_done) Request request = {};
        _cleanup_(closep) int lock_fd = -EBADF;
        Sender sender = {};
        int r;

        r = receive_request(in, &request, &lock_fd);
        if (r <= 0)
                return r == -ENOMEM ? r : 0;

        effect_perform(root_fd, &request, TAKE_FD(lock_fd), send_frame, &sender);
        (void) flush(&sender);
        buffer_done(&sender.out);
        return sender.error < 0 ? sender.error : sender.stays;
}

int main(int argc, char *argv[]) {
        const char *root = argc == 2 ? startswith(argv[1], "--root=") : argc == 1 ? "/" : NULL;
        _cleanup_(buffer_done) Buffer in = {};
        _cleanup_(closep) int root_fd = -EBADF;
        sigset_t all;
        int r;

        if (!root) {
                fprintf(stderr, "mdevd-worker is started by mdevd, and does nothing by itself.\n");
                return EXIT_FAILURE;
        }

        /* It was started through a descriptor, whose number would be its name. */
        (void) prctl(PR_SET_NAME, "mdevd-worker");

        /* A signal during a blocked removal would make it uninterruptible for good; during a creation it
         * would leave a device that nobody knows of. SIGKILL and SIGSTOP remain, and mdevd sends neither. */
        (void) sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, NULL);
        (void) umask(0022);

        root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return EXIT_FAILURE;

        do
                r = serve(root_fd, &in);
        while (r > 0);
        return r == -ENOMEM ? WORKER_EXIT_NO_MEMORY : r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

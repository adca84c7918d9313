/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Three descriptors are waited for: the process (pidfd_open(2)) and the read ends of its two outputs. When
 * the process has ended what is left in the pipes is taken, without waiting for anybody else who may still
 * hold them, and that is all.
 *
 * A process group is killed only while its leader is not reaped, so its number cannot be another's. */

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "host/script.h"
#include "model/name.h"

#define READ_STEP 16384U
#define REST_MAX (1024U * 1024U) /* taken of what is in a pipe after the end: the largest that pipes are */
#define REAP_SEC 5U /* for a killed process; one that sits in a driver takes longer, or for ever */
#define NSEC_PER_SEC INT64_C(1000000000)

typedef struct Output {
        int fd; /* -EBADF once it is at its end */
        size_t max;
        char *data;
        size_t size, allocated;
        bool cut;
        bool lost; /* something, for want of memory */
} Output;

typedef struct Process {
        pid_t pid;
        int pid_fd;
        Output output, errors;
} Process;

static void output_done(Output *o) {
        o->fd = safe_close(o->fd);
        free(o->data);
        o->data = NULL;
}

static void process_done(Process *p) {
        (void) safe_close(p->pid_fd);
        output_done(&p->output);
        output_done(&p->errors);
}

void script_result_done(ScriptResult *r) {
        free(r->output);
        free(r->errors);
        *r = (ScriptResult){};
}

char *script_result_said(const ScriptResult *result) {
        size_t size = result->errors_size;
        char *text;

        if (result->errors_cut)
                size = text_whole_size(result->errors, size);
        while (size > 0 && (result->errors[size - 1] == '\0' || strchr(" \t\r\n", result->errors[size - 1])))
                size--;
        if (size == 0)
                return NULL;

        text = malloc(size + sizeof " …");
        if (!text)
                return NULL;
        for (size_t i = 0; i < size; i++)
                text[i] = result->errors[i] == '\0' ? ' ' : result->errors[i];
        text[size] = '\0';
        (void) text_make_printable(text);
        return result->errors_cut ? strcat(text, " …") : text;
}

/* Outputs */

/* The script is not to blame if there is no memory for what it says: it goes on, and what was lost is known
 * at the end. */
static void output_keep(Output *o, const char *data, size_t size) {
        size_t n = o->lost ? 0 : MIN(size, o->max - o->size);

        o->cut = o->cut || n < size;
        if (n == 0)
                return;
        if (grow((void **) &o->data, &o->allocated, o->size + n + 1, 1) < 0) {
                o->cut = o->lost = true;
                return;
        }
        memcpy(o->data + o->size, data, n);
        o->size += n;
        o->data[o->size] = '\0';
}

/* Takes what is there, but at most about @max bytes. */
static void output_read(Output *o, size_t max) {
        char step[READ_STEP];
        size_t n_read = 0;

        while (o->fd >= 0 && n_read < max) {
                ssize_t n = read(o->fd, step, sizeof step);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n <= 0) {
                        o->fd = safe_close(o->fd);
                        return;
                }
                output_keep(o, step, (size_t) n);
                n_read += (size_t) n;
        }
}

/* A pipe whose write end is given to the script. */
static int output_open(Output *o, int *ret_write_fd) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        o->fd = fds[0];
        *ret_write_fd = fds[1];
        /* Only our end never blocks. */
        return fcntl(o->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* The start */

/* Return: a descriptor at the begin of a file with that text; a negative errno. */
static int open_input(const char *text) {
        _cleanup_(closep) int fd = -EBADF;
        int r;

        if (text[0] == '\0') {
                fd = open("/dev/null", O_RDONLY | O_CLOEXEC | O_NOCTTY);
                return fd < 0 ? -errno : TAKE_FD(fd);
        }

        fd = memfd_create("mdevd-script-input", MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = fd_write_all(fd, text, strlen(text));
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int spawn_with(const ScriptCall *call, char *const *environment, int input_fd, int output_fd,
                int errors_fd, posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions,
                pid_t *ret) {
        sigset_t none, all;
        int r;

        (void) sigemptyset(&none);
        (void) sigfillset(&all);
        (void) posix_spawnattr_setflags(
                        attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        (void) posix_spawnattr_setpgroup(attributes, 0);
        (void) posix_spawnattr_setsigmask(attributes, &none);
        (void) posix_spawnattr_setsigdefault(attributes, &all);

        r = posix_spawn_file_actions_adddup2(actions, input_fd, STDIN_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(actions, output_fd, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(actions, errors_fd, STDERR_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
        if (r == 0)
                r = posix_spawn_file_actions_addchdir_np(actions, "/");
        return r == 0 ? posix_spawn(ret, call->path, actions, attributes, call->argv, environment) : r;
}

/* Return: 0; a positive errno, as posix_spawn(3) gives. */
static int spawn(const ScriptCall *call, char *const *environment, int input_fd, int output_fd, int errors_fd,
                pid_t *ret) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        int r;

        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return r;
        r = posix_spawnattr_init(&attributes);
        if (r == 0) {
                r = spawn_with(call, environment, input_fd, output_fd, errors_fd, &attributes, &actions, ret);
                (void) posix_spawnattr_destroy(&attributes);
        }
        (void) posix_spawn_file_actions_destroy(&actions);
        return r;
}

/* The whole group; and the leader by itself, should it have left its group. */
static void kill_group(pid_t pid) {
        (void) kill(-pid, SIGKILL);
        (void) kill(pid, SIGKILL);
}

/* A descriptor that none of the first three is: those are what dup2() is to make. */
static int move_up(int *fd) {
        int copy;

        if (*fd > STDERR_FILENO)
                return 0;
        copy = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (copy < 0)
                return -errno;
        (void) safe_close(*fd);
        *fd = copy;
        return 0;
}

static int process_start(const ScriptCall *call, const char *root, Process *p) {
        _cleanup_(closep) int input_fd = -EBADF, output_fd = -EBADF, errors_fd = -EBADF;
        char root_variable[PATH_MAX + sizeof "MDEVCTL_ENV_ROOT="];
        char *environment[] = {
                (char *) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                (char *) "LC_ALL=C.UTF-8",
                NULL,
                NULL,
        };
        int r;

        if (!streq(root, "/")) {
                if (snprintf(root_variable, sizeof root_variable, "MDEVCTL_ENV_ROOT=%s", root) >=
                                (int) sizeof root_variable)
                        return -ENAMETOOLONG;
                environment[2] = root_variable;
        }

        input_fd = open_input(call->input);
        if (input_fd < 0)
                return input_fd;
        r = output_open(&p->output, &output_fd);
        if (r >= 0)
                r = output_open(&p->errors, &errors_fd);
        if (r >= 0)
                r = move_up(&input_fd);
        if (r >= 0)
                r = move_up(&output_fd);
        if (r >= 0)
                r = move_up(&errors_fd);
        if (r < 0)
                return r;

        r = spawn(call, environment, input_fd, output_fd, errors_fd, &p->pid);
        if (r > 0)
                return -r;

        p->pid_fd = pidfd_open(p->pid, 0);
        if (p->pid_fd < 0) {
                r = -errno;
                kill_group(p->pid);
                (void) waitpid(p->pid, NULL, 0);
                return r;
        }
        return 0;
}

/* The wait */

static int64_t now_nsec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t) t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

/* Hears the process until it has ended. Return: 1; 0 if @deadline came first; an errno of poll(2). */
static int process_hear(Process *p, int64_t deadline) {
        for (;;) {
                struct pollfd fds[] = {
                        { .fd = p->pid_fd, .events = POLLIN },
                        { .fd = p->output.fd, .events = POLLIN },
                        { .fd = p->errors.fd, .events = POLLIN },
                };
                int64_t left = deadline - now_nsec();
                struct timespec wait = { .tv_sec = left / NSEC_PER_SEC, .tv_nsec = left % NSEC_PER_SEC };

                if (left <= 0)
                        return 0;
                if (ppoll(fds, ELEMENTSOF(fds), &wait, NULL) < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }

                /* A step at a time: what floods us shall not keep us from seeing that the time is up. */
                output_read(&p->output, READ_STEP);
                output_read(&p->errors, READ_STEP);
                if (fds[0].revents != 0)
                        return 1;
        }
}

int script_run(const ScriptCall *call, const char *root, ScriptResult *ret) {
        _cleanup_(process_done) Process p = {
                .pid_fd = -EBADF,
                .output = { .fd = -EBADF, .max = call->output_max },
                .errors = { .fd = -EBADF, .max = call->errors_max },
        };
        ScriptResult result = {};
        siginfo_t si = {};
        int ended, r;

        r = process_start(call, root, &p);
        if (r < 0)
                return r;

        ended = process_hear(&p, now_nsec() + call->timeout_sec * NSEC_PER_SEC);
        if (ended <= 0) {
                kill_group(p.pid);
                result.end = SCRIPT_TIMED_OUT;
                r = process_hear(&p, now_nsec() + REAP_SEC * NSEC_PER_SEC);
        }

        /* One that does not even die is left to whoever inherits it. */
        if (ended > 0 || r > 0)
                (void) waitid(P_PID, (id_t) p.pid, &si, WEXITED);
        if (ended < 0)
                return ended;
        output_read(&p.output, REST_MAX);
        output_read(&p.errors, REST_MAX);
        /* An answer cannot do without a part of it; what it complained of is for people. */
        if (p.output.lost)
                return -ENOMEM;

        if (ended > 0) {
                result.end = si.si_code == CLD_EXITED ? SCRIPT_EXITED : SCRIPT_KILLED;
                result.status = si.si_status;
        }
        result.output = TAKE_PTR(p.output.data);
        result.output_size = p.output.size;
        result.output_cut = p.output.cut;
        result.errors = TAKE_PTR(p.errors.data);
        result.errors_size = p.errors.size;
        result.errors_cut = p.errors.cut;
        *ret = result;
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Follows the system calls of a daemon, or of the worker that it gives an operation to, and at one of them
 * kills it, or lets the call fail.
 *
 *     cut NTH WHAT PATTERN WHO UUID PID
 *
 * NTH      at which call, counted from 1; 0: only count
 * WHAT     kill: before the call does anything; short: the call, a read or write, does half of it; the number
 *          of an errno: the call does nothing and returns that. With a "+" behind the number, so do all
 *          after it, as on a disk that is full, read-only or broken; and only calls that change something
 *          count. With "++", those that look count too
 * PATTERN  only calls on paths that this extended regular expression matches are counted; "": all calls
 * WHO      daemon; worker: the one that is given a request about UUID, from there on until it waits for the
 *          next one or exits; both: the same, and the daemon dies with it
 * UUID     not one of those by which the daemon looks what there is; "": the one that reads all files
 * PID      of the daemon
 *
 * Says "ready" when it follows. Then either one line "cut NTH CALL PATH", or, once the worker is done, or
 * SIGTERM has told that the operation is over and no call was made for a moment, "count N"; where calls go on
 * failing, such a line for each, and then the count. What it followed lives on untouched.
 *
 * Which of its workers the daemon takes is its own affair: all are followed until one is given that request.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <regex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/wire.h"

#ifndef __x86_64__
#error "A call is changed in the registers of x86-64 here."
#endif

#define QUIET_NSEC (20L * 1000 * 1000)

/* Where a call's arguments say what it is about. What is not here is about no file. */
static const struct {
        long number;
        const char *name;
        bool has_path; /* the second argument, relative to the first; else the first alone */
        enum {
                ASKS_NOTHING, /* of the disk */
                LOOKS,        /* opening changes something with some flags */
                CHANGES,
        } deed;
} calls[] = {
        { SYS_openat, "openat", true, LOOKS },
        { SYS_openat2, "openat2", true, LOOKS },
        { SYS_newfstatat, "newfstatat", true, LOOKS },
        { SYS_mkdirat, "mkdirat", true, CHANGES },
        { SYS_unlinkat, "unlinkat", true, CHANGES },
        { SYS_renameat, "renameat", true, CHANGES }, /* what renameat2() calls without flags */
        { SYS_renameat2, "renameat2", true, CHANGES },
        { SYS_linkat, "linkat", true, CHANGES },
        { SYS_fchownat, "fchownat", true, CHANGES },
        { SYS_fchmodat, "fchmodat", true, CHANGES },
        { SYS_readlinkat, "readlinkat", true, LOOKS },
        { SYS_read, "read", false, LOOKS },
        { SYS_write, "write", false, CHANGES },
        { SYS_fsync, "fsync", false, CHANGES },
        { SYS_ftruncate, "ftruncate", false, CHANGES },
        { SYS_fstat, "fstat", false, LOOKS },
        { SYS_fchmod, "fchmod", false, CHANGES },
        { SYS_fchown, "fchown", false, CHANGES },
        { SYS_flock, "flock", false, ASKS_NOTHING },
        { SYS_fcntl, "fcntl", false, ASKS_NOTHING },
        { SYS_getdents64, "getdents64", false, LOOKS },
        { SYS_close, "close", false, ASKS_NOTHING },
};

/* Whoever waits for something to do can be followed at once; the rest comes as it is started. */
#define FOLLOWED_MAX 256U

typedef struct Followed {
        pid_t pid;
        unsigned long message; /* of the recvmsg() that it is in */
} Followed;

static struct {
        long nth;
        enum {
                KILL,
                SHORT,
                FAIL
        } what;
        int error;
        bool goes_on;      /* from the NTH call on */
        bool only_changes; /* are counted */
        bool has_pattern;
        regex_t pattern;
        bool of_worker, with_daemon;
        bool has_uuid;
        Uuid uuid;

        pid_t daemon, chosen; /* chosen: whose calls count; 0: not known yet */
        Followed workers[FOLLOWED_MAX];
        unsigned n_workers;
        long count;
        bool failing; /* the call is about to return */
} state;

static _Noreturn void die(const char *what) {
        perror(what);
        exit(EXIT_FAILURE);
}

static size_t read_memory(pid_t pid, unsigned long address, void *buffer, size_t size) {
        struct iovec local = { buffer, size }, remote = { (void *) address, size };
        ssize_t n;

        /* Towards the end of a mapping there is less to be had. */
        do
                n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
        while (n < 0 && errno == EFAULT && (local.iov_len = remote.iov_len /= 2) > 0);
        return n < 0 ? 0 : (size_t) n;
}

static void path_of_descriptor(int fd, char buffer[static PATH_MAX]) {
        char link[64];
        ssize_t n;

        (void) snprintf(link, sizeof link, "/proc/%d/fd/%d", (int) state.chosen, fd);
        n = readlink(link, buffer, PATH_MAX - 1);
        buffer[n < 0 ? 0 : n] = '\0';
}

/* Whether a disk that has failed for good refuses it. */
static bool would_be_refused(const struct __ptrace_syscall_info *info) {
        const unsigned long long flags = O_CREAT | O_WRONLY | O_RDWR;
        struct open_how how = {};

        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
                if (calls[i].number == (long) info->entry.nr && calls[i].deed != LOOKS)
                        return calls[i].deed == CHANGES;
        if (!state.only_changes)
                return true;
        if (info->entry.nr == SYS_openat)
                return info->entry.args[2] & flags;
        return info->entry.nr == SYS_openat2 &&
                        read_memory(state.chosen, info->entry.args[2], &how, sizeof how) == sizeof how &&
                        how.flags & flags;
}

/* What the call is about. Return: its name. */
static const char *describe(const struct __ptrace_syscall_info *info, char ret_path[static 2 * PATH_MAX]) {
        char directory[PATH_MAX] = "", name[PATH_MAX] = "";

        ret_path[0] = '\0';
        for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
                if (calls[i].number != (long) info->entry.nr)
                        continue;
                path_of_descriptor((int) info->entry.args[0], directory);
                if (calls[i].has_path)
                        name[read_memory(state.chosen, info->entry.args[1], name, sizeof name - 1)] = '\0';
                (void) snprintf(ret_path, 2 * PATH_MAX, "%s%s%s", name[0] == '/' ? "" : directory,
                                name[0] != '\0' && name[0] != '/' ? "/" : "", name);
                return calls[i].name;
        }

        return "other";
}

static bool is_counted(const struct __ptrace_syscall_info *info, const char *path) {
        if (state.what == SHORT && info->entry.nr != SYS_read && info->entry.nr != SYS_write)
                return false;
        if (state.goes_on && !would_be_refused(info))
                return false;
        return !state.has_pattern || regexec(&state.pattern, path, 0, NULL, 0) == 0;
}

/* First of all before it ends: as long as a dead process is followed, its parent hears of the death, and is
 * not told who it was. */
static void let_go(pid_t pid, int signal) {
        if (ptrace(PTRACE_DETACH, pid, NULL, (long) signal) < 0 && errno != ESRCH)
                die("PTRACE_DETACH");
}

static void go_on(pid_t pid, long signal) {
        /* What a daemon does while its worker is followed is nobody's business here. */
        int how = state.of_worker && pid == state.daemon ? PTRACE_CONT : PTRACE_SYSCALL;

        if (ptrace(how, pid, NULL, signal) < 0 && errno != ESRCH)
                die("PTRACE_SYSCALL");
}

static void change_registers(bool entering) {
        struct user_regs_struct registers;

        if (ptrace(PTRACE_GETREGS, state.chosen, NULL, &registers) < 0)
                die("PTRACE_GETREGS");
        if (!entering)
                registers.rax = (unsigned long long) -state.error;
        else if (state.what == FAIL)
                registers.orig_rax = (unsigned long long) -1;
        else
                registers.rdx = (registers.rdx + 1) / 2;
        if (ptrace(PTRACE_SETREGS, state.chosen, NULL, &registers) < 0)
                die("PTRACE_SETREGS");
}

/* Return: whether there is nothing more to be done. The kernel lets go of all when this process ends. */
static bool on_entry(const struct __ptrace_syscall_info *info) {
        char path[2 * PATH_MAX];
        const char *name;

        name = describe(info, path);
        if (is_counted(info, path) &&
                        (++state.count == state.nth ||
                                        (state.goes_on && state.nth > 0 && state.count > state.nth))) {
                (void) printf("cut %ld %s %s\n", state.count, name, path);
                (void) fflush(stdout);
                if (state.what != KILL) {
                        change_registers(true);
                        state.failing = state.what == FAIL;
                        return !state.failing;
                }
                if (state.with_daemon)
                        (void) kill(state.daemon, SIGKILL);
                let_go(state.chosen, SIGKILL);
                return true;
        }
        if (info->entry.nr != SYS_exit_group && !(state.of_worker && info->entry.nr == SYS_recvmsg))
                return false;

        let_go(state.chosen, 0);
        (void) printf("count %ld\n", state.count);
        return true;
}

static bool is_wanted(const Request *r) {
        if (!state.has_uuid)
                return r->kind == REQUEST_SCAN && !r->parents;
        return r->kind != REQUEST_SCAN && r->kind != REQUEST_LOOK && r->kind != REQUEST_TYPES &&
                        uuid_equal(&r->definition.uuid, &state.uuid);
}

/* A worker has received something. */
static void look_at_message(const Followed *w, long size) {
        struct msghdr header = {};
        struct iovec iov = {};
        Request request = {};
        size_t used;
        char *data;

        if (size <= 0)
                return;
        data = malloc((size_t) size);
        if (!data)
                die("malloc");
        if (read_memory(w->pid, w->message, &header, sizeof header) == sizeof header &&
                        read_memory(w->pid, (unsigned long) header.msg_iov, &iov, sizeof iov) == sizeof iov &&
                        read_memory(w->pid, (unsigned long) iov.iov_base, data, (size_t) size) ==
                                        (size_t) size &&
                        request_decode(data, (size_t) size, &request, &used) > 0 && is_wanted(&request))
                state.chosen = w->pid;
        request_done(&request);
        free(data);
}

static void on_call_of_worker(Followed *w, const struct __ptrace_syscall_info *info) {
        if (info->op == PTRACE_SYSCALL_INFO_ENTRY)
                w->message = info->entry.nr == SYS_recvmsg ? info->entry.args[1] : 0;
        else if (info->op == PTRACE_SYSCALL_INFO_EXIT && w->message) {
                look_at_message(w, info->exit.rval);
                w->message = 0;
        }
}

/* Return: as on_entry(). */
static bool on_call(pid_t pid) {
        struct __ptrace_syscall_info info;

        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) < 0) {
                if (errno == ESRCH)
                        return false;
                die("PTRACE_GET_SYSCALL_INFO");
        }
        if (state.chosen) {
                if (pid != state.chosen)
                        return false;
                if (info.op == PTRACE_SYSCALL_INFO_EXIT && state.failing) {
                        change_registers(false);
                        state.failing = false;
                        return !state.goes_on;
                }
                return info.op == PTRACE_SYSCALL_INFO_ENTRY && on_entry(&info);
        }
        for (unsigned i = 0; i < state.n_workers; i++)
                if (state.workers[i].pid == pid)
                        on_call_of_worker(&state.workers[i], &info);
        return false;
}

static void add_worker(pid_t pid) {
        if (pid == state.daemon)
                return;
        for (unsigned i = 0; i < state.n_workers; i++)
                if (state.workers[i].pid == pid)
                        return;
        if (state.n_workers == FOLLOWED_MAX) {
                errno = E2BIG;
                die("workers");
        }
        state.workers[state.n_workers++] = (Followed){ .pid = pid };
        /* A script is not followed. */
        (void) ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD);
}

/* Takes in one stop of a process. Return: as on_entry(). */
static bool on_stop(pid_t pid, int status) {
        long signal = 0;

        add_worker(pid);
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
                if (on_call(pid))
                        return true;
        } else if (status >> 16 == 0)
                signal = WSTOPSIG(status);

        go_on(pid, signal);
        return false;
}

static bool seize(pid_t pid, long options) {
        int status;

        if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD | options) < 0 ||
                        ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
                return false;
        return waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status);
}

/* All that are there, while the daemon can start no more. */
static void follow(void) {
        const long births = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
        char path[64];
        FILE *children;
        int pid;

        if (!seize(state.daemon, state.of_worker ? births : 0))
                die("PTRACE_SEIZE");
        if (!state.of_worker)
                state.chosen = state.daemon;
        else {
                (void) snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int) state.daemon,
                                (int) state.daemon);
                children = fopen(path, "re");
                if (!children)
                        die(path);
                while (fscanf(children, "%d", &pid) == 1)
                        if (seize(pid, 0)) {
                                add_worker(pid);
                                go_on(pid, 0);
                        }
                (void) fclose(children);
        }
        go_on(state.daemon, 0);
}

static void parse(int argc, char *argv[]) {
        if (argc != 7) {
                (void) fprintf(stderr, "usage: cut NTH WHAT PATTERN WHO UUID PID\n");
                exit(2);
        }

        state.nth = atol(argv[1]);
        state.what = streq(argv[2], "kill") ? KILL : streq(argv[2], "short") ? SHORT : FAIL;
        state.error = atoi(argv[2]);
        state.goes_on = strchr(argv[2], '+');
        state.only_changes = state.goes_on && !strstr(argv[2], "++");
        state.has_pattern = argv[3][0] != '\0';
        if (state.has_pattern && regcomp(&state.pattern, argv[3], REG_EXTENDED | REG_NOSUB) != 0)
                die("regcomp");
        state.with_daemon = streq(argv[4], "both");
        state.of_worker = !streq(argv[4], "daemon");
        state.has_uuid = uuid_from_text(argv[5], &state.uuid) >= 0;
        state.daemon = (pid_t) atoi(argv[6]);
}

int main(int argc, char *argv[]) {
        const struct timespec quiet = { .tv_nsec = QUIET_NSEC };
        bool over = false;
        sigset_t set;

        parse(argc, argv);
        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGCHLD);
        (void) sigaddset(&set, SIGTERM);
        (void) sigprocmask(SIG_BLOCK, &set, NULL);

        follow();
        (void) puts("ready");
        (void) fflush(stdout);

        for (;;) {
                int status, signal;
                pid_t pid;

                while ((pid = waitpid(-1, &status, __WALL | WNOHANG)) > 0)
                        if (WIFSTOPPED(status) && on_stop(pid, status))
                                return EXIT_SUCCESS;
                if (pid < 0)
                        break;
                signal = sigtimedwait(&set, NULL, over ? &quiet : NULL);
                if (signal == SIGTERM)
                        over = true;
                else if (signal < 0 && errno == EAGAIN)
                        break;
        }

        (void) printf("count %ld\n", state.count);
        return EXIT_SUCCESS;
}

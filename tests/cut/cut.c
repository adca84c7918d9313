/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Follows the system calls of a process, and at one of them kills it, or lets the call fail.
 *
 *     cut NTH WHAT PATTERN PID [PID…]
 *
 * NTH      at which call, counted from 1; 0: only count
 * WHAT     kill: before the call does anything, all of the processes; short: the call, a read or write, does
 * half of it; the number of an errno: the call does nothing and returns that PATTERN  only calls on paths
 * that this extended regular expression matches are counted; "": all calls PID      who is followed; the
 * others only die with it
 *
 * Says "ready" when it follows. Then either one line "cut NTH CALL PATH", or, once SIGTERM has told that the
 * operation is over and no call was made for a moment, or the process has ended, "count N". What it followed
 * lives on untouched. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <regex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "A call is changed in the registers of x86-64 here."
#endif

#define QUIET_NSEC (20L * 1000 * 1000)

/* Where a call's arguments say what it is about. What is not here is about no file. */
static const struct {
        long number;
        const char *name;
        bool has_path; /* the second argument, relative to the first; else the first alone */
} calls[] = {
        { SYS_openat, "openat", true },
        { SYS_openat2, "openat2", true },
        { SYS_newfstatat, "newfstatat", true },
        { SYS_mkdirat, "mkdirat", true },
        { SYS_unlinkat, "unlinkat", true },
        { SYS_renameat2, "renameat2", true },
        { SYS_linkat, "linkat", true },
        { SYS_fchownat, "fchownat", true },
        { SYS_fchmodat, "fchmodat", true },
        { SYS_readlinkat, "readlinkat", true },
        { SYS_read, "read", false },
        { SYS_write, "write", false },
        { SYS_fsync, "fsync", false },
        { SYS_ftruncate, "ftruncate", false },
        { SYS_fstat, "fstat", false },
        { SYS_fchmod, "fchmod", false },
        { SYS_fchown, "fchown", false },
        { SYS_flock, "flock", false },
        { SYS_fcntl, "fcntl", false },
        { SYS_getdents64, "getdents64", false },
        { SYS_close, "close", false },
};

static struct {
        long nth;
        enum {
                KILL,
                SHORT,
                FAIL
        } what;
        int error;
        bool has_pattern;
        regex_t pattern;

        pid_t pid, *others;
        long count;
        bool failing; /* the call is about to return */
} state;

static _Noreturn void die(const char *what) {
        perror(what);
        exit(EXIT_FAILURE);
}

static void read_string(unsigned long address, char *buffer, size_t size) {
        struct iovec local = { buffer, size - 1 }, remote = { (void *) address, size - 1 };
        ssize_t n;

        /* Towards the end of a mapping there is less to be had. */
        do
                n = process_vm_readv(state.pid, &local, 1, &remote, 1, 0);
        while (n < 0 && errno == EFAULT && (local.iov_len = remote.iov_len /= 2) > 0);
        buffer[n < 0 ? 0 : n] = '\0';
}

static void path_of_descriptor(int fd, char buffer[static PATH_MAX]) {
        char link[64];
        ssize_t n;

        (void) snprintf(link, sizeof link, "/proc/%d/fd/%d", (int) state.pid, fd);
        n = readlink(link, buffer, PATH_MAX - 1);
        buffer[n < 0 ? 0 : n] = '\0';
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
                        read_string(info->entry.args[1], name, sizeof name);
                (void) snprintf(ret_path, 2 * PATH_MAX, "%s%s%s", name[0] == '/' ? "" : directory,
                                name[0] != '\0' && name[0] != '/' ? "/" : "", name);
                return calls[i].name;
        }

        return "other";
}

static bool is_counted(const struct __ptrace_syscall_info *info, const char *path) {
        if (state.what == SHORT && info->entry.nr != SYS_read && info->entry.nr != SYS_write)
                return false;
        return !state.has_pattern || regexec(&state.pattern, path, 0, NULL, 0) == 0;
}

/* First of all before it ends: as long as a dead process is followed, its parent hears of the death, and is
 * not told who it was. */
static void let_go(int signal) {
        if (ptrace(PTRACE_DETACH, state.pid, NULL, (long) signal) < 0)
                die("PTRACE_DETACH");
}

static void kill_them(void) {
        for (pid_t *other = state.others; *other; other++)
                (void) kill(*other, SIGKILL);
        let_go(SIGKILL);
}

static void change_registers(bool entering) {
        struct user_regs_struct registers;

        if (ptrace(PTRACE_GETREGS, state.pid, NULL, &registers) < 0)
                die("PTRACE_GETREGS");
        if (!entering)
                registers.rax = (unsigned long long) -state.error;
        else if (state.what == FAIL)
                registers.orig_rax = (unsigned long long) -1;
        else
                registers.rdx = (registers.rdx + 1) / 2;
        if (ptrace(PTRACE_SETREGS, state.pid, NULL, &registers) < 0)
                die("PTRACE_SETREGS");
}

/* Return: whether there is nothing more to be done. The kernel lets go of the process when this one ends. */
static bool on_call(void) {
        struct __ptrace_syscall_info info;
        char path[2 * PATH_MAX];
        const char *name;

        if (ptrace(PTRACE_GET_SYSCALL_INFO, state.pid, sizeof info, &info) < 0)
                die("PTRACE_GET_SYSCALL_INFO");
        if (info.op == PTRACE_SYSCALL_INFO_EXIT && state.failing) {
                change_registers(false);
                return true;
        }
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
                return false;
        name = describe(&info, path);
        if (!is_counted(&info, path) || ++state.count != state.nth) {
                if (info.entry.nr != SYS_exit_group)
                        return false;
                let_go(0);
                (void) printf("count %ld\n", state.count);
                return true;
        }

        (void) printf("cut %ld %s %s\n", state.count, name, path);
        (void) fflush(stdout);
        if (state.what == KILL)
                kill_them();
        else
                change_registers(true);
        state.failing = state.what == FAIL;
        return !state.failing;
}

/* Takes in one stop of the process. Return: as on_call(). */
static bool on_stop(int status) {
        long signal = 0;

        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
                if (on_call())
                        return true;
        } else if (status >> 16 == 0)
                signal = WSTOPSIG(status);

        if (ptrace(PTRACE_SYSCALL, state.pid, NULL, signal) < 0 && errno != ESRCH)
                die("PTRACE_SYSCALL");
        return false;
}

static void follow(void) {
        int status;

        if (ptrace(PTRACE_SEIZE, state.pid, NULL, PTRACE_O_TRACESYSGOOD) < 0 ||
                        ptrace(PTRACE_INTERRUPT, state.pid, NULL, NULL) < 0)
                die("PTRACE_SEIZE");
        if (waitpid(state.pid, &status, __WALL) < 0 || !WIFSTOPPED(status))
                die("waitpid");
        (void) on_stop(status);
}

static void parse(int argc, char *argv[]) {
        if (argc < 5) {
                (void) fprintf(stderr, "usage: cut NTH WHAT PATTERN PID [PID…]\n");
                exit(2);
        }

        state.nth = atol(argv[1]);
        state.what = strcmp(argv[2], "kill") == 0 ? KILL : strcmp(argv[2], "short") == 0 ? SHORT : FAIL;
        state.error = atoi(argv[2]);
        state.has_pattern = argv[3][0] != '\0';
        if (state.has_pattern && regcomp(&state.pattern, argv[3], REG_EXTENDED | REG_NOSUB) != 0)
                die("regcomp");
        state.pid = (pid_t) atoi(argv[4]);
        state.others = calloc((size_t) argc, sizeof *state.others);
        if (!state.others)
                die("calloc");
        for (int i = 5; i < argc; i++)
                state.others[i - 5] = (pid_t) atoi(argv[i]);
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

                while ((pid = waitpid(state.pid, &status, __WALL | WNOHANG)) > 0)
                        if (WIFSTOPPED(status) && on_stop(status))
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linked into the worker. As often as the file "deaths" beside the tree says, one that is to read definitions
 * is killed instead, as by a host that has no memory left. One that is to ask a driver what it has left, and
 * finds a file "hold", calls it "held" and waits until that is gone, as for a driver that does not answer. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/file.h"
#include "host/effect.h"

static bool is_to_die(int root_fd) {
        char text[32] = "";
        bool dies = false;
        long n;
        int fd;

        fd = openat(root_fd, "../deaths", O_RDWR | O_CLOEXEC);
        if (fd < 0)
                return false;
        n = read(fd, text, sizeof text - 1) > 0 ? strtol(text, NULL, 10) : 0;
        if (n > 0) {
                (void) snprintf(text, sizeof text, "%-8ld", n - 1);
                dies = pwrite(fd, text, strlen(text), 0) > 0;
        }
        (void) close(fd);
        return dies;
}

static void hang(int root_fd) {
        if (renameat(root_fd, "../hold", root_fd, "../held") < 0)
                return;
        while (faccessat(root_fd, "../held", F_OK, 0) >= 0)
                (void) usleep(1000);
}

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the names are the linker's. */
void __real_effect_perform(
                int root_fd, const Request *request, int lock_fd, EffectEmit emit_fn, void *userdata);
void __wrap_effect_perform(
                int root_fd, const Request *request, int lock_fd, EffectEmit emit_fn, void *userdata);

void __wrap_effect_perform(
                int root_fd, const Request *request, int lock_fd, EffectEmit emit_fn, void *userdata) {
        if (request->kind == REQUEST_SCAN && is_to_die(root_fd))
                (void) kill(getpid(), SIGKILL);
        if (request->kind == REQUEST_TYPES)
                hang(root_fd);
        __real_effect_perform(root_fd, request, lock_fd, emit_fn, userdata);
}
/* NOLINTEND */

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A timer's signal and a sentence that is made beforehand: so it needs nothing from whatever waits, which may
 * be a call, a loop, or ssh. */

#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

#include "base/util.h"
#include "tools/patience.h"

#define PATIENCE_SEC 2

static char sentence[256];

static void on_alarm(int number _unused_) {
        int saved = errno;

        /* One that is lost is no loss. */
        if (write(STDERR_FILENO, sentence, strlen(sentence)) < 0)
                errno = saved;
        errno = saved;
}

void patience_begin(const char *what) {
        const struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
        const struct itimerval timer = { .it_value.tv_sec = PATIENCE_SEC };

        if (!isatty(STDERR_FILENO))
                return;

        (void) snprintf(sentence, sizeof sentence,
                        "Waiting for mdevd to %s; this takes as long as the driver does. "
                        "Ctrl-C stops the waiting, not the work.\n",
                        what);
        (void) sigaction(SIGALRM, &action, NULL);
        (void) setitimer(ITIMER_REAL, &timer, NULL);
}

void patience_end(void) {
        (void) setitimer(ITIMER_REAL, &(struct itimerval){}, NULL);
}

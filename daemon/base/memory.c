/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <time.h>

#include "base/memory.h"

/* Who is asked for what is wrong now tells so much of what was. */
#define OVER_USEC (UINT64_C(10) * 1000 * 1000)

static uint64_t since_usec;  /* CLOCK_REALTIME */
static uint64_t missed_usec; /* the last time, CLOCK_MONOTONIC; 0: never */
static bool sufficed;        /* since then */

static uint64_t now_usec(clockid_t clock) {
        struct timespec t = {};

        (void) clock_gettime(clock, &t);
        return (uint64_t) t.tv_sec * 1000 * 1000 + (uint64_t) t.tv_nsec / 1000;
}

static bool is_short(uint64_t now) {
        return missed_usec > 0 && (!sufficed || now - missed_usec < OVER_USEC);
}

int memory_check(int r) {
        uint64_t now;

        if (r != -ENOMEM)
                return r;
        now = now_usec(CLOCK_MONOTONIC);
        if (!is_short(now))
                since_usec = now_usec(CLOCK_REALTIME);
        missed_usec = now;
        sufficed = false;
        return r;
}

void memory_sufficed(uint64_t began_usec) {
        if (began_usec > missed_usec)
                sufficed = true;
}

bool memory_is_short(uint64_t *ret_since_usec, uint64_t *ret_ago_usec) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (!is_short(now))
                return false;
        *ret_since_usec = since_usec;
        *ret_ago_usec = now - missed_usec;
        return true;
}

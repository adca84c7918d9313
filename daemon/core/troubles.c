/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is stuck or does not work of what the daemon depends on. Nothing is kept for it but what the disk said
 * last, and when memory was missing (base/memory.h): all else follows, when somebody asks, from what is under
 * way. */

#include <stdio.h>
#include <time.h>

#include "base/memory.h"
#include "core/manager-private.h"
#include "core/verb.h"
#include "model/name.h"

/* Rows of one kind; who has more has one problem. */
#define TROUBLES_MAX 256U

/* What takes no longer is no trouble. */
#define SLOW_USEC (UINT64_C(10) * 1000 * 1000)

uint64_t troubles_now(void) {
        struct timespec t = {};

        (void) clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t) t.tv_sec * 1000 * 1000 + (uint64_t) t.tv_nsec / 1000;
}

/* The disk */

/* Others are about one file, and told with its device. */
static bool is_of_disk(int error) {
        return error == EIO || error == ENOSPC || error == EROFS || error == EDQUOT;
}

void troubles_store_said(Manager *m, const Failure *f) {
        char *sentence = NULL;

        if (failure_is_set(f)) {
                if (f->kind != FAILURE_STORE || !is_of_disk(f->error) ||
                                asprintf(&sentence, "%s could not be written: %s.", strempty(f->subject),
                                                strerror(f->error)) < 0)
                        return;
                if (!m->store_trouble)
                        m->store_trouble_since_usec = troubles_now();
        }
        free(m->store_trouble);
        m->store_trouble = sentence;
}

/* Memory */

void troubles_memory_said(const Failure *f, uint64_t began_usec) {
        /* What the driver has none for is its own affair; a worker and the disk have it from the same host.
         */
        if (f->kind == FAILURE_NO_MEMORY ||
                        ((f->kind == FAILURE_WORKER || f->kind == FAILURE_STORE) && f->error == ENOMEM))
                (void) memory_check(-ENOMEM);
        else if (!failure_is_set(f))
                memory_sufficed(began_usec);
}

static int list_memory(TroubleFn fn, void *userdata) {
        uint64_t since, ago;
        char sentence[160];

        if (!memory_is_short(&since, &ago))
                return 0;
        (void) snprintf(sentence, sizeof sentence,
                        "There is not enough memory: something was refused or not taken in, the last time %llu s ago.",
                        (unsigned long long) (ago / 1000 / 1000));
        return fn(&(Trouble){ "memory", sentence, since }, userdata);
}

/* What is slow */

int troubles_tell_slow(
                const Trouble *t, uint64_t began_usec, uint64_t now_usec, TroubleFn fn, void *userdata) {
        Trouble slow = *t;
        uint64_t age = now_usec - began_usec;

        if (age < SLOW_USEC)
                return 0;
        slow.since_usec = troubles_now() - age;
        return fn(&slow, userdata);
}

static int list_slow_verbs(const Manager *m, uint64_t now_usec, unsigned max, TroubleFn fn, void *userdata) {
        static const char *const names[_OPERATION_KIND_MAX] = {
                [OPERATION_NONE] = "Looking at",
                [OPERATION_CREATE] = "Creating",
                [OPERATION_REMOVE] = "Removing",
                [OPERATION_DEFINE] = "Defining",
                [OPERATION_MODIFY] = "Modifying",
                [OPERATION_UNDEFINE] = "Undefining",
        };
        const Verb *v = m->verbs;
        unsigned n = 0;
        int r = 0;

        /* The oldest is the last. */
        while (v && v->next)
                v = v->next;
        for (; v && n < max && r >= 0; v = v->previous, n++) {
                const char *on = v->parent ? " on parent " : "";
                char text[NAME_LENGTH_MAX + 256];

                (void) snprintf(text, sizeof text,
                                "%s device %s%s%s is not done: its driver, a script or a user takes long.",
                                names[v->kind], UUID_TEXT(&v->uuid), on, strempty(v->parent));
                r = troubles_tell_slow(&(Trouble){ .name = "operation", .sentence = text }, v->began_usec,
                                now_usec, fn, userdata);
        }
        return r;
}

int manager_list_troubles(const Manager *m, TroubleFn fn, void *userdata) {
        uint64_t now = 0, since;
        char sentence[128];
        unsigned n;
        int r = 0;

        (void) sd_event_now(m->event, CLOCK_MONOTONIC, &now);
        if (m->store_trouble)
                r = fn(&(Trouble){ "store", m->store_trouble, m->store_trouble_since_usec }, userdata);
        if (r >= 0)
                r = files_list_troubles(m, fn, userdata);
        n = log_refused(&since);
        if (r >= 0 && n > 0) {
                (void) snprintf(sentence, sizeof sentence,
                                "The journal does not take what is to be said: %u lines wait, or are lost.",
                                n);
                r = fn(&(Trouble){ "journal", sentence, since }, userdata);
        }
        if (r >= 0)
                r = list_memory(fn, userdata);
        if (r >= 0)
                r = capacity_list_troubles(m, now, TROUBLES_MAX, fn, userdata);
        if (r >= 0)
                r = list_slow_verbs(m, now, TROUBLES_MAX, fn, userdata);
        return r;
}

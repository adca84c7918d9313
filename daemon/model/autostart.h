/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which of a device's definitions is to be started now, and if none, why not: the rule, from what the
 * registry knows and what became of earlier attempts. Who keeps the attempts, and makes them, is
 * core/autostart.c.
 *
 * A definition has one attempt per change of circumstances: another life of its parent, another definition,
 * or (when the parent was full) other numbers of instances. A driver that says "not yet" is asked again, a
 * few times; and one that was full once more when it has said the same after that, for somebody may have
 * taken an instance and given it back in between. */

#include "model/registry.h"

typedef enum AttemptResult {
        ATTEMPT_FULL,    /* no instance was left, whatever the type had said */
        ATTEMPT_NOT_YET, /* the driver, or the type, is on its way */
        ATTEMPT_FAILED,
} AttemptResult;

typedef struct Attempt {
        char *parent;
        uint64_t life, types_serial, n_readings; /* the parent's then */
        AttemptResult result;
        unsigned n_not_yet; /* in a row */
        unsigned n_full;    /* with these numbers */
        bool again;         /* its time has come once more */
} Attempt;

/* One device that is to be started, as soon as that is possible. */
typedef struct AutostartDevice {
        Uuid uuid;
        bool trying; /* an attempt is under way */
        Attempt *attempts;
        size_t n_attempts, n_allocated;
} AutostartDevice;

void autostart_done(AutostartDevice *a);

typedef enum AutostartVerdict {
        AUTOSTART_OVER,      /* it lives, or is not marked any more */
        AUTOSTART_BUSY,      /* somebody is at it; the end of that is a change */
        AUTOSTART_UNDECIDED, /* not known yet: types that are being read, or a time that has not come */
        AUTOSTART_WAIT,      /* for something that may never come */
        AUTOSTART_START,
} AutostartVerdict;

typedef struct AutostartDecision {
        AutostartVerdict verdict;
        Waiting waiting;              /* why */
        const Definition *definition; /* AUTOSTART_START: which; borrowed from the registry */
} AutostartDecision;

/* The definitions are tried in the order of their parents' names: the first whose parent is there and has
 * room. */
AutostartDecision autostart_decide(const Registry *r, const Device *d, const AutostartDevice *a);

/* Why one that is not to be started now waits all the same: all parents that it is marked on are absent. */
Waiting autostart_outlook(const Registry *r, const Device *d);

/* Return: 0; -ENOMEM. */
int autostart_remember(AutostartDevice *a, const Parent *p, AttemptResult result);

/* Return: NULL if there was none. */
Attempt *autostart_find(const AutostartDevice *a, const char *parent);

/* How often in a row @p has said "not yet", in its life. */
unsigned autostart_count_not_yet(const AutostartDevice *a, const Parent *p);

/* The definitions are other ones now. */
void autostart_forget(AutostartDevice *a);

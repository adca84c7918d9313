/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/autostart.h"

/* Attempts on a parent that is full, with the same numbers. */
#define FULL_MAX 2U

void autostart_forget(AutostartDevice *a) {
        for (size_t i = 0; i < a->n_attempts; i++)
                free(a->attempts[i].parent);
        a->n_attempts = 0;
}

void autostart_done(AutostartDevice *a) {
        autostart_forget(a);
        free(a->attempts);
        *a = (AutostartDevice){};
}

Attempt *autostart_find(const AutostartDevice *a, const char *parent) {
        for (size_t i = 0; i < a->n_attempts; i++)
                if (streq(a->attempts[i].parent, parent))
                        return &a->attempts[i];

        return NULL;
}

unsigned autostart_count_not_yet(const AutostartDevice *a, const Parent *p) {
        const Attempt *attempt = autostart_find(a, p->name);

        return attempt && attempt->life == p->life ? attempt->n_not_yet : 0;
}

static unsigned count_full(const Attempt *attempt, const Parent *p) {
        return attempt->life == p->life && attempt->types_serial == p->types_serial ? attempt->n_full : 0;
}

int autostart_remember(AutostartDevice *a, const Parent *p, AttemptResult result) {
        Attempt *attempt = autostart_find(a, p->name);
        unsigned n_not_yet = autostart_count_not_yet(a, p), n_full;
        char *name;
        int r;

        if (!attempt) {
                r = grow((void **) &a->attempts, &a->n_allocated, a->n_attempts + 1, sizeof *a->attempts);
                if (r < 0)
                        return r;
                name = strdup(p->name);
                if (!name)
                        return -ENOMEM;
                attempt = &a->attempts[a->n_attempts++];
                *attempt = (Attempt){ .parent = name };
        }

        n_full = count_full(attempt, p);
        attempt->life = p->life;
        attempt->types_serial = p->types_serial;
        attempt->n_readings = p->n_readings;
        attempt->result = result;
        attempt->n_not_yet = result == ATTEMPT_NOT_YET ? n_not_yet + 1 : 0;
        attempt->n_full = n_full + (result == ATTEMPT_FULL);
        attempt->again = false;
        return 0;
}

/* Nothing has been said since then that speaks for another attempt. */
static bool is_still_full(const Attempt *last, const Parent *p) {
        return last->result == ATTEMPT_FULL && last->types_serial == p->types_serial &&
                        (last->n_full >= FULL_MAX || last->n_readings == p->n_readings);
}

/* About one definition whose parent is there. */
static AutostartDecision decide_here(
                const AutostartDevice *a, const Parent *p, const Definition *definition) {
        const Attempt *last = autostart_find(a, p->name);
        const Type *type;

        if (!p->types_known)
                return (AutostartDecision){ .verdict = AUTOSTART_UNDECIDED };
        if (last && last->life != p->life)
                last = NULL;

        if (last && last->result == ATTEMPT_FAILED)
                return (AutostartDecision){ AUTOSTART_WAIT, WAITING_FAILED, NULL };
        if (last && last->result == ATTEMPT_NOT_YET && !last->again)
                return (AutostartDecision){ .verdict = AUTOSTART_UNDECIDED };

        type = parent_find_type(p, definition->type);
        if (!type)
                return (AutostartDecision){ AUTOSTART_WAIT, WAITING_TYPE, NULL };
        if (type->available_instances == 0 || (last && is_still_full(last, p)))
                return (AutostartDecision){ AUTOSTART_WAIT, WAITING_CAPACITY, NULL };
        return (AutostartDecision){ .verdict = AUTOSTART_START, .definition = definition };
}

AutostartDecision autostart_decide(const Registry *r, const Device *d, const AutostartDevice *a) {
        AutostartDecision decision = { .verdict = AUTOSTART_OVER };

        if (device_state(d) == DEVICE_ACTIVE || device_state(d) == DEVICE_ORPHANED)
                return decision;

        for (uint32_t i = 0; i < d->n_definitions; i++) {
                const Definition *definition = &d->definitions[i];
                const Parent *p = registry_find_parent(r, definition->parent);
                AutostartDecision here = { AUTOSTART_WAIT, WAITING_PARENT, NULL };

                if (!definition->autostart)
                        continue;
                if (device_state(d) != DEVICE_DEFINED || d->op != 0)
                        return (AutostartDecision){ .verdict = AUTOSTART_BUSY };
                if (p && p->present)
                        here = decide_here(a, p, definition);
                if (here.verdict != AUTOSTART_WAIT)
                        return here;
                /* A parent that is there and cannot says more than one that is not there. */
                if (decision.verdict == AUTOSTART_OVER || decision.waiting == WAITING_PARENT)
                        decision = here;
        }

        return decision;
}

Waiting autostart_outlook(const Registry *r, const Device *d) {
        Waiting waiting = WAITING_NOT;

        if (device_state(d) != DEVICE_DEFINED)
                return WAITING_NOT;

        for (uint32_t i = 0; i < d->n_definitions; i++) {
                const Parent *p = registry_find_parent(r, d->definitions[i].parent);

                if (!d->definitions[i].autostart)
                        continue;
                if (p && p->present)
                        return WAITING_NOT;
                waiting = WAITING_PARENT;
        }

        return waiting;
}

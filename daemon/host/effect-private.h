/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of an effect share: effect.c tells facts and knows all kinds of requests, effect-device.c
 * does what enters a driver, effect-definition.c what is on disk. */

#include "host/callout.h"
#include "host/effect.h"
#include "host/store.h"

typedef struct Effect {
        const Request *request;
        int root_fd;
        int sys_fd; /* -EBADF: there is no /sys */
        int lock_fd;
        int kmsg_fd;
        int record_fd;      /* of a creation */
        Store *store;       /* NULL if the request needs none */
        Callouts *callouts; /* likewise */
        Frame result;
        bool untold; /* a fact without which the result is not the truth: there was no memory for it */
        EffectEmit emit;
        void *userdata;
} Effect;

static inline Failure *failure_of(Effect *e) {
        return &e->result.failure;
}

/* Facts */

Presence report_sighting(Effect *e, const char *path);
void report_definition(Effect *e, const char *parent);

/* Adds the driver's own words about a refusal, if it logged any. */
void add_kernel_line(Effect *e);

/* An action as scripts hear of it: it begins if they let it, or with @force whatever they say, and then it
 * ends, whatever becomes of it. */
typedef struct Action {
        Effect *effect;
        Callout *callout; /* NULL: it has not begun */
        ScriptAction kind;
        const Definition *definition; /* borrowed until it ends */
} Action;

/* Return: 0; a negative errno, with the reason in @f, and nothing is to be done. */
int action_begin(Effect *e, ScriptAction kind, const Definition *d, bool force, Failure *f, Action *ret);

/* Does nothing if it has not begun. */
void action_end(Action *a, bool success);

/* effect-device.c */
void perform_create(Effect *e);
void perform_remove(Effect *e);
void perform_attributes(Effect *e);

/* Changes the active device to what @d says. Return: 0; a negative errno. */
int change_live(Effect *e, const Definition *d);

/* effect-definition.c */
void perform_define(Effect *e);
void perform_modify(Effect *e);
void perform_undefine(Effect *e);

/* Writes what the request brings along, with scripts before and after it, and tells what is on disk then.
 * Return: 0; a negative errno. */
int define(Effect *e, const Definition *d);

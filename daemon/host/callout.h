/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Call-outs and notifiers: the scripts that mdevctl runs around what it does, found and called as it does
 * (order, arguments, standard input, what an exit status means), by the worker that does the work, so that a
 * script sees the same parent process from "pre" to "post" and another one for the next operation. Workers
 * only: a script takes as long as it likes, up to the time-out.
 *
 * What is otherwise than in mdevctl: a script that is killed by a signal or by the time-out has failed;
 * nothing that a script prints can make us fail, it is bounded, and what is no text is not believed; what
 * scripts support is asked once and then known, and a script that was kept from saying it (by the time-out, a
 * SIGKILL, or because it could not be started now) holds the action up instead of being passed over;
 * notifiers are sorted, and given the definition. */

#include "model/capabilities.h"
#include "model/definition.h"
#include "model/failure.h"

#define CALLOUT_DIRECTORY "scripts.d/callouts"
#define NOTIFIER_DIRECTORY "scripts.d/notifiers"

typedef struct CalloutListener {
        /* What a script printed on its standard error, or how it failed. Borrowed; valid UTF-8. */
        void (*said)(const char *script, const char *text, bool failed, void *userdata);

        /* What was found out about a type, to be given to the next worker; valid UTF-8. Taken over. */
        void (*learned)(uint64_t fingerprint, Capability *capability, void *userdata);

        void *userdata;
} CalloutListener;

typedef struct Callouts Callouts; /* what scripts there are, and what is known of them */
typedef struct Callout Callout;   /* one action on one device: remembers whose it is */

/**
 * callouts_new() - see what scripts there are
 * @root_fd: "/" or the directory that stands for it; borrowed for the call
 * @known: what earlier workers learned; borrowed for the life of the object. Believed only if the scripts are
 * still what they were.
 *
 * Return: 0; -ENOMEM, or an errno of reading a directory that is there; then @f says FAILURE_SCRIPT.
 */
int callouts_new(Callouts **ret, int root_fd, const Capabilities *known, unsigned timeout_sec,
                const CalloutListener *listener, Failure *f);
Callouts *callouts_free(Callouts *c);
DEFINE_CLEANUP(Callouts *, callouts_free);

/* Whether there is any call-out at all; any notifier. */
bool callouts_exist(const Callouts *c);
bool notifiers_exist(const Callouts *c);

/* @d: the device and its definition as scripts are given it; copied. One without a type is nobody's, and no
 * script is called. Return: 0; -ENOMEM. */
int callout_new(Callout **ret, Callouts *callouts, ScriptAction action, const Definition *d);
Callout *callout_free(Callout *c);
DEFINE_CLEANUP(Callout *, callout_free);

/* Asks whether the action may go on. @force: it may, whatever the answer. Return: 0; -ECANCELED or -ENOMEM,
 * and @f says FAILURE_CALL_OUT with the script and how it ended. */
int callout_pre(Callout *c, bool force, Failure *f);

/* Tells that the action is over; must follow a callout_pre() that returned 0. What comes of it is only
 * reported. */
void callout_post(Callout *c, bool success);

typedef enum CalloutState {
        CALLOUT_NONE,
        CALLOUT_SUCCESS,
        CALLOUT_FAILURE,
} CalloutState;

/* Tells all notifiers. */
void callout_notify(Callout *c, CalloutState state);

/* Has an active device changed to what the definition says. Return: 1; 0 if no script supports that, and
 * nothing was done; a negative errno, and @f says FAILURE_SCRIPT. */
int callout_live(Callout *c, Failure *f);

/* Asks for the attributes of an active device; without a script there are none. Return: 0; a negative errno,
 * and @f says FAILURE_SCRIPT. */
int callout_get_attributes(Callout *c, Attributes *ret, Failure *f);

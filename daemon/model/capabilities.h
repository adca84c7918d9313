/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What call-out scripts can be asked, and what they said when they were asked which of it they understand: a
 * value that a worker finds out, the daemon keeps, and the next worker is given. */

#include <stdint.h>

#include "base/util.h"

typedef enum ScriptAction {
        SCRIPT_START,
        SCRIPT_STOP,
        SCRIPT_DEFINE,
        SCRIPT_UNDEFINE,
        SCRIPT_MODIFY,
        SCRIPT_ATTRIBUTES,
        SCRIPT_CAPABILITIES,
        _SCRIPT_ACTION_MAX,
} ScriptAction;

typedef enum ScriptEvent {
        SCRIPT_PRE,
        SCRIPT_POST,
        SCRIPT_NOTIFY,
        SCRIPT_GET,
        SCRIPT_LIVE,
        _SCRIPT_EVENT_MAX,
} ScriptEvent;

/* The words that scripts know them by. */
const char *script_action_to_string(ScriptAction action);
const char *script_event_to_string(ScriptEvent event);

/* About one type: which script is responsible for all of it. */
typedef struct Capability {
        char *type;
        char *script;     /* its path; NULL: none says what it supports, so each is tried each time */
        uint32_t actions; /* of 1 << ScriptAction */
        uint32_t events;  /* of 1 << ScriptEvent */
} Capability;

#define CAPABILITIES_MAX 64U /* types; a host has some ten, and beyond this they are found out anew */

typedef struct Capabilities {
        uint64_t fingerprint; /* of the scripts when they were asked; any change of theirs gives another */
        Capability *list;
        size_t n, n_allocated;
} Capabilities;

void capability_done(Capability *c);
void capabilities_done(Capabilities *c);

/* Return: borrowed until the next change; NULL if nothing is known of this type. */
const Capability *capabilities_find(const Capabilities *c, const char *type);

/* Takes over *@item, which is empty afterwards, also on error. What is known with another fingerprint is
 * forgotten. Return: 0; -ENOMEM. */
int capabilities_add(Capabilities *c, uint64_t fingerprint, Capability *item);

/* Return: 0; -ENOMEM. @ret is overwritten on success only, never freed. */
int capabilities_copy(const Capabilities *c, Capabilities *ret);

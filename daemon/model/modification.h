/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Changes to a definition, as a value: made from a request, applied by the worker to what the file says at
 * that moment. */

#include "model/definition.h"
#include "model/failure.h"

typedef enum Autostart {
        AUTOSTART_KEEP,
        AUTOSTART_MANUAL,
        AUTOSTART_AUTO,
        _AUTOSTART_MAX,
} Autostart;

/* In this order: type and autostart, then all attributes, then one is removed, then one is added. */
typedef struct Modification {
        char *type; /* NULL: stays */
        Autostart autostart;

        bool set_attributes;
        Attributes attributes;

        bool remove_attribute;
        uint32_t remove_index; /* ATTRIBUTES_END: the last */

        char *add_name; /* NULL: none is added */
        char *add_value;
        uint32_t add_index; /* ATTRIBUTES_END: behind the last */
} Modification;

void modification_done(Modification *m);

/* Return: 0; -ENOMEM. @ret is overwritten on success only, never freed. */
int modification_copy(const Modification *m, Modification *ret);

/* Whether there is anything to change. */
bool modification_is_empty(const Modification *m);

/* Return: 0; -ERANGE with FAILURE_BAD_INDEX, -EUSERS with FAILURE_TOO_MANY, -ENOMEM. On error *@d is what it
 * was. */
int modification_apply(const Modification *m, Definition *d, Failure *f);

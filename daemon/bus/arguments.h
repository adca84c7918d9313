/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading the arguments of method calls. Whatever is wrong with one is an error with a sentence that says
 * what; nothing that was read is larger than the bounds of model/name.h. All return 0 or a negative errno
 * with @error set. */

#include <systemd/sd-bus.h>

#include "core/manager.h"

static inline void message_unrefp(sd_bus_message **m) {
        (void) sd_bus_message_unref(*m);
}

int parse_uuid(const char *text, Uuid *ret, sd_bus_error *error);

/* The arguments that tell of a device come in this order, each if it is asked for. */
typedef enum ReadFlags {
        READ_UUID = 1 << 0,
        READ_UUID_OR_NEW = 1 << 1, /* "" gives a random one */
        READ_PARENT = 1 << 2,      /* may be "" */
        READ_TYPE = 1 << 3,        /* may be "" */
        READ_ATTRIBUTES = 1 << 4,
} ReadFlags;

/* Return: 0; 1 if the UUID is a new one, which is another one each time that the message is read; a negative
 * errno. */
int read_device(sd_bus_message *m, unsigned flags, Definition *d, sd_bus_error *error);

/* A definition's JSON text, borrowed from the message, and what it says, into *@d. */
int read_json(sd_bus_message *m, Definition *d, const char **ret, sd_bus_error *error);
int parse_json(const char *json, Definition *d, sd_bus_error *error);

int check_type(const char *name, sd_bus_error *error);

/* Return: the errno of the error that it sets. */
int refuse_option(sd_bus_error *error, const char *name, const char *why);

/* A parent's name, borrowed from the message. @or_none: may be "". */
int read_parent(sd_bus_message *m, bool or_none, const char **ret, sd_bus_error *error);

typedef enum Tristate {
        TRISTATE_EITHER,
        TRISTATE_NO,
        TRISTATE_YES,
} Tristate;

static inline bool tristate_matches(Tristate t, bool value) {
        return t == TRISTATE_EITHER || (t == TRISTATE_YES) == value;
}

typedef enum OptionKind {
        OPTION_BOOL,     /* a boolean, into a bool that has its default */
        OPTION_TRISTATE, /* a boolean, into a Tristate */
        OPTION_U64,      /* a number (t), into a uint64_t that has its default */
        OPTION_STRING,   /* a string, into a const char * borrowed from the message */

        /* Into a Modification. */
        OPTION_ATTRIBUTES,       /* a(ss): all of them */
        OPTION_ADD_ATTRIBUTE,    /* (uss): index, name, value */
        OPTION_REMOVE_ATTRIBUTE, /* u: index */
} OptionKind;

typedef struct Option {
        const char *name; /* NULL ends a list */
        OptionKind kind;
        void *place;
} Option;

/* Reads an a{sv}. An option that is not in the list, is given twice, or is of another type, is refused by
 * name. */
int read_options(sd_bus_message *m, const Option *options, sd_bus_error *error);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line, described by tables and read by one parser. A new verb is a row in verbs.c, a new option
 * a row in arguments.c and one in the table of each verb that takes it. */

#include <stdint.h>

#include "base/util.h"

/* Each option has one name, one letter and one meaning, whichever verbs take it. */
typedef enum OptionId {
        OPTION_HELP,
        OPTION_VERSION,
        OPTION_HOST,
        OPTION_MACHINE,
        OPTION_ROOT,
        OPTION_JSON,
        OPTION_ALL,
        OPTION_STATE,
        OPTION_AVAILABLE,
        OPTION_SETTLED,
        OPTION_TIMEOUT,
        OPTION_UUIDS,
        OPTION_UUID,
        OPTION_AUTO,
        OPTION_PARENT,
        OPTION_TYPE,
        OPTION_JSONFILE,
        OPTION_FORCE,
        OPTION_ALTERNATE,
        OPTION_ADDATTR,
        OPTION_DELATTR,
        OPTION_INDEX,
        OPTION_VALUE,
        OPTION_MANUAL,
        OPTION_LIVE,
        OPTION_DIRECT,
        OPTION_WAIT_FOR_RELEASE,
        OPTION_DEFINED,
        OPTION_DUMPJSON,
        OPTION_VERBOSE,
        OPTION_VERB,
        OPTION_PARENT_WORD,
        _OPTION_MAX,
} OptionId;

_Static_assert(_OPTION_MAX <= 64, "a set of options is 64 bits");

#define OPTION_BIT(id) (UINT64_C(1) << (id))

typedef enum ValueKind {
        VALUE_NONE, /* a flag */
        VALUE_SECONDS,
        VALUE_STATE, /* of a device, or "absent" */
        VALUE_TEXT,
        VALUE_PATH,
        VALUE_UUID,
        VALUE_NUMBER, /* that has room in 32 bits; text_to_number() reads it */
        VALUE_VERB,
} ValueKind;

typedef struct Option {
        const char *name; /* NULL: given by its place, not by a name */
        char letter;      /* 0: none */
        ValueKind kind;
        const char *placeholder;
        bool many; /* may be given again and again; then it is in @words, and the first in @values, too */
} Option;

extern const Option options[_OPTION_MAX];

/* What a verb makes of an option. */
typedef struct Use {
        OptionId option;
        const char *help;
        uint64_t conflicts; /* with these it is refused */
        uint64_t needs;     /* without any of these it is refused */
} Use;

typedef struct Arguments Arguments;

typedef struct Verb {
        const char *name;        /* NULL: the program itself, whose options end where the verb begins */
        const char *synopsis;    /* what follows the name; several forms in several lines */
        const char *summary;     /* one line */
        const char *description; /* lines; may be NULL */
        const Use *uses;
        size_t n_uses;
        uint64_t required; /* all of these must be given */
        uint64_t any_of;   /* at least one of these must be, unless there are none */
        bool hidden;       /* not in the list of verbs */
        bool slow;         /* takes as long as a driver may */

        /* Return: 0; a negative errno, then the reason was told. */
        int (*run)(const Arguments *a);

        /* The same on the files below --root, without a daemon; NULL: cannot be done so. */
        int (*run_offline)(const Arguments *a);
} Verb;

struct Arguments {
        const char *program;             /* by which name this was called */
        const Verb *verb;                /* whose options were read last */
        const char *values[_OPTION_MAX]; /* NULL: not given; "" for a flag that was; borrowed from argv */
        const char **words;              /* values of the option that may be given many times; borrowed */
        size_t n_words, n_words_allocated;
        OptionId answer; /* if parsing ended early: OPTION_HELP or OPTION_VERSION */
        bool is_faulty;
        char *fault; /* what is wrong with the command line, a sentence; NULL for want of memory */
};

void arguments_done(Arguments *a);

static inline bool arguments_have(const Arguments *a, OptionId id) {
        return a->values[id];
}

static inline const char *arguments_get(const Arguments *a, OptionId id) {
        return a->values[id];
}

/* How many UUIDs were given, as words or with --uuid, and one of them. */
static inline size_t arguments_n_uuids(const Arguments *a) {
        return a->n_words + arguments_have(a, OPTION_UUID);
}

static inline const char *arguments_nth_uuid(const Arguments *a, size_t i) {
        return i < a->n_words ? a->words[i] : arguments_get(a, OPTION_UUID);
}

/**
 * arguments_parse() - read the words that belong to a verb
 * @words: NULL-terminated; is advanced behind the last word that was read
 *
 * Options and words come in any order. "--help" and "--version" win over everything but what is no option at
 * all in front of them; libvirt finds out in this way which options there are.
 *
 * Return: 0; 1 if @a->answer is what is wanted; -EINVAL, then @a->fault says why, or is NULL for want of
 *         memory.
 */
int arguments_parse(Arguments *a, const Verb *verb, char ***words);

/* The use of an option, of the verb's own or those that every verb has. @i: from 0. Return: NULL behind the
 * last. */
const Use *verb_use(const Verb *verb, size_t i);

#define OPTION_TEXT_SIZE 64

/* "--uuid <UUID>". Return: @buffer. */
char *option_to_text(OptionId id, char buffer[static OPTION_TEXT_SIZE]);

#define OPTION_TEXT(id) option_to_text((id), (char[OPTION_TEXT_SIZE]){})

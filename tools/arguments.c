/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The grammar is mdevctl's, of all its versions, so that whatever is written into scripts and programs for it
 * is understood alike: "--opt VAL", "--opt=VAL", "-o VAL", "-oVAL", "-o=VAL", letters in bundles the last of
 * which may have a value, and no abbreviations. getopt_long() differs in the last two, and would take a next
 * word that begins with a dash for a value.
 *
 * Some faults end the parsing: what is no option, what is one word too many, a flag with a value. All others
 * wait until the end, because an option behind them may ask for help. */

#include <stdarg.h>
#include <stdio.h>

#include "model/uuid.h"
#include "tools/arguments.h"
#include "tools/quantity.h"
#include "tools/text.h"
#include "tools/verbs.h"

const Option options[_OPTION_MAX] = {
        [OPTION_HELP] = { "help", 'h' },
        [OPTION_VERSION] = { "version", 'V' },
        [OPTION_HOST] = { "host", 'H', VALUE_TEXT, "[USER@]HOST" },
        [OPTION_MACHINE] = { "machine", 'M', VALUE_TEXT, "CONTAINER" },
        [OPTION_ROOT] = { "root", 0, VALUE_PATH, "DIR" },
        [OPTION_JSON] = { "json", 0 },
        [OPTION_ALL] = { "all", 0 },
        [OPTION_STATE] = { "state", 0, VALUE_STATE, "STATE" },
        [OPTION_AVAILABLE] = { "available", 0, VALUE_NUMBER, "N" },
        [OPTION_SETTLED] = { "settled", 0 },
        [OPTION_TIMEOUT] = { "timeout", 0, VALUE_SECONDS, "SECONDS" },
        [OPTION_UUIDS] = { NULL, 0, VALUE_UUID, "UUID", .many = true },
        [OPTION_UUID] = { "uuid", 'u', VALUE_UUID, "UUID" },
        [OPTION_AUTO] = { "auto", 'a' },
        [OPTION_PARENT] = { "parent", 'p', VALUE_TEXT, "PARENT" },
        [OPTION_TYPE] = { "type", 't', VALUE_TEXT, "TYPE" },
        [OPTION_JSONFILE] = { "jsonfile", 0, VALUE_PATH, "FILE" },
        [OPTION_FORCE] = { "force", 'f' },
        [OPTION_ALTERNATE] = { "alternate", 0 },
        [OPTION_ADDATTR] = { "addattr", 0, VALUE_TEXT, "NAME" },
        [OPTION_DELATTR] = { "delattr", 0 },
        [OPTION_INDEX] = { "index", 'i', VALUE_NUMBER, "INDEX" },
        [OPTION_VALUE] = { "value", 0, VALUE_TEXT, "VALUE" },
        [OPTION_MANUAL] = { "manual", 'm' },
        [OPTION_LIVE] = { "live", 'l' },
        [OPTION_DIRECT] = { "direct", 0 },
        [OPTION_WAIT_FOR_RELEASE] = { "wait-for-release", 0 },
        [OPTION_DEFINED] = { "defined", 'd' },
        [OPTION_DUMPJSON] = { "dumpjson", 0 },
        [OPTION_VERBOSE] = { "verbose", 'v' },
        [OPTION_VERB] = { NULL, 0, VALUE_VERB, "VERB" },
        [OPTION_PARENT_WORD] = { NULL, 0, VALUE_TEXT, "PARENT" },
};

static const Use common_uses[] = {
        { OPTION_HOST, "ask mdevd on another host, over ssh",
                        .conflicts = OPTION_BIT(OPTION_MACHINE) | OPTION_BIT(OPTION_ROOT) },
        { OPTION_MACHINE, "ask mdevd in a container", .conflicts = OPTION_BIT(OPTION_ROOT) },
        { OPTION_ROOT, "work on the files below a directory, without mdevd" },
        { OPTION_HELP, "show this" },
};

void arguments_done(Arguments *a) {
        free(a->fault);
        free(a->words);
        *a = (Arguments){};
}

const Use *verb_use(const Verb *verb, size_t i) {
        if (i < verb->n_uses)
                return &verb->uses[i];

        i -= verb->n_uses;
        return i < ELEMENTSOF(common_uses) ? &common_uses[i] : NULL;
}

char *option_to_text(OptionId id, char buffer[static OPTION_TEXT_SIZE]) {
        const Option *o = &options[id];

        if (!o->name)
                (void) snprintf(buffer, OPTION_TEXT_SIZE, "<%s>", o->placeholder);
        else if (o->kind == VALUE_NONE)
                (void) snprintf(buffer, OPTION_TEXT_SIZE, "--%s", o->name);
        else
                (void) snprintf(buffer, OPTION_TEXT_SIZE, "--%s <%s>", o->name, o->placeholder);
        return buffer;
}

/* Faults */

static int fault(Arguments *a, const char *format, ...) _printf_(2, 3);

/* The first fault is the one that is told. Return: -EINVAL. */
static int fault(Arguments *a, const char *format, ...) {
        va_list ap;

        if (a->is_faulty)
                return -EINVAL;

        a->is_faulty = true;
        va_start(ap, format);
        if (vasprintf(&a->fault, format, ap) < 0)
                a->fault = NULL;
        va_end(ap);
        return -EINVAL;
}

static int unexpected(Arguments *a, const char *word) {
        free(TAKE_PTR(a->fault));
        a->is_faulty = false;
        return fault(a, "Found argument '%s' which wasn't expected, or isn't valid in this context", word);
}

/* Reading */

static bool is_option(const char *word) {
        return word[0] == '-' && word[1] != '\0';
}

static const Use *find_name(const Verb *verb, const char *name, size_t length) {
        const Use *use;

        for (size_t i = 0; (use = verb_use(verb, i)); i++) {
                const char *candidate = options[use->option].name;

                if (candidate && strlen(candidate) == length && memcmp(candidate, name, length) == 0)
                        return use;
        }

        return NULL;
}

static const Use *find_letter(const Verb *verb, char letter) {
        const Use *use;

        for (size_t i = 0; (use = verb_use(verb, i)); i++)
                if (options[use->option].letter == letter)
                        return use;

        return NULL;
}

/* The next thing that is given by its place, and was not given yet. */
static const Use *find_place(const Arguments *a) {
        const Use *use;

        for (size_t i = 0; (use = verb_use(a->verb, i)); i++)
                if (!options[use->option].name &&
                                (options[use->option].many || !arguments_have(a, use->option)))
                        return use;

        return NULL;
}

static void take_many(Arguments *a, OptionId id, const char *value) {
        if (grow((void **) &a->words, &a->n_words_allocated, a->n_words + 1, sizeof *a->words) < 0) {
                (void) fault(a, "Not enough memory");
                return;
        }

        a->words[a->n_words++] = value;
        a->values[id] = a->words[0];
}

static void take(Arguments *a, OptionId id, const char *value) {
        if (options[id].many) {
                take_many(a, id, value);
                return;
        }
        if (arguments_have(a, id))
                (void) fault(a,
                                "The argument '%s' was provided more than once, but cannot be used multiple "
                                "times",
                                OPTION_TEXT(id));
        a->values[id] = value;
}

/* Return: 1 if it is all that is wanted to know. */
static int take_flag(Arguments *a, OptionId id) {
        if (id == OPTION_HELP || id == OPTION_VERSION) {
                a->answer = id;
                return 1;
        }

        take(a, id, "");
        return 0;
}

/* @attached: the value that is in the same word, or NULL. */
static void take_value(Arguments *a, OptionId id, const char *attached, char ***words) {
        if (!attached && **words && !is_option(**words))
                attached = *(*words)++;
        if (!attached) {
                (void) fault(a, "The argument '%s' requires a value but none was supplied", OPTION_TEXT(id));
                return;
        }

        take(a, id, attached);
}

static int take_long(Arguments *a, const char *word, char ***words) {
        const char *name = word + 2, *value = strchr(name, '=');
        const Use *use = find_name(a->verb, name, strcspn(name, "="));

        if (!use)
                return unexpected(a, word);
        if (options[use->option].kind != VALUE_NONE) {
                take_value(a, use->option, value ? value + 1 : NULL, words);
                return 0;
        }
        if (value)
                return unexpected(a, word);
        return take_flag(a, use->option);
}

static int take_letters(Arguments *a, const char *word, char ***words) {
        for (const char *p = word + 1; *p; p++) {
                const Use *use = find_letter(a->verb, *p);
                int r;

                if (!use)
                        return unexpected(a, word);
                if (options[use->option].kind != VALUE_NONE) {
                        const char *value = p[1] == '=' ? p + 2 : p + 1;

                        take_value(a, use->option, p[1] != '\0' ? value : NULL, words);
                        return 0;
                }
                r = take_flag(a, use->option);
                if (r != 0)
                        return r;
        }

        return 0;
}

static int take_word(Arguments *a, const char *word) {
        const Use *use = find_place(a);

        if (!use)
                return unexpected(a, word);

        take(a, use->option, word);
        return 0;
}

/* What was read */

static void check_value(Arguments *a, OptionId id, const char *value) {
        uint64_t usec;
        uint32_t number;
        Uuid uuid;

        switch (options[id].kind) {
        case VALUE_NONE:
        case VALUE_PATH:
                break;

        case VALUE_SECONDS:
                if (quantity_seconds(value, &usec) < 0)
                        (void) fault(a, "Invalid value '%s' for '%s': seconds, such as 30 or 0.5, are wanted",
                                        value, OPTION_TEXT(id));
                break;

        case VALUE_STATE:
                if (!quantity_is_state(value))
                        (void) fault(a,
                                        "Invalid value '%s' for '%s': defined, creating, active, removing, "
                                        "orphaned or absent is wanted",
                                        value, OPTION_TEXT(id));
                break;

        case VALUE_TEXT:
                if (!text_is_utf8(value))
                        (void) fault(a, "The value for '%s' is not valid UTF-8", OPTION_TEXT(id));
                break;

        case VALUE_UUID:
                if (uuid_from_text(value, &uuid) < 0)
                        (void) fault(a,
                                        "Invalid value '%s' for '%s': a UUID is 32 hexadecimal digits, with or "
                                        "without dashes",
                                        value, OPTION_TEXT(id));
                break;

        case VALUE_NUMBER:
                if (text_to_number(value, &number) < 0)
                        (void) fault(a, "Invalid value '%s' for '%s': a number from 0 to %u is wanted", value,
                                        OPTION_TEXT(id), UINT32_MAX);
                break;

        case VALUE_VERB:
                if (!verb_find(value))
                        (void) fault(a, "The subcommand '%s' wasn't recognized", value);
                break;
        }
}

static void check_values(Arguments *a, OptionId id) {
        if (!options[id].many) {
                check_value(a, id, arguments_get(a, id));
                return;
        }

        for (size_t i = 0; i < a->n_words; i++)
                check_value(a, id, a->words[i]);
}

static uint64_t given_options(const Arguments *a) {
        uint64_t given = 0;

        for (OptionId id = 0; id < _OPTION_MAX; id++)
                if (arguments_have(a, id))
                        given |= OPTION_BIT(id);

        return given;
}

static OptionId first_option(uint64_t set) {
        return (OptionId) __builtin_ctzll(set);
}

static void check_missing(Arguments *a, uint64_t missing) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *f;

        if (!missing)
                return;

        f = open_memstream(&text, &size);
        if (!f) {
                (void) fault(a, "Required arguments were not provided");
                return;
        }
        for (; missing; missing &= missing - 1)
                fprintf(f, "\n  %s", OPTION_TEXT(first_option(missing)));
        (void) fault(a, "The following required arguments were not provided:%s", fclose(f) == 0 ? text : "");
}

static int check(Arguments *a) {
        uint64_t given = given_options(a);
        const Verb *verb = a->verb;
        const Use *use;

        for (size_t i = 0; (use = verb_use(verb, i)); i++) {
                if (!(given & OPTION_BIT(use->option)))
                        continue;
                check_values(a, use->option);
                if (use->conflicts & given)
                        (void) fault(a, "The argument '%s' cannot be used with '%s'",
                                        OPTION_TEXT(use->option),
                                        OPTION_TEXT(first_option(use->conflicts & given)));
                if (use->needs && !(use->needs & given))
                        check_missing(a, use->needs);
        }

        check_missing(a, verb->required & ~given);
        if (!(verb->any_of & given))
                check_missing(a, verb->any_of);
        return a->is_faulty ? -EINVAL : 0;
}

int arguments_parse(Arguments *a, const Verb *verb, char ***words) {
        bool only_words = false;

        a->verb = verb;
        while (**words) {
                const char *word = **words;
                int r;

                if (!verb->name && !only_words && !is_option(word))
                        break;
                (*words)++;

                if (!only_words && streq(word, "--")) {
                        only_words = true;
                        continue;
                }
                if (only_words || !is_option(word))
                        r = take_word(a, word);
                else if (word[1] == '-')
                        r = take_long(a, word, words);
                else
                        r = take_letters(a, word, words);
                if (r != 0)
                        return r;
        }

        return check(a);
}

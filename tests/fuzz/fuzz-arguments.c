/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Command lines, a word in each line: whatever is not taken is explained; what is taken was given, obeys the
 * tables, and means the same when it is spelled out option by option. */

#include "fuzz/fuzz.h"
#include "tools/verbs.h"

#define WORDS_MAX 64U

/* What verbs do is not for a fuzzer. */
#define NO_VERB(name)                     \
        int name(const Arguments *a) {    \
                ASSERT(a && !"not here"); \
                return 0;                 \
        }

NO_VERB(verb_define)
NO_VERB(verb_undefine)
NO_VERB(verb_modify)
NO_VERB(verb_start)
NO_VERB(verb_start_parent_mdevs)
NO_VERB(verb_stop)
NO_VERB(verb_list)
NO_VERB(verb_types)
NO_VERB(verb_status)
NO_VERB(verb_tree)
NO_VERB(verb_show)
NO_VERB(verb_monitor)
NO_VERB(verb_wait)
NO_VERB(verb_verify)
NO_VERB(verb_define_offline)
NO_VERB(verb_undefine_offline)
NO_VERB(verb_modify_offline)
NO_VERB(verb_help)

/* Whether @value is, or ends, one of the words. */
static bool was_given(char *const *words, const char *value) {
        for (; *words; words++)
                if (value >= *words && value <= *words + strlen(*words))
                        return true;

        return false;
}

static uint64_t given_options(const Arguments *a) {
        uint64_t given = 0;

        for (OptionId id = 0; id < _OPTION_MAX; id++)
                if (arguments_have(a, id))
                        given |= OPTION_BIT(id);

        return given;
}

static void check_tables(const Arguments *a) {
        uint64_t given = given_options(a), known = 0;
        const Use *use;

        for (size_t i = 0; (use = verb_use(a->verb, i)); i++) {
                known |= OPTION_BIT(use->option);
                if (!(given & OPTION_BIT(use->option)))
                        continue;
                ASSERT(!(use->conflicts & given));
                ASSERT(!use->needs || (use->needs & given));
        }

        ASSERT(!(given & ~known));
        ASSERT((a->verb->required & ~given) == 0);
        ASSERT(!a->verb->any_of || (a->verb->any_of & given));
}

/* Return: owned by the caller; the words that spell @a out, and NULL. */
static char **spell_out(const Arguments *a) {
        char **words = calloc(_OPTION_MAX + a->n_words + 2, sizeof *words);
        size_t n = 0;

        ASSERT(words);
        for (OptionId id = 0; id < _OPTION_MAX; id++) {
                const char *value = arguments_get(a, id);

                if (!value || !options[id].name)
                        continue;
                ASSERT(asprintf(&words[n++], options[id].kind == VALUE_NONE ? "--%s" : "--%s=%s",
                                       options[id].name, value) > 0);
        }

        if (a->verb->name)
                ASSERT((words[n++] = strdup("--")));
        for (OptionId id = 0; id < _OPTION_MAX; id++)
                if (arguments_have(a, id) && !options[id].name && !options[id].many)
                        ASSERT((words[n++] = strdup(arguments_get(a, id))));
        for (size_t i = 0; i < a->n_words; i++)
                ASSERT((words[n++] = strdup(a->words[i])));
        return words;
}

static void check_again(const Arguments *a) {
        _cleanup_(strv_freep) char **words = spell_out(a);
        _cleanup_(arguments_done) Arguments again = { .program = a->program };
        char **rest = words;

        ASSERT(arguments_parse(&again, a->verb, &rest) == 0);
        ASSERT(!*rest && !again.fault && again.n_words == a->n_words);
        for (OptionId id = 0; id < _OPTION_MAX; id++)
                ASSERT(streq_ptr(arguments_get(a, id), arguments_get(&again, id)));
        for (size_t i = 0; i < a->n_words; i++)
                ASSERT(streq(a->words[i], again.words[i]));
}

/* Return: behind what was read, if that is all right. */
static char **check(const Verb *verb, char **words) {
        _cleanup_(arguments_done) Arguments a = { .program = "mdevdctl" };
        char **rest = words;
        int r;

        r = arguments_parse(&a, verb, &rest);
        ASSERT(a.verb == verb && rest >= words);
        if (r != 0) {
                ASSERT(r == 1 || r == -EINVAL);
                ASSERT((r < 0) == (a.fault != NULL) || r == 1);
                ASSERT(r < 0 || a.answer == OPTION_HELP || a.answer == OPTION_VERSION);
                return NULL;
        }

        ASSERT(!a.fault);
        for (OptionId id = 0; id < _OPTION_MAX; id++)
                if (arguments_have(&a, id) && options[id].kind != VALUE_NONE)
                        ASSERT(was_given(words, arguments_get(&a, id)));
        for (size_t i = 0; i < a.n_words; i++)
                ASSERT(was_given(words, a.words[i]));
        check_tables(&a);
        check_again(&a);
        return rest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = fuzz_text(data, size);
        char *words[WORDS_MAX + 1] = {}, **verb_words;
        const Verb *verb;
        size_t n = 0;

        for (char *rest = text, *word; n < WORDS_MAX && (word = strsep(&rest, "\n"));)
                words[n++] = word;

        verb_words = check(&program_verb, words);
        if (!verb_words || !*verb_words)
                return 0;
        verb = verb_find(*verb_words);
        if (verb)
                (void) check(verb, verb_words + 1);
        return 0;
}

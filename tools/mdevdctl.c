/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* mdevdctl: which verb is meant, and what becomes of it. It goes by other names, too: as "mdevctl" it does
 * what mdevctl does, as "lsmdev" it lists. */

#include <signal.h>

#include "tools/client.h"
#include "tools/help.h"
#include "tools/output.h"
#include "tools/patience.h"
#include "tools/verbs.h"

#define EXIT_USAGE 2

/* Names that stand for a verb: what the program's name ends with. */
static const struct {
        const char *name, *verb;
} aliases[] = {
        { "lsmdev", "list" },
};

static const Verb *find_alias(const char *program) {
        size_t length = strlen(program);

        for (size_t i = 0; i < ELEMENTSOF(aliases); i++) {
                size_t n = strlen(aliases[i].name);

                if (length >= n && streq(program + length - n, aliases[i].name))
                        return verb_find(aliases[i].verb);
        }

        return NULL;
}

static int complain_about_verb(Arguments *a, const char *word) {
        if (asprintf(&a->fault, "The subcommand '%s' wasn't recognized", word) < 0)
                a->fault = NULL;
        help_complain(a);
        return EXIT_USAGE;
}

static int run_verb(Arguments *a, const Verb *verb, char **words) {
        int r;

        r = arguments_parse(a, verb, &words);
        if (r < 0) {
                help_complain(a);
                return EXIT_USAGE;
        }
        if (r > 0) {
                help_answer(a);
                return EXIT_SUCCESS;
        }

        if (arguments_have(a, OPTION_ROOT)) {
                if (!verb->run_offline)
                        return complain(EXIT_FAILURE,
                                        "This takes mdevd and the kernel, and cannot be done with '--root'");
                return verb->run_offline(a) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        }

        client_go_to(arguments_get(a, OPTION_HOST), arguments_get(a, OPTION_MACHINE));
        if (verb->slow)
                patience_begin(verb->name);
        return verb->run(a) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_program(Arguments *a, char **words) {
        const Verb *verb;
        int r;

        r = arguments_parse(a, &program_verb, &words);
        if (r < 0) {
                help_complain(a);
                return EXIT_USAGE;
        }
        if (r > 0) {
                help_answer(a);
                return EXIT_SUCCESS;
        }
        if (!*words) {
                help_write(stderr, a->program, &program_verb);
                return EXIT_USAGE;
        }

        verb = verb_find(*words);
        return verb ? run_verb(a, verb, words + 1) : complain_about_verb(a, *words);
}

int main(int argc, char *argv[]) {
        _cleanup_(arguments_done) Arguments a = { .program = "mdevdctl" };
        const Verb *verb;
        int status;

        output_start();
        (void) signal(SIGPIPE, SIG_IGN);
        if (argc < 1)
                return output_finish(EXIT_USAGE);

        a.program = program_invocation_short_name;
        verb = find_alias(a.program);
        status = verb ? run_verb(&a, verb, argv + 1) : run_program(&a, argv + 1);
        return output_finish(status);
}

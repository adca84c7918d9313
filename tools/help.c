/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tools/help.h"
#include "tools/verbs.h"

#define COLUMN 26 /* where the explanations of options begin */

static void write_synopsis(FILE *f, const char *program, const Verb *verb) {
        const char *introduction = "Usage:";

        for (const char *line = verb->synopsis; *line;) {
                size_t length = strcspn(line, "\n");

                fprintf(f, "%s %s%s%s %.*s\n", introduction, program, verb->name ? " " : "",
                                strempty(verb->name), (int) length, line);
                introduction = "      ";
                line += length + (line[length] == '\n');
        }
}

static void write_options(FILE *f, const Verb *verb) {
        const Use *use;

        fputs("\nOptions:\n", f);
        for (size_t i = 0; (use = verb_use(verb, i)); i++) {
                char letter = options[use->option].letter;

                if (letter)
                        fprintf(f, "  -%c, ", letter);
                else
                        fputs(options[use->option].name ? "      " : "  ", f);
                fprintf(f, "%-*s  %s\n", options[use->option].name ? COLUMN - 4 : COLUMN,
                                OPTION_TEXT(use->option), use->help);
        }
}

static void write_verbs(FILE *f) {
        fputs("\nVerbs:\n", f);
        for (size_t i = 0; i < n_verbs; i++)
                if (!verbs[i].hidden)
                        fprintf(f, "  %-*s  %s\n", COLUMN, verbs[i].name, verbs[i].summary);
}

void help_write(FILE *f, const char *program, const Verb *verb) {
        fprintf(f, "%s\n\n", verb->summary);
        write_synopsis(f, program, verb);
        if (verb->description)
                fprintf(f, "\n%s\n", verb->description);
        if (!verb->name)
                write_verbs(f);
        write_options(f, verb);
}

void help_answer(const Arguments *a) {
        if (a->answer == OPTION_VERSION)
                printf("%s%s%s %s\n", a->program, a->verb->name ? "-" : "", strempty(a->verb->name),
                                MDEVD_VERSION);
        else
                help_write(stdout, a->program, a->verb);
}

void help_complain(const Arguments *a) {
        fprintf(stderr, "error: %s\n\n", a->fault ?: "Not enough memory");
        write_synopsis(stderr, a->program, a->verb);
        fputs("\nFor more information try '--help'\n", stderr);
}

int verb_help(const Arguments *a) {
        const char *name = arguments_get(a, OPTION_VERB);

        help_write(stdout, a->program, name ? verb_find(name) : &program_verb);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "base/util.h"
#include "tools/wording.h"

/* "{}" stands for a UUID or the name of an option, one on both sides or none. */
static const struct {
        const char *api, *here;
} phrases[] = {
        /* Scripts written for mdevctl look for these three words. */
        { "Device {} exists already: it is", "Device already exists: {} is" },
        { "the option \"{}\"", "--{}" },
        { "The option \"{}\"", "--{}" },
        { "ListDevices shows all.", "\"list\" and \"list --defined\" show all." },
        { "to start a device without a definition use Create.",
                        "to start a device without a definition give a parent and a type." },
        { "ListParents shows all.", "\"types\" shows all." },
        { "ListParents shows the parents.", "\"types\" shows the parents." },
        { "as ListParents shows it", "as \"types\" shows it" },
        { "as ListTypes shows it", "as \"types\" shows it" },
        { "ListTypes shows what it offers.", "\"types\" shows what it offers." },
        { " Indexes begin at 0; 4294967295 stands for the end.", " Indexes begin at 0." },
        { "Signals tell of its end.", "\"list\" shows what comes of it." },
};

/* How long what fills a gap is. */
static size_t gap_length(const char *s) {
        return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");
}

/* Whether @s begins with a phrase; then *@ret_end is what follows, and *@ret_filling what is in its gap. */
static bool match(const char *s, const char *phrase, const char **ret_end, const char **ret_filling) {
        for (; *phrase; phrase++) {
                if (phrase[0] == '{') {
                        *ret_filling = s;
                        s += gap_length(s);
                        phrase++;
                } else if (*s++ != *phrase)
                        return false;
        }

        *ret_end = s;
        return true;
}

static void write_phrase(FILE *f, const char *phrase, const char *filling) {
        size_t n = strcspn(phrase, "{");

        (void) fwrite(phrase, 1, n, f);
        if (phrase[n])
                fprintf(f, "%.*s%s", (int) gap_length(filling), filling, phrase + n + 2);
}

/* Return: what follows. */
static const char *translate_one(FILE *f, const char *s) {
        const char *end, *filling = "";

        for (size_t i = 0; i < ELEMENTSOF(phrases); i++)
                if (match(s, phrases[i].api, &end, &filling)) {
                        write_phrase(f, phrases[i].here, filling);
                        return end;
                }

        fputc(*s, f);
        return s + 1;
}

char *wording_translate(const char *sentence) {
        char *text = NULL;
        size_t size;
        FILE *f;

        f = open_memstream(&text, &size);
        if (!f)
                return NULL;
        while (*sentence)
                sentence = translate_one(f, sentence);
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }

        return text;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "base/util.h"
#include "tools/wording.h"

#define UUID_LENGTH 36U

/* "{}" stands for a UUID, of which there is one on both sides or none. */
static const struct {
        const char *api, *here;
} phrases[] = {
        /* Scripts written for mdevctl look for these three words. */
        { "Device {} exists already: it is", "Device already exists: {} is" },
        { "give the option \"alternate\" if it", "give --alternate if it" },
        { "and call Rescan.", "and reload mdevd." },
        { "ListDevices shows all.", "\"list\" and \"list --defined\" show all." },
        { "to start a device without a definition use Create.",
                        "to start a device without a definition give a parent and a type." },
        { "ListParents shows all.", "\"types\" shows all." },
        { "ListParents shows the parents.", "\"types\" shows the parents." },
        { "as ListParents shows it", "as \"types\" shows it" },
        { "as ListTypes shows it", "as \"types\" shows it" },
        { "ListTypes shows what it offers.", "\"types\" shows what it offers." },
        { " Indexes begin at 0; 4294967295 stands for the end.", " Indexes begin at 0." },
        { "with the option \"wait-for-release\" the", "with --wait-for-release the" },
        { "Signals tell of its end.", "\"list\" shows what comes of it." },
};

/* Whether @s begins with a phrase; then *@ret_end is what follows, and *@ret_uuid the UUID in it. */
static bool match(const char *s, const char *phrase, const char **ret_end, const char **ret_uuid) {
        for (; *phrase; phrase++) {
                if (phrase[0] == '{') {
                        if (strlen(s) < UUID_LENGTH)
                                return false;
                        *ret_uuid = s;
                        s += UUID_LENGTH;
                        phrase++;
                } else if (*s++ != *phrase)
                        return false;
        }

        *ret_end = s;
        return true;
}

static void write_phrase(FILE *f, const char *phrase, const char *uuid) {
        size_t n = strcspn(phrase, "{");

        (void) fwrite(phrase, 1, n, f);
        if (phrase[n])
                fprintf(f, "%.*s%s", (int) UUID_LENGTH, uuid, phrase + n + 2);
}

/* Return: what follows. */
static const char *translate_one(FILE *f, const char *s) {
        const char *end, *uuid = "";

        for (size_t i = 0; i < ELEMENTSOF(phrases); i++)
                if (match(s, phrases[i].api, &end, &uuid)) {
                        write_phrase(f, phrases[i].here, uuid);
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

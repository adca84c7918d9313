/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a script prints when it is asked what it supports: only what we know can come of it; what is refused
 * changes nothing; and what was understood can be said and understood again. */

#include "fuzz/fuzz-definition.h"

static void write_words(FILE *f, uint32_t set, unsigned n, const char *(*word)(unsigned) ) {
        const char *separator = "";

        for (unsigned i = 0; i < n; i++)
                if (set & (UINT32_C(1) << i)) {
                        fprintf(f, "%s\"%s\"", separator, word(i));
                        separator = ",";
                }
}

static const char *action_word(unsigned i) {
        return script_action_to_string((ScriptAction) i);
}

static const char *event_word(unsigned i) {
        return script_event_to_string((ScriptEvent) i);
}

static void check_again(const Capability *c) {
        _cleanup_(freep) char *unknown = NULL, *text = NULL;
        Capability again = {};
        size_t size;
        FILE *f = open_memstream(&text, &size);

        ASSERT(f);
        fputs("{\"supports\":{\"version\":2,\"actions\":[", f);
        write_words(f, c->actions, _SCRIPT_ACTION_MAX, action_word);
        fputs("],\"events\":[", f);
        write_words(f, c->events, _SCRIPT_EVENT_MAX, event_word);
        fputs("]}}\n", f);
        ASSERT(fclose(f) == 0);

        ASSERT(codec_parse_capabilities(text, size, &again, &unknown) == 0);
        ASSERT(!unknown && again.actions == c->actions && again.events == c->events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = fuzz_bytes(data, size), *unknown = NULL;
        Capability c = { .actions = 0xabcd, .events = 0xef01 };
        int r;

        r = codec_parse_capabilities(text, size, &c, &unknown);
        ASSERT(!c.type && !c.script);
        if (r < 0) {
                ASSERT(r == -EBADMSG);
                ASSERT(c.actions == 0xabcd && c.events == 0xef01 && !unknown);
                return 0;
        }

        ASSERT(c.actions >> _SCRIPT_ACTION_MAX == 0 && c.events >> _SCRIPT_EVENT_MAX == 0);
        if (unknown)
                ASSERT(strlen(unknown) < size);
        check_again(&c);
        return 0;
}

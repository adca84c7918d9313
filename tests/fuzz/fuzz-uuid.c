/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* UUIDs in text: what is taken is what the header says and nothing else, by an understanding of its own; what
 * is taken comes back in every form. */

#include <ctype.h>

#include "fuzz/fuzz.h"
#include "model/uuid.h"

static bool is_dashed(const char *s, size_t n) {
        if (n != 36)
                return false;
        for (size_t i = 0; i < n; i++) {
                bool dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (dash ? s[i] != '-' : !isxdigit((unsigned char) s[i]))
                        return false;
        }

        return true;
}

static bool is_plain(const char *s, size_t n) {
        if (n != 32)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isxdigit((unsigned char) s[i]))
                        return false;

        return true;
}

static bool is_uuid(const char *s) {
        size_t n = strlen(s);

        if (n > 9 && strncasecmp(s, "urn:uuid:", 9) == 0)
                return is_dashed(s + 9, n - 9) || is_plain(s + 9, n - 9);
        if (n > 2 && s[0] == '{' && s[n - 1] == '}')
                return is_dashed(s + 1, n - 2) || is_plain(s + 1, n - 2);
        return is_dashed(s, n) || is_plain(s, n);
}

static void reads_as(const char *text, const Uuid *uuid) {
        Uuid again;

        ASSERT(uuid_from_text(text, &again) == 0);
        ASSERT(uuid_equal(&again, uuid));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const Uuid untouched = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };
        _cleanup_(freep) char *text = fuzz_text(data, size);
        char canonical[UUID_TEXT_SIZE], form[64], digits[33], *p = digits;
        Uuid uuid = untouched, exact = untouched;
        int r;

        r = uuid_from_text(text, &uuid);
        ASSERT((r == 0) == is_uuid(text));
        if (r < 0) {
                ASSERT(r == -EINVAL);
                ASSERT(uuid_equal(&uuid, &untouched));
                ASSERT(uuid_from_canonical(text, &exact) == -EINVAL);
                ASSERT(uuid_equal(&exact, &untouched));
                return 0;
        }

        ASSERT(uuid_to_text(&uuid, canonical) == canonical);
        r = uuid_from_canonical(text, &exact);
        ASSERT((r == 0) == streq(text, canonical));
        ASSERT(uuid_equal(&exact, r == 0 ? &uuid : &untouched));
        ASSERT(uuid_from_canonical(canonical, &exact) == 0 && uuid_equal(&exact, &uuid));

        for (const char *c = canonical; *c != '\0'; c++)
                if (*c != '-')
                        *p++ = (char) toupper((unsigned char) *c);
        *p = '\0';
        reads_as(text, &uuid);
        reads_as(digits, &uuid);
        (void) snprintf(form, sizeof form, "{%s}", canonical);
        reads_as(form, &uuid);
        (void) snprintf(form, sizeof form, "URN:uuid:%s", digits);
        reads_as(form, &uuid);
        return 0;
}

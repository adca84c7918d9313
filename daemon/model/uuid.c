/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libuuid reads the dashed form only; the other three differ from it by punctuation, so they are brought to
 * it first. The kernel, for its part, takes nothing but the dashed form: what goes to sysfs is
 * uuid_to_text(). */

#include <uuid/uuid.h>

#include "model/uuid.h"

#define N_DIGITS 32U
#define DASHED_LENGTH 36U

_Static_assert(sizeof(uuid_t) == sizeof(Uuid), "libuuid's bytes are ours");

/* Writes 32 digits in the dashed form; what is no digit is left for libuuid to refuse. */
static void add_dashes(const char *digits, char ret[static UUID_TEXT_SIZE]) {
        static const size_t groups[] = { 8, 4, 4, 4, 12 };
        char *p = ret;

        for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
                if (i > 0)
                        *p++ = '-';
                p = mempcpy(p, digits, groups[i]);
                digits += groups[i];
        }

        *p = '\0';
}

int uuid_from_text(const char *text, Uuid *ret) {
        char dashed[UUID_TEXT_SIZE];
        const char *body = text;
        size_t n;
        Uuid u;

        if (strncasecmp(body, "urn:uuid:", 9) == 0)
                body += 9;

        n = strlen(body);
        if (body == text && n > 2 && body[0] == '{' && body[n - 1] == '}') {
                body += 1;
                n -= 2;
        }

        if (n == N_DIGITS)
                add_dashes(body, dashed);
        else if (n == DASHED_LENGTH)
                *(char *) mempcpy(dashed, body, DASHED_LENGTH) = '\0';
        else
                return -EINVAL;

        if (uuid_parse(dashed, u.bytes) < 0)
                return -EINVAL;

        *ret = u;
        return 0;
}

int uuid_from_canonical(const char *text, Uuid *ret) {
        Uuid u;

        if (uuid_from_text(text, &u) < 0 || !streq(UUID_TEXT(&u), text))
                return -EINVAL;

        *ret = u;
        return 0;
}

char *uuid_to_text(const Uuid *uuid, char buffer[static UUID_TEXT_SIZE]) {
        uuid_unparse_lower(uuid->bytes, buffer);
        return buffer;
}

Uuid uuid_random(void) {
        Uuid u;

        uuid_generate_random(u.bytes);
        return u;
}

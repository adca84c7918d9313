/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <stdint.h>

#include <uuid/uuid.h>

#include "tools/text.h"

#define N_DIGITS 32U
#define DASHED_LENGTH 36U

static bool all_are_digits(const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (!isxdigit((unsigned char) s[i]))
                        return false;

        return true;
}

bool text_is_uuid(const char *text) {
        const char *body = strncasecmp(text, "urn:uuid:", 9) == 0 ? text + 9 : text;
        char dashed[DASHED_LENGTH + 1];
        size_t n = strlen(body);
        uuid_t bytes;

        if (body == text && n > 2 && body[0] == '{' && body[n - 1] == '}') {
                body++;
                n -= 2;
        }
        if (n == N_DIGITS)
                return all_are_digits(body, n);
        if (n != DASHED_LENGTH)
                return false;

        *(char *) mempcpy(dashed, body, n) = '\0';
        return uuid_parse(dashed, bytes) == 0;
}

int text_to_number(const char *text, uint32_t *ret) {
        uint64_t number = 0;

        if (text[0] == '+')
                text++;
        if (isempty(text))
                return -EINVAL;
        for (; *text; text++) {
                if (!isdigit((unsigned char) *text))
                        return -EINVAL;
                number = number * 10 + (uint64_t) (*text - '0');
                if (number > UINT32_MAX)
                        return -EINVAL;
        }

        *ret = (uint32_t) number;
        return 0;
}

/* Return: NULL at the end. */
static const char *next_digit(const char *s) {
        while (*s && !isxdigit((unsigned char) *s))
                s++;

        return *s ? s : NULL;
}

bool text_is_same_uuid(const char *a, const char *b) {
        if (!text_is_uuid(a) || !text_is_uuid(b))
                return false;

        /* The digit of "urn:uuid:" is a "d". */
        a = strchr(a, ':') ? strrchr(a, ':') : a;
        b = strchr(b, ':') ? strrchr(b, ':') : b;
        while ((a = next_digit(a)) && (b = next_digit(b)) &&
                        tolower((unsigned char) *a) == tolower((unsigned char) *b)) {
                a++;
                b++;
        }

        return !a;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>

#include "tools/quantity.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define SECONDS_MAX UINT64_C(1000000000) /* three decades; and all sums with it fit */

static const char *read_digits(const char *s, uint64_t max, uint64_t *ret) {
        uint64_t n = 0;

        if (!isdigit((unsigned char) *s))
                return NULL;
        for (; isdigit((unsigned char) *s); s++) {
                n = n * 10 + (uint64_t) (*s - '0');
                if (n > max)
                        return NULL;
        }

        *ret = n;
        return s;
}

int quantity_seconds(const char *text, uint64_t *ret_usec) {
        uint64_t seconds, usec = 0;
        const char *end;

        end = read_digits(text, SECONDS_MAX, &seconds);
        if (!end)
                return -EINVAL;
        if (*end == '.') {
                uint64_t unit = USEC_PER_SEC;

                for (end++; isdigit((unsigned char) *end); end++) {
                        unit /= 10;
                        usec += (uint64_t) (*end - '0') * unit;
                }
        }
        if (*end != '\0')
                return -EINVAL;

        *ret_usec = seconds * USEC_PER_SEC + usec;
        return 0;
}

bool quantity_is_state(const char *text) {
        static const char *const states[] = { "defined", "creating", "active", "removing", "orphaned",
                "absent" };

        for (size_t i = 0; i < ELEMENTSOF(states); i++)
                if (streq(text, states[i]))
                        return true;

        return false;
}

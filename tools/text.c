/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>

#include "tools/text.h"

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

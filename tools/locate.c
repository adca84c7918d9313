/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is no JSON the codec tells with its position. What is JSON, but no definition, it tells by name: a
 * key, or the number of an attribute; and then the text can be walked without looking out for mistakes. */

#include <ctype.h>
#include <stdio.h>

#include "tools/locate.h"

typedef struct Text {
        const char *s;
        size_t size;
} Text;

static char at(const Text *t, size_t i) {
        return i < t->size ? t->s[i] : '\0';
}

static size_t skip_blanks(const Text *t, size_t i) {
        while (i < t->size && isspace((unsigned char) t->s[i]))
                i++;
        return i;
}

static size_t skip_string(const Text *t, size_t i) {
        for (i++; i < t->size && t->s[i] != '"'; i++)
                if (t->s[i] == '\\')
                        i++;
        return MIN(i + 1, t->size);
}

/* Strings, and whatever is in brackets, are one. */
static size_t skip_value(const Text *t, size_t i) {
        size_t depth = 0;

        while (i < t->size) {
                char c = t->s[i];

                if (c == '"') {
                        i = skip_string(t, i);
                        if (depth == 0)
                                return i;
                        continue;
                }
                if (c == '{' || c == '[')
                        depth++;
                else if (c == '}' || c == ']') {
                        if (depth == 0)
                                return i;
                        depth--;
                        if (depth == 0)
                                return i + 1;
                } else if (c == ',' && depth == 0)
                        return i;
                i++;
        }

        return i;
}

/* The value of a key of the object at @i; of several the last, which is the one that counts. Return: @i if
 * there is none. */
static size_t find_member(const Text *t, size_t i, const char *key) {
        size_t found = i, length = strlen(key);

        for (size_t p = skip_blanks(t, i + 1); at(t, p) == '"';) {
                bool is_it = t->size - p > length + 1 && memcmp(t->s + p + 1, key, length) == 0 &&
                                t->s[p + 1 + length] == '"';

                p = skip_blanks(t, skip_string(t, p));
                if (at(t, p) != ':')
                        break;
                p = skip_blanks(t, p + 1);
                if (is_it)
                        found = p;
                p = skip_blanks(t, skip_value(t, p));
                if (at(t, p) != ',')
                        break;
                p = skip_blanks(t, p + 1);
        }

        return found;
}

/* An element of the array at @i. Return: @i if there is none. */
static size_t find_element(const Text *t, size_t i, size_t n) {
        size_t p = skip_blanks(t, i + 1);

        if (at(t, i) != '[')
                return i;
        for (; n > 0; n--) {
                p = skip_blanks(t, skip_value(t, p));
                if (at(t, p) != ',')
                        return i;
                p = skip_blanks(t, p + 1);
        }

        return p;
}

static Position position_of(const Text *t, size_t offset) {
        Position p = { 1, 1 };

        for (size_t i = 0; i < offset && i < t->size; i++) {
                p.column = t->s[i] == '\n' ? 1 : p.column + 1;
                p.line += t->s[i] == '\n';
        }
        return p;
}

const char *locate(const char *s, size_t size, const char *reason, Position *ret) {
        static const char *const keys[] = { "mdev_type", "start", "attrs" };
        Text t = { s, size };
        size_t begin, index;
        int n = 0;

        if (sscanf(reason, "line %zu, column %zu: %n", &ret->line, &ret->column, &n) == 2 && n > 0)
                return reason + n;

        begin = skip_blanks(&t, 0);
        if (sscanf(reason, "attribute %zu", &index) == 1) {
                *ret = position_of(&t, find_element(&t, find_member(&t, begin, "attrs"), index));
                return reason;
        }
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (*reason == '"' && startswith(reason + 1, keys[i])) {
                        *ret = position_of(&t, find_member(&t, begin, keys[i]));
                        return reason;
                }

        *ret = (Position){};
        return reason;
}

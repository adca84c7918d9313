/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/json.h"

DEFINE_CLEANUP(json_object *, json_object_put);
DEFINE_CLEANUP(json_tokener *, json_tokener_free);

/* A text being looked at for what json-c lets pass. json-c has found its structure right. */
typedef struct Scan {
        const char *text;
        size_t size;
        size_t at;
} Scan;

static int fault(JsonFault *ret, size_t offset, const char *what) {
        *ret = (JsonFault){ .offset = offset, .what = what };
        return -EBADMSG;
}

static bool scan_word(Scan *s, const char *word) {
        size_t n = strlen(word);

        if (s->size - s->at < n || memcmp(s->text + s->at, word, n) != 0)
                return false;

        s->at += n;
        return true;
}

/* The four digits of an escaped UTF-16 unit; UINT32_MAX if there are none here. */
static uint32_t scan_unit(Scan *s) {
        uint32_t unit = 0;

        if (s->size - s->at < 6 || s->text[s->at] != '\\' || s->text[s->at + 1] != 'u')
                return UINT32_MAX;

        for (size_t i = 2; i < 6; i++) {
                char c = s->text[s->at + i];
                uint32_t digit;

                if (c >= '0' && c <= '9')
                        digit = (uint32_t) (c - '0');
                else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                        digit = (uint32_t) ((c | 0x20) - 'a') + 10;
                else
                        return UINT32_MAX;
                unit = unit << 4 | digit;
        }

        s->at += 6;
        return unit;
}

static bool is_high_surrogate(uint32_t unit) {
        return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low_surrogate(uint32_t unit) {
        return unit >= 0xdc00 && unit <= 0xdfff;
}

static int scan_escape(Scan *s, JsonFault *ret_fault) {
        size_t began = s->at;
        uint32_t unit = scan_unit(s);

        if (unit == UINT32_MAX) {
                s->at += 2; /* of one character, which json-c knows */
                return 0;
        }
        if (unit == 0)
                return fault(ret_fault, began, "a NUL in a string"); /* json-c cuts names there */
        if (is_low_surrogate(unit) || (is_high_surrogate(unit) && !is_low_surrogate(scan_unit(s))))
                return fault(ret_fault, began, "half a character in a string");
        return 0;
}

static int scan_string(Scan *s, JsonFault *ret_fault) {
        s->at++;
        while (s->at < s->size && s->text[s->at] != '"') {
                if (s->text[s->at] == '\\') {
                        int r = scan_escape(s, ret_fault);

                        if (r < 0)
                                return r;
                } else if ((unsigned char) s->text[s->at] < ' ')
                        return fault(ret_fault, s->at, "a control character in a string");
                else
                        s->at++;
        }

        s->at++;
        return 0;
}

static size_t scan_digits(Scan *s) {
        size_t began = s->at;

        while (s->at < s->size && s->text[s->at] >= '0' && s->text[s->at] <= '9')
                s->at++;
        return s->at - began;
}

/* -? (0 | 1-9 digits) (. digits)? ((e|E) (+|-)? digits)?, and not larger than a double can be. */
static int scan_number(Scan *s, JsonFault *ret_fault) {
        size_t began = s->at, first, n;

        (void) scan_word(s, "-");
        first = s->at;
        n = scan_digits(s);
        if (n == 0)
                return fault(ret_fault, began, "neither a value nor a name");
        if (n > 1 && s->text[first] == '0')
                return fault(ret_fault, began, "a number with a needless zero");

        if (scan_word(s, ".") && scan_digits(s) == 0)
                return fault(ret_fault, began, "a number with no digits behind its point");
        if (scan_word(s, "e") || scan_word(s, "E")) {
                if (!scan_word(s, "+"))
                        (void) scan_word(s, "-");
                if (scan_digits(s) == 0)
                        return fault(ret_fault, began, "a number with no digits in its exponent");
        }

        /* It ends within the text: a number by itself is nothing that json-c would have taken. */
        if (!isfinite(strtod(s->text + began, NULL)))
                return fault(ret_fault, began, "a number that is too large");
        return 0;
}

/* What json-c lets pass. */
static int scan(const char *text, size_t size, JsonFault *ret_fault) {
        Scan s = { .text = text, .size = size };
        int r;

        while (s.at < s.size) {
                if (s.text[s.at] != '\0' && strchr(" \t\r\n{}[],:", s.text[s.at])) {
                        s.at++;
                        continue;
                }
                if (scan_word(&s, "true") || scan_word(&s, "false") || scan_word(&s, "null"))
                        continue;

                r = s.text[s.at] == '"' ? scan_string(&s, ret_fault) : scan_number(&s, ret_fault);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* Before json-c 0.17 nothing tells want of memory from success, but that there is no value where the text has
 * another than "null". @end: where it stopped */
static bool is_without_memory(
                enum json_tokener_error error, json_object *object, const char *text, size_t end) {
#if JSON_C_VERSION_NUM >= (17 << 8)
        if (error == json_tokener_error_memory)
                return true;
#endif
        if (error != json_tokener_success || object)
                return false;
        while (end > 0 && strchr(" \t\r\n", text[end - 1]))
                end--;
        return end < strlen("null") || strncasecmp(text + end - strlen("null"), "null", strlen("null")) != 0;
}

static int tokenize(const char *text, size_t size, int depth_max, int flags, json_object **ret,
                JsonFault *ret_fault) {
        _cleanup_(json_tokener_freep) json_tokener *tokener = json_tokener_new_ex(depth_max);
        _cleanup_(json_object_putp) json_object *object = NULL;
        enum json_tokener_error error;

        if (!tokener)
                return -ENOMEM;

        json_tokener_set_flags(tokener, flags);
        object = json_tokener_parse_ex(tokener, text, (int) size);
        error = json_tokener_get_error(tokener);
        if (is_without_memory(error, object, text, json_tokener_get_parse_end(tokener)))
                return -ENOMEM;
        if (error == json_tokener_continue)
                return fault(ret_fault, size, "the text ends too early");
        if (error != json_tokener_success)
                return fault(ret_fault, json_tokener_get_parse_end(tokener), json_tokener_error_desc(error));

        /* json-c takes a NUL for the end of its input. */
        if (json_tokener_get_parse_end(tokener) != size)
                return fault(ret_fault, json_tokener_get_parse_end(tokener), "unexpected character");

        *ret = TAKE_PTR(object);
        return 0;
}

static bool is_ascii(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if ((unsigned char) text[i] > 0x7f)
                        return false;

        return true;
}

/* json-c 0.18, when it is strict, takes what is not ASCII for a control character and refuses it. So it is
 * strict with letters in place of those bytes, which can be in strings only, and then reads the text as it
 * is. */
static int tokenize_strictly(
                const char *text, size_t size, int depth_max, json_object **ret, JsonFault *ret_fault) {
        _cleanup_(json_object_putp) json_object *lettered = NULL;
        _cleanup_(freep) char *letters = NULL;
        int r;

        if (is_ascii(text, size))
                return tokenize(text, size, depth_max, JSON_TOKENER_STRICT, ret, ret_fault);

        letters = malloc(size);
        if (!letters)
                return -ENOMEM;
        for (size_t i = 0; i < size; i++)
                letters[i] = (unsigned char) text[i] > 0x7f ? 'x' : text[i];

        r = tokenize(letters, size, depth_max, JSON_TOKENER_STRICT, &lettered, ret_fault);
        if (r < 0)
                return r;
        return tokenize(text, size, depth_max, JSON_TOKENER_VALIDATE_UTF8, ret, ret_fault);
}

int json_read(const char *text, size_t size, int depth_max, json_object **ret, JsonFault *ret_fault) {
        _cleanup_(json_object_putp) json_object *object = NULL;
        int r;

        r = tokenize_strictly(text, size, depth_max, &object, ret_fault);
        if (r < 0)
                return r;
        r = scan(text, size, ret_fault);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(object);
        return 0;
}

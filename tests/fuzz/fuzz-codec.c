/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The text of a definition, and behind a byte 0xff (which no text has) that of one that it replaces: what is
 * read is valid; written and read again it is the same, and written once more the same to the byte; keys that
 * are not ours survive; what is refused is refused with a sentence and leaves nothing behind. */

#include <json-c/json.h>

#include "fuzz/fuzz-definition.h"

static const Uuid uuid = { { 0x5a } };

static void reads_as(const char *text, size_t size, const Definition *d) {
        _cleanup_(definition_done) Definition again = {};

        ASSERT(codec_parse(text, size, &uuid, "parent", &again, NULL) == 0);
        ASSERT(definition_equal(&again, d));
}

/* What json-c alone makes of a text; NULL if it is no object. */
static json_object *read_object(const char *text, size_t size) {
        json_tokener *tokener = json_tokener_new_ex(DEFINITION_DEPTH_MAX);
        json_object *object;

        ASSERT(tokener);
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        object = json_tokener_parse_ex(tokener, text, (int) size);
        json_tokener_free(tokener);
        return object;
}

/* Whether the keys of @original that are not ours are what @text has beside ours. */
static void check_other_keys(const char *text, size_t size, const char *original, size_t original_size) {
        static const char *const ours[] = { "mdev_type", "start", "attrs" };
        json_object *new = read_object(text, size), *old = read_object(original, original_size);

        for (size_t i = 0; i < ELEMENTSOF(ours); i++) {
                ASSERT(json_object_object_get_ex(new, ours[i], NULL));
                json_object_object_del(new, ours[i]);
                json_object_object_del(old, ours[i]);
        }
        ASSERT(streq(json_object_to_json_string(new), json_object_to_json_string(old)));
        json_object_put(new);
        json_object_put(old);
}

/* Writes @d in the place of @original, twice. */
static void check_format(const Definition *d, const char *original, size_t original_size) {
        _cleanup_(definition_done) Definition of_original = {};
        _cleanup_(freep) char *once = NULL, *twice = NULL;
        size_t size, size_again;
        int r;

        r = codec_format(d, original, original_size, &once, &size);
        if (original && r == -EFBIG)
                return;
        ASSERT(r == 0);
        ASSERT(strlen(once) == size && size <= DEFINITION_TEXT_MAX);
        reads_as(once, size, d);
        if (original && codec_parse(original, original_size, &uuid, "parent", &of_original, NULL) == 0)
                check_other_keys(once, size, original, original_size);

        r = codec_format(d, once, size, &twice, &size_again);
        ASSERT(r == 0 && size == size_again && streq(once, twice));
}

static void check_for_script(const Definition *d) {
        _cleanup_(freep) char *text = NULL;

        ASSERT(codec_format_for_script(d, &text) == 0);
        ASSERT(!strchr(text, '\n'));
        reads_as(text, strlen(text), d);
}

/* A character that is escaped by a backslash escapes nothing. */
static bool has_escaped_nul(const char *text, size_t size) {
        for (size_t i = 0; i + 6 <= size; i++)
                if (text[i] == '\\' && strncmp(text + i++, "\\u0000", 6) == 0)
                        return true;

        return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *end = size > 0 ? memchr(data, 0xff, size) : NULL;
        size_t text_size = end ? (size_t) (end - data) : size, original_size = end ? size - text_size - 1 : 0;
        _cleanup_(freep) char *text = fuzz_bytes(data, text_size);
        _cleanup_(freep) char *original = end ? fuzz_bytes(end + 1, original_size) : NULL;
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(freep) char *reason = NULL;
        int r;

        r = codec_parse(text, text_size, &uuid, "parent", &d, &reason);
        if (r < 0) {
                ASSERT(r == -EBADMSG);
                check_reason(reason);
                ASSERT(!d.type && !d.parent && d.attributes.n == 0);
                ASSERT(codec_parse(text, text_size, &uuid, "parent", &d, NULL) == r);
                return 0;
        }

        ASSERT(!reason);
        ASSERT(d.type && streq(d.parent, "parent") && uuid_equal(&d.uuid, &uuid));
        check_definition(&d);
        check_for_script(&d);
        check_format(&d, NULL, 0);
        check_format(&d, text, text_size);
        if (original)
                check_format(&d, original, original_size);
        ASSERT(!has_escaped_nul(text, text_size));
        return 0;
}

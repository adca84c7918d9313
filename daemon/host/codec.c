/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* json-c reads and escapes; the layout is written here, because json-c's own differs from mdevctl's in the
 * empty array, and mdevctl's bytes are what people diff and other programs compare. */

#include <stdarg.h>
#include <stdio.h>

#include "host/codec.h"
#include "host/json.h"
#include "model/name.h"

DEFINE_CLEANUP(json_object *, json_object_put);

static const char *const known_keys[] = { "mdev_type", "start", "attrs" };

static void cut(char *text, size_t max) {
        static const char mark[] = "…";

        if (strlen(text) > max)
                (void) strcpy(text + text_whole_size(text, max - strlen(mark)), mark);
}

static int bad(char **ret_reason, const char *format, ...) _printf_(2, 3);

static int bad(char **ret_reason, const char *format, ...) {
        va_list ap;
        int n;

        if (!ret_reason)
                return -EBADMSG;

        va_start(ap, format);
        n = vasprintf(ret_reason, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;

        /* The text's own names are in it, and they may be what is wrong. */
        (void) text_make_printable(*ret_reason);
        cut(*ret_reason, CODEC_REASON_MAX);
        return -EBADMSG;
}

static int bad_at(char **ret_reason, const char *text, size_t offset, const char *what) {
        size_t line = 1, column = 1;

        for (size_t i = 0; i < offset; i++)
                if (text[i] == '\n') {
                        line++;
                        column = 1;
                } else
                        column++;

        return bad(ret_reason, "line %zu, column %zu: %s", line, column, what);
}

/* One value of type @type. */
static int parse_value(const char *text, size_t size, json_type type, json_object **ret, char **ret_reason) {
        _cleanup_(json_object_putp) json_object *object = NULL;
        JsonFault fault;
        int r;

        if (size > DEFINITION_TEXT_MAX)
                return bad(ret_reason, "larger than %u bytes", DEFINITION_TEXT_MAX);

        r = json_read(text, size, DEFINITION_DEPTH_MAX, &object, &fault);
        if (r == -EBADMSG)
                return bad_at(ret_reason, text, fault.offset, fault.what);
        if (r < 0)
                return r;
        if (!json_object_is_type(object, type))
                return bad(ret_reason, "line 1, column 1: not a JSON %s", json_type_to_name(type));

        *ret = TAKE_PTR(object);
        return 0;
}

static int parse_json(const char *text, size_t size, json_object **ret, char **ret_reason) {
        return parse_value(text, size, json_type_object, ret, ret_reason);
}

/* The string that @value is; NULL if it is none, or has a NUL within. */
static const char *string_value(json_object *value) {
        const char *s;

        if (!json_object_is_type(value, json_type_string))
                return NULL;

        s = json_object_get_string(value);
        return strlen(s) == (size_t) json_object_get_string_len(value) ? s : NULL;
}

static int parse_attribute(json_object *element, size_t index, Attributes *attributes, char **ret_reason) {
        struct json_object_iterator it;
        const char *name, *value;
        int r;

        if (!json_object_is_type(element, json_type_object))
                return bad(ret_reason, "attribute %zu is not an object", index);
        if (json_object_object_length(element) != 1)
                return bad(ret_reason, "attribute %zu has %d names instead of one", index,
                                json_object_object_length(element));

        it = json_object_iter_begin(element);
        name = json_object_iter_peek_name(&it);
        value = string_value(json_object_iter_peek_value(&it));
        if (!value)
                return bad(ret_reason, "attribute %zu, \"%s\": the value is not a string", index, name);

        r = attributes_append(attributes, name, value);
        if (r == -EINVAL)
                return bad(ret_reason, "attribute %zu, \"%s\": not a valid name or value", index, name);
        if (r == -EUSERS)
                return bad(ret_reason, "attribute %zu, \"%s\": more than %u attributes or %u bytes of them",
                                index, name, ATTRIBUTES_MAX, ATTRIBUTES_SIZE_MAX);
        return r;
}

static int parse_attributes(json_object *array, Attributes *ret, char **ret_reason) {
        _cleanup_(attributes_done) Attributes attributes = {};

        for (size_t i = 0; i < json_object_array_length(array); i++) {
                int r = parse_attribute(json_object_array_get_idx(array, i), i, &attributes, ret_reason);

                if (r < 0)
                        return r;
        }

        *ret = attributes;
        attributes = (Attributes){};
        return 0;
}

int codec_parse(const char *text, size_t size, const Uuid *uuid, const char *parent, Definition *ret,
                char **ret_reason) {
        _cleanup_(definition_done) Definition d = { .uuid = *uuid };
        _cleanup_(json_object_putp) json_object *object = NULL;
        json_object *value;
        const char *s;
        int r;

        r = parse_json(text, size, &object, ret_reason);
        if (r < 0)
                return r;

        s = string_value(json_object_object_get(object, "mdev_type"));
        if (!s)
                return bad(ret_reason, "\"mdev_type\" is missing or not a string");
        /* mdevctl reads an empty type too; nothing can be started from it, but it is not lost. */
        if (s[0] != '\0' && !type_name_is_valid(s))
                return bad(ret_reason, "\"mdev_type\" is not a valid name of a type");

        value = json_object_object_get(object, "start");
        if (!value)
                return bad(ret_reason, "\"start\" is missing");
        d.autostart = streq_ptr(string_value(value), "auto");

        value = json_object_object_get(object, "attrs");
        if (value && !json_object_is_type(value, json_type_array))
                return bad(ret_reason, "\"attrs\" is not an array");
        if (value) {
                r = parse_attributes(value, &d.attributes, ret_reason);
                if (r < 0)
                        return r;
        }

        if (free_and_strdup(&d.type, s) < 0 || free_and_strdup(&d.parent, parent) < 0)
                return -ENOMEM;

        *ret = d;
        d = (Definition){};
        return 0;
}

/* Writing */

static void write_string(FILE *f, const char *s) {
        _cleanup_(json_object_putp) json_object *object = json_object_new_string(s);
        const char *text = object ? json_object_to_json_string_ext(object, JSON_C_TO_STRING_NOSLASHESCAPE)
                                  : NULL;

        /* ferror() would not tell that there was no memory. Who calls reads the text again and compares,
         * which finds the "?". */
        fputs(text ?: "?", f);
}

static void write_attributes(FILE *f, const Attributes *attributes) {
        const char *separator = "";

        if (attributes->n == 0) {
                fputs("[]", f);
                return;
        }

        fputs("[\n", f);
        FOREACH_ATTRIBUTE(name, value, attributes) {
                fprintf(f, "%s    {\n      ", separator);
                write_string(f, name);
                fputs(": ", f);
                write_string(f, value);
                fputs("\n    }", f);
                separator = ",\n";
        }
        fputs("\n  ]", f);
}

static bool key_is_known(const char *key) {
        for (size_t i = 0; i < ELEMENTSOF(known_keys); i++)
                if (streq(key, known_keys[i]))
                        return true;

        return false;
}

static void write_unknown_keys(FILE *f, json_object *original) {
        json_object_object_foreach(original, key, value) {
                if (key_is_known(key))
                        continue;

                fputs(",\n  ", f);
                write_string(f, key);
                fprintf(f, ": %s",
                                json_object_to_json_string_ext(value,
                                                JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
        }
}

int codec_format(const Definition *d, const char *original, size_t original_size, char **ret,
                size_t *ret_size) {
        _cleanup_(json_object_putp) json_object *old = NULL;
        _cleanup_(definition_done) Definition again = {};
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *f;
        int r;

        if (original) {
                r = parse_json(original, original_size, &old, NULL);
                if (r == -ENOMEM)
                        return r;
        }

        f = open_memstream(&text, &size);
        if (!f)
                return -ENOMEM;

        fputs("{\n  \"mdev_type\": ", f);
        write_string(f, d->type);
        fprintf(f, ",\n  \"start\": \"%s\",\n  \"attrs\": ", d->autostart ? "auto" : "manual");
        write_attributes(f, &d->attributes);
        if (old)
                write_unknown_keys(f, old);
        fputs("\n}", f);
        if (fclose(f) != 0)
                return -ENOMEM;
        if (size > DEFINITION_TEXT_MAX)
                return -EFBIG;

        /* What cannot be read back as what it was is not written: the cheap proof that nothing above went
         * wrong, shortage of memory included. */
        r = codec_parse(text, size, &d->uuid, d->parent, &again, NULL);
        if (r < 0)
                return r == -EBADMSG ? -ENOMEM : r;
        if (!definition_equal(&again, d))
                return -ENOMEM;

        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

/* Scripts */

int codec_format_for_script(const Definition *d, char **ret) {
        _cleanup_(definition_done) Definition again = {};
        _cleanup_(freep) char *text = NULL;
        const char *separator = "";
        size_t size;
        FILE *f;

        f = open_memstream(&text, &size);
        if (!f)
                return -ENOMEM;

        fputs("{\"mdev_type\":", f);
        write_string(f, d->type);
        fprintf(f, ",\"start\":\"%s\",\"attrs\":[", d->autostart ? "auto" : "manual");
        FOREACH_ATTRIBUTE(name, value, &d->attributes) {
                fprintf(f, "%s{", separator);
                write_string(f, name);
                fputc(':', f);
                write_string(f, value);
                fputc('}', f);
                separator = ",";
        }
        fputs("]}", f);
        if (fclose(f) != 0)
                return -ENOMEM;

        /* The same proof. */
        if (codec_parse(text, size, &d->uuid, d->parent, &again, NULL) < 0 || !definition_equal(&again, d))
                return -ENOMEM;

        *ret = TAKE_PTR(text);
        return 0;
}

/* Programs in C send their string's end along, and others a newline. */
static size_t trimmed_size(const char *text, size_t size) {
        while (size > 0 && (text[size - 1] == '\0' || strchr(" \t\r\n", text[size - 1])))
                size--;
        return size;
}

int codec_parse_answer(const char *text, size_t size, Attributes *ret, char **ret_reason) {
        _cleanup_(json_object_putp) json_object *array = NULL;
        json_object *first;
        int r;

        size = trimmed_size(text, size);
        if (size == 0) {
                *ret = (Attributes){};
                return 0;
        }
        r = parse_value(text, size, json_type_array, &array, ret_reason);
        if (r < 0)
                return r;

        first = json_object_array_length(array) == 1 ? json_object_array_get_idx(array, 0) : NULL;
        if (json_object_is_type(first, json_type_object) && json_object_object_length(first) == 0) {
                *ret = (Attributes){};
                return 0;
        }
        return parse_attributes(array, ret, ret_reason);
}

/* The set of words of a list, as bits. Return: 0; -EBADMSG if it is no list of words; -ENOMEM. */
static int parse_words(json_object *list, const char *(*word)(unsigned), unsigned n, uint32_t *ret,
                char **ret_unknown) {
        *ret = 0;
        if (!json_object_is_type(list, json_type_array))
                return -EBADMSG;

        for (size_t i = 0; i < json_object_array_length(list); i++) {
                const char *s = string_value(json_object_array_get_idx(list, i));
                unsigned k = 0;

                if (!s)
                        return -EBADMSG;
                while (k < n && !streq(s, word(k)))
                        k++;
                if (k < n)
                        *ret |= UINT32_C(1) << k;
                else if (!*ret_unknown && free_and_strdup(ret_unknown, s) < 0)
                        return -ENOMEM;
        }

        return 0;
}

static const char *action_word(unsigned i) {
        return script_action_to_string((ScriptAction) i);
}

static const char *event_word(unsigned i) {
        return script_event_to_string((ScriptEvent) i);
}

int codec_parse_capabilities(const char *text, size_t size, Capability *ret, char **ret_unknown) {
        _cleanup_(json_object_putp) json_object *object = NULL;
        _cleanup_(freep) char *unknown = NULL;
        json_object *supports, *version;
        uint32_t actions, events;
        int r;

        r = parse_json(text, trimmed_size(text, size), &object, NULL);
        if (r < 0)
                return r;
        supports = json_object_object_get(object, "supports");
        if (!json_object_is_type(supports, json_type_object))
                return -EBADMSG;
        version = json_object_object_get(supports, "version");
        if (!json_object_is_type(version, json_type_int) || json_object_get_int64(version) < 0 ||
                        json_object_get_int64(version) > (int64_t) UINT32_MAX)
                return -EBADMSG;
        r = parse_words(json_object_object_get(supports, "actions"), action_word, _SCRIPT_ACTION_MAX,
                        &actions, &unknown);
        if (r >= 0)
                r = parse_words(json_object_object_get(supports, "events"), event_word, _SCRIPT_EVENT_MAX,
                                &events, &unknown);
        if (r < 0)
                return r;

        ret->actions = actions;
        ret->events = events;
        *ret_unknown = TAKE_PTR(unknown);
        return 0;
}

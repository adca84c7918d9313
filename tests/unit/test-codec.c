/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What mdevctl reads and writes, byte for byte. The texts in "written by mdevctl" are what mdevctl 1.2.0 made
 * of the same definitions. */

#include "unit.h"

#include "host/codec.h"
#include "model/name.h"

#define PARENT "0000:3b:00.0"

static const Uuid uuid = { { 0x12, 0x34 } };

static int parse(const char *text, Definition *ret, char **ret_reason) {
        return codec_parse(text, strlen(text), &uuid, PARENT, ret, ret_reason);
}

/* The attributes as "name=value|name=value". */
static char *attributes_text(const Attributes *a) {
        char *text = NULL;
        const char *separator = "";
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        FOREACH_ATTRIBUTE(name, value, a) {
                fprintf(f, "%s%s=%s", separator, name, value);
                separator = "|";
        }
        assert_int_equal(fclose(f), 0);
        return text;
}

static void assert_parses(const char *text, const char *type, bool autostart, const char *attributes) {
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(freep) char *reason = NULL, *got = NULL;
        int r = parse(text, &d, &reason);

        if (r < 0)
                fail_msg("%s: %s", text, reason);
        assert_null(reason);
        assert_true(uuid_equal(&d.uuid, &uuid));
        assert_string_equal(d.parent, PARENT);
        assert_string_equal(d.type, type);
        assert_int_equal(d.autostart, autostart);
        got = attributes_text(&d.attributes);
        assert_string_equal(got, attributes);
}

static void assert_refused_bytes(const char *text, size_t size, const char *expected) {
        Definition d = { .autostart = true };
        _cleanup_(freep) char *reason = NULL;

        if (codec_parse(text, size, &uuid, PARENT, &d, &reason) != -EBADMSG)
                fail_msg("taken: %s", text);
        assert_non_null(reason);
        if (!strstr(reason, expected))
                fail_msg("%s: \"%s\" instead of \"%s\"", text, reason, expected);

        /* Untouched, and nothing depends on somebody wanting to know why. */
        assert_true(d.autostart && !d.parent && !d.type);
        assert_int_equal(codec_parse(text, size, &uuid, PARENT, &d, NULL), -EBADMSG);
}

static void assert_refused(const char *text, const char *expected) {
        assert_refused_bytes(text, strlen(text), expected);
}

/* Reading */

static void test_read(void **state) {
        (void) state;

        assert_parses("{\"mdev_type\":\"T\",\"start\":\"auto\",\"attrs\":[]}", "T", true, "");
        assert_parses(" \t\r\n{ \"attrs\" : [ ] , \"start\" : \"manual\" , \"mdev_type\" : \"T\" } \n\n", "T",
                        false, "");
        assert_parses("{\"mdev_type\":\"T\",\"start\":\"auto\","
                      "\"attrs\":[{\"b\":\"2\"},{\"a\":\"1\"},{\"b\":\"2\"}]}",
                        "T", true, "b=2|a=1|b=2");
}

/* Whatever is not the exact string "auto" means manual. */
static void test_read_start(void **state) {
        static const char *const manual[] = { "\"manual\"", "\"AUTO\"", "\"\"", "\"auto \"", "5", "true",
                "false", "[]", "{}", "1.5", "[\"auto\"]" };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(manual); i++) {
                char text[128];

                (void) snprintf(text, sizeof text, "{\"mdev_type\":\"T\",\"start\":%s}", manual[i]);
                assert_parses(text, "T", false, "");
        }
        assert_parses("{\"mdev_type\":\"T\",\"start\":\"\\u0061uto\"}", "T", true, "");
        assert_refused("{\"mdev_type\":\"T\"}", "\"start\" is missing");
        assert_refused("{\"mdev_type\":\"T\",\"start\":null}", "\"start\" is missing");
        assert_refused("{\"mdev_type\":\"T\",\"Start\":\"auto\"}", "\"start\" is missing");
}

static void test_read_type(void **state) {
        static const char *const wrong[] = { "null", "5", "true", "[]", "{}", "[\"T\"]" };
        static const char *const invalid[] = { "a/b", ".", "..", "a\\nb", "a\\u007f", "\\u0001" };
        char text[512], name[NAME_LENGTH_MAX + 2];

        (void) state;

        assert_refused("{\"start\":\"auto\"}", "\"mdev_type\" is missing or not a string");
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                (void) snprintf(text, sizeof text, "{\"mdev_type\":%s,\"start\":\"auto\"}", wrong[i]);
                assert_refused(text, "\"mdev_type\" is missing or not a string");
        }
        assert_refused("{\"mdev_type\":\"T\\u0000x\",\"start\":\"auto\"}",
                        "line 1, column 16: a NUL in a string");
        for (size_t i = 0; i < ELEMENTSOF(invalid); i++) {
                (void) snprintf(text, sizeof text, "{\"mdev_type\":\"%s\",\"start\":\"auto\"}", invalid[i]);
                assert_refused(text, "\"mdev_type\" is not a valid name of a type");
        }

        /* mdevctl takes an empty one; so do we, and write it back. */
        assert_parses("{\"mdev_type\":\"\",\"start\":\"auto\"}", "", true, "");
        assert_parses("{\"mdev_type\":\"vfio_ap-passthrough\",\"start\":\"\"}", "vfio_ap-passthrough", false,
                        "");
        assert_parses("{\"mdev_type\":\"...\",\"start\":\"\"}", "...", false, "");
        assert_parses("{\"mdev_type\":\"h\\u00e9\\ud83d\\ude00\",\"start\":\"\"}",
                        "h\xc3\xa9\xf0\x9f\x98\x80", false, "");

        memset(name, 'x', sizeof name);
        name[NAME_LENGTH_MAX] = '\0';
        (void) snprintf(text, sizeof text, "{\"mdev_type\":\"%s\",\"start\":\"auto\"}", name);
        assert_parses(text, name, true, "");
        (void) snprintf(text, sizeof text, "{\"mdev_type\":\"%sx\",\"start\":\"auto\"}", name);
        assert_refused(text, "\"mdev_type\" is not a valid name of a type");
}

static void test_read_no_attributes(void **state) {
        (void) state;

        assert_parses("{\"mdev_type\":\"T\",\"start\":\"auto\"}", "T", true, "");
        assert_parses("{\"mdev_type\":\"T\",\"start\":\"auto\",\"attrs\":null}", "T", true, "");
        assert_parses("{\"mdev_type\":\"T\",\"start\":\"auto\",\"attrs\":[]}", "T", true, "");
}

static void test_read_attributes(void **state) {
        static const struct {
                const char *attributes, *reason;
        } refused[] = {
                { "{}", "\"attrs\" is not an array" },
                { "{\"a\":\"1\"}", "\"attrs\" is not an array" },
                { "\"a\"", "\"attrs\" is not an array" },
                { "5", "\"attrs\" is not an array" },
                { "false", "\"attrs\" is not an array" },
                { "[null]", "attribute 0 is not an object" },
                { "[\"a\"]", "attribute 0 is not an object" },
                { "[[]]", "attribute 0 is not an object" },
                { "[{\"a\":\"1\"},5]", "attribute 1 is not an object" },
                { "[{}]", "attribute 0 has 0 names instead of one" },
                { "[{\"a\":\"1\",\"b\":\"2\"}]", "attribute 0 has 2 names instead of one" },
                { "[{\"a\":\"1\"},{\"b\":5}]", "attribute 1, \"b\": the value is not a string" },
                { "[{\"a\":null}]", "attribute 0, \"a\": the value is not a string" },
                { "[{\"a\":true}]", "attribute 0, \"a\": the value is not a string" },
                { "[{\"a\":{}}]", "attribute 0, \"a\": the value is not a string" },
                { "[{\"a\":\"x\\u0000y\"}]", "a NUL in a string" },
                { "[{\"a\\u0000y\":\"x\"}]", "a NUL in a string" },
                { "[{\"\":\"1\"}]", "attribute 0, \"\": not a valid name or value" },
                { "[{\"../x\":\"1\"}]", "attribute 0, \"../x\": not a valid name or value" },
                { "[{\"/etc/x\":\"1\"}]", "attribute 0, \"/etc/x\": not a valid name or value" },
                /* What cannot be told as it is must not be told as it is. */
                { "[{\"a\xef\xbf\xbf\":\"1\"}]", "attribute 0, \"a???\": not a valid name or value" },
                { "[{\"a\":\"1\"},{\"remove\":\"1\"}]",
                                "attribute 1, \"remove\": not a valid name or value" },
                { "[{\"mdev_type/x\":\"1\"}]", "not a valid name or value" },
        };
        char text[256];

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                (void) snprintf(text, sizeof text, "{\"mdev_type\":\"T\",\"start\":\"auto\",\"attrs\":%s}",
                                refused[i].attributes);
                assert_refused(text, refused[i].reason);
        }

        /* One key twice is one key. */
        assert_parses("{\"mdev_type\":\"T\",\"start\":\"auto\",\"attrs\":[{\"a\":\"1\",\"a\":\"2\"}]}", "T",
                        true, "a=2");
        assert_parses("{\"mdev_type\":\"T\",\"start\":\"auto\","
                      "\"attrs\":[{\"g/x\":\"\"},{\"y\":\"a=\\n \"}]}",
                        "T", true, "g/x=|y=a=\n ");
}

/* The longest name that a text has room for is what is wrong, and the reason is short all the same, and text.
 */
static void test_long_reason(void **state) {
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(freep) char *text = NULL, *reason = NULL;
        const Uuid uuid = {};
        size_t size;
        FILE *f = open_memstream(&text, &size);

        (void) state;

        assert_non_null(f);
        fputs("{\"mdev_type\":\"T\",\"start\":\"auto\",\"attrs\":[{\"", f);
        for (unsigned i = 0; i < DEFINITION_TEXT_MAX / 3; i++)
                fputs("é", f);
        fputs("\":\"1\"}]}", f);
        assert_int_equal(fclose(f), 0);

        assert_int_equal(codec_parse(text, size, &uuid, "p", &d, &reason), -EBADMSG);
        assert_non_null(startswith(reason, "attribute 0, \"ééé"));
        assert_true(strlen(reason) <= CODEC_REASON_MAX && strlen(reason) >= CODEC_REASON_MAX - 1);
        assert_string_equal(reason + strlen(reason) - strlen("é…"), "é…");
}

static char *many_attributes(unsigned n, size_t value_length) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        fputs("{\"mdev_type\":\"T\",\"start\":\"auto\",\"attrs\":[", f);
        for (unsigned i = 0; i < n; i++) {
                fprintf(f, "%s{\"a\":\"", i > 0 ? "," : "");
                for (size_t k = 0; k < value_length; k++)
                        fputc('v', f);
                fputs("\"}", f);
        }
        fputs("]}", f);
        assert_int_equal(fclose(f), 0);
        return text;
}

static void test_read_bounds(void **state) {
        _cleanup_(freep) char *most = many_attributes(ATTRIBUTES_MAX, 1),
                              *too_many = many_attributes(ATTRIBUTES_MAX + 1, 1),
                              *longest = many_attributes(1, ATTRIBUTE_VALUE_LENGTH_MAX),
                              *too_long = many_attributes(1, ATTRIBUTE_VALUE_LENGTH_MAX + 1),
                              *largest = many_attributes(16, 4093), *too_large = many_attributes(17, 4093);
        _cleanup_(definition_done) Definition d = {};

        (void) state;

        assert_int_equal(parse(most, &d, NULL), 0);
        assert_int_equal(d.attributes.n, ATTRIBUTES_MAX);
        definition_done(&d);
        assert_int_equal(parse(longest, &d, NULL), 0);
        assert_int_equal(d.attributes.size, 2 + ATTRIBUTE_VALUE_LENGTH_MAX + 1);
        definition_done(&d);
        assert_int_equal(parse(largest, &d, NULL), 0);
        assert_int_equal(d.attributes.size, ATTRIBUTES_SIZE_MAX);

        assert_refused(too_many, "attribute 1024, \"a\": more than 1024 attributes or 65536 bytes");
        assert_refused(too_long, "attribute 0, \"a\": not a valid name or value");
        assert_refused(too_large, "attribute 16, \"a\": more than 1024 attributes or 65536 bytes");
}

static void test_read_unknown_keys(void **state) {
        (void) state;

        assert_parses("{\"x\":1,\"mdev_type\":\"T\",\"mdevd\":{\"y\":[1,2,{\"mdev_type\":5}]},"
                      "\"start\":\"auto\",\"\":null}",
                        "T", true, "");
        assert_parses("{\"MDEV_TYPE\":5,\"mdev_type\":\"T\",\"attr\":5,\"start\":\"auto\"}", "T", true, "");
}

static void test_read_duplicate_keys(void **state) {
        (void) state;

        assert_parses("{\"mdev_type\":\"A\",\"start\":\"manual\",\"mdev_type\":\"B\",\"start\":\"auto\"}",
                        "B", true, "");
        assert_parses("{\"mdev_type\":5,\"start\":\"auto\",\"attrs\":[{\"a\":\"1\"}],"
                      "\"mdev_type\":\"B\",\"attrs\":[]}",
                        "B", true, "");
        assert_refused("{\"mdev_type\":\"A\",\"start\":\"auto\",\"start\":null}", "\"start\" is missing");
}

static void test_read_no_object(void **state) {
        static const char *const texts[] = { "[]", "null", "5", "\"mdev_type\"", "true",
                "[{\"mdev_type\":\"T\",\"start\":\"auto\"}]", " 5 " };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_refused(texts[i], "line 1, column ");
        assert_refused("[]", "line 1, column 1: not a JSON object");
        assert_refused("null\n", "line 1, column 1: not a JSON object");
}

static void test_read_no_json(void **state) {
        static const char *const texts[] = {
                "x", "{", "}", "{]", "{\"mdev_type\":\"T\",\"start\":\"auto\"",
                "{\"mdev_type\":\"T\",\"start\":\"auto\",}",
                "{\"mdev_type\":\"T\",\"start\":\"auto\",\"attrs\":[{\"a\":\"1\"},]}",
                "{\"mdev_type\":\"T\" \"start\":\"auto\"}", "{\"mdev_type\":\"T\",\"start\":\"auto\"}x",
                "{\"mdev_type\":\"T\",\"start\":\"auto\"}{}", "{\"mdev_type\":\"T\",\"start\":\"auto\"} }",
                "{'mdev_type':'T','start':'auto'}", "{mdev_type:\"T\",start:\"auto\"}",
                "/* x */{\"mdev_type\":\"T\",\"start\":\"auto\"}",
                "{\"mdev_type\":\"T\",/* x */\"start\":\"auto\"}",
                "{\"mdev_type\":\"T\",\"start\":\"auto\"} // x",
                "# x\n{\"mdev_type\":\"T\",\"start\":\"auto\"}",
                "\xef\xbb\xbf{\"mdev_type\":\"T\",\"start\":\"auto\"}",
                "{\"mdev_type\":\"T\",\"start\":True}", "{\"mdev_type\":\"T\",\"start\":nul}",
                "{\"mdev_type\":\"T\",\"start\":\"\\x41\"}", "{\"mdev_type\":\"T\",\"start\":\"\\u12\"}",
                "{\"mdev_type\":\"T\",\"start\":01}", "{\"mdev_type\":\"T\",\"start\":-}",
                "mdev_type=T\nstart=auto\n", /* the format before the JSON one */
        };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_refused(texts[i], "line ");
}

/* What json-c takes and nobody else, where mdevctl would not look at it either. */
static void test_read_what_is_nearly_json(void **state) {
        static const struct {
                const char *value, *reason;
        } nearly[] = {
                { "NaN", "" },
                { "nan", "" },
                { "Infinity", "" },
                { "-Infinity", "" },
                { "-", "" },
                { "+1", "" },
                { ".5", "" },
                { "1.", "" },
                { "1.e5", "" },
                { "1e", "" },
                { "1e+", "" },
                { "01", "" },
                { "-01", "" },
                { "1e999", "too large" },
                { "-1e999", "too large" },
                { "0x1", "" },
                { "1f", "" },
                { "True", "" },
                { "'x'", "" },
                { "\"\t\"", "a control character in a string" },
                { "\"\n\"", "a control character in a string" },
                { "\"\x1f\"", "a control character in a string" },
                { "\"\\ud800\"", "half a character in a string" },
                { "\"\\ud800x\"", "half a character in a string" },
                { "\"\\ud800\\u0041\"", "half a character in a string" },
                { "\"\\ud800\\ud800\"", "half a character in a string" },
                { "\"\\uDFFF\"", "half a character in a string" },
                { "\"\\udc00\\ud800\"", "half a character in a string" },
        };
        static const char *const whole[] = { "0", "-0", "10", "0.50", "-1.5e-7", "1E+300", "1e-999", "true",
                "false", "null", "\"\\\\ud800\"", "\"\\ud83d\\ude00\"", "\"\x7f\"", "\"\\u0001\"" };
        char text[128];

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(nearly); i++) {
                (void) snprintf(text, sizeof text, "{\"mdev_type\":\"T\",\"start\":\"auto\",\"x\":%s}",
                                nearly[i].value);
                assert_refused(text, nearly[i].reason);
                (void) snprintf(text, sizeof text, "{\"mdev_type\":\"T\",\"start\":\"auto\",\"x\":[%s , {}]}",
                                nearly[i].value);
                assert_refused(text, nearly[i].reason);
        }
        assert_refused("{\"mdev_type\":\"T\",\n'start':\"auto\"}", "line 2, column 1: ");
        assert_refused("{\"mdev_type\":\"T\",\"start\":\"auto\",\n \"\\ud800\":1}",
                        "line 2, column 3: half a");
        assert_refused("{\"mdev_type\":\"T\",\v\"start\":\"auto\"}", "");

        for (size_t i = 0; i < ELEMENTSOF(whole); i++) {
                (void) snprintf(text, sizeof text, "{\"mdev_type\":\"T\",\"start\":\"auto\",\"x\":%s}",
                                whole[i]);
                assert_parses(text, "T", true, "");
        }
}

static void test_read_positions(void **state) {
        (void) state;

        assert_refused("", "line 1, column 1: the text ends too early");
        assert_refused("\n\n", "line 3, column 1: the text ends too early");
        assert_refused("{\n  \"mdev_type\": \"T\",\n", "line 3, column 1: the text ends too early");
        assert_refused("x", "line 1, column 1: ");
        assert_refused("{\n  x", "line 2, column 3: ");
        assert_refused("{\n  \"mdev_type\": \"T\",\n  \"start\": \"auto\",,\n}", "line 3, column 19: ");
        assert_refused("{}\n\n  x", "line 3, column 3: ");
        assert_refused("[\n]", "line 1, column 1: not a JSON object");
}

static void test_read_encoding(void **state) {
        static const char *const wrong[] = { "\xff", "\xc3", "\xc3(", "\xc0\xaf", "\xed\xa0\x80",
                "\xf8\x88\x80\x80\x80", "\xe2\x82" };
        char text[128];

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                (void) snprintf(text, sizeof text,
                                "{\"mdev_type\":\"T\",\"start\":\"auto\",\"attrs\":[{\"a\":\"%s\"}]}",
                                wrong[i]);
                assert_refused(text, "");
                (void) snprintf(text, sizeof text, "{\"mdev_type\":\"%s\",\"start\":\"auto\"}", wrong[i]);
                assert_refused(text, "");
        }
        assert_refused("{\"mdev_type\":\"T\",\"start\":\"auto\"}\xff", "");
        assert_refused("{\"mdev_type\":\"T\",\"start\":\"\xff\"}", ""); /* also where nobody looks */
        assert_refused("{\"mdev_type\":\"T\",\"start\":\"auto\",\"x\":\"\xc3\"}", "");
        assert_refused("{\"mdev_type\":\"T\",\"start\":\"auto\",\"\xff\":1}", "");
        assert_parses("{\"mdev_type\":\"T\",\"start\":\"auto\","
                      "\"attrs\":[{\"a\":\"\\u00e9\\u20ac\\ud83d\\ude00\xc3\xa9\"}]}",
                        "T", true, "a=\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9");
        assert_parses("{\"mdev_type\":\"T\",\"start\":\"auto\","
                      "\"attrs\":[{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\"}]}",
                        "T", true, "a=\"\\/\b\f\n\r\t\x01");
}

/* A NUL never ends a text, a name or a key before its end. */
static void test_read_nul(void **state) {
        static const char within[] = "{\"mdev_type\":\"T\",\"start\":\"auto\"\0}",
                          behind[] = "{\"mdev_type\":\"T\",\"start\":\"auto\"}\0",
                          hidden[] = "{\"mdev_type\":\"T\",\"start\":\"auto\"}\0{\"mdev_type\":\"U\"}",
                          in_string[] = "{\"mdev_type\":\"T\0U\",\"start\":\"auto\"}";

        (void) state;

        assert_refused_bytes(within, sizeof within - 1, "line 1, column 32: ");
        assert_refused_bytes(behind, sizeof behind - 1, "line 1, column 33: unexpected character");
        assert_refused_bytes(hidden, sizeof hidden - 1, "line 1, column 33: unexpected character");
        assert_refused_bytes(in_string, sizeof in_string - 1, "line 1, column ");
        assert_refused_bytes("\0", 1, "line 1, column 1: ");
        assert_refused("{\"mdev_type\\u0000\":\"T\",\n\"start\":\"auto\"}",
                        "line 1, column 12: a NUL in a string");
        assert_refused("{\"mdev_type\":\"T\",\n\"start\":\"auto\",\"x\":\"\\\\\\u0000\"}",
                        "line 2, column 23: a NUL");
        assert_parses("{\"mdev_type\":\"T\",\"start\":\"auto\",\"a\\\\u0000\":\"b\"}", "T", true, "");
}

/* The text need not end with a NUL: what is behind it is not looked at. */
static void test_read_exact_size(void **state) {
        static const char text[] = "{\"mdev_type\":\"T\",\"start\":\"auto\"}";
        char *exact = malloc(sizeof text - 1);
        Definition d;

        (void) state;

        assert_non_null(exact);
        memcpy(exact, text, sizeof text - 1);
        assert_int_equal(codec_parse(exact, sizeof text - 1, &uuid, PARENT, &d, NULL), 0);
        definition_done(&d);
        for (size_t n = 0; n < sizeof text - 1; n++) {
                char *part = malloc(n);

                memcpy(part, text, n);
                assert_int_equal(codec_parse(part, n, &uuid, PARENT, &d, NULL), -EBADMSG);
                free(part);
        }
        free(exact);
}

static char *nested(unsigned depth) {
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert_non_null(f);
        fputs("{\"mdev_type\":\"T\",\"start\":\"auto\",\"x\":", f);
        for (unsigned i = 0; i < depth; i++)
                fputc('[', f);
        for (unsigned i = 0; i < depth; i++)
                fputc(']', f);
        fputs("}", f);
        assert_int_equal(fclose(f), 0);
        return text;
}

static void test_read_depth(void **state) {
        _cleanup_(freep) char *deep = nested(DEFINITION_DEPTH_MAX - 2),
                              *too_deep = nested(DEFINITION_DEPTH_MAX), *far_too_deep = nested(100000);

        (void) state;

        assert_parses(deep, "T", true, "");
        assert_refused(too_deep, "line 1, column ");
        assert_refused(far_too_deep, "line 1, column ");
}

static void test_read_size(void **state) {
        static const char text[] = "{\"mdev_type\":\"T\",\"start\":\"auto\"}";
        _cleanup_(freep) char *padded = malloc(DEFINITION_TEXT_MAX + 1);
        Definition d;

        (void) state;

        assert_non_null(padded);
        memset(padded, ' ', DEFINITION_TEXT_MAX + 1);
        memcpy(padded, text, sizeof text - 1);
        assert_int_equal(codec_parse(padded, DEFINITION_TEXT_MAX, &uuid, PARENT, &d, NULL), 0);
        definition_done(&d);
        assert_refused_bytes(padded, DEFINITION_TEXT_MAX + 1, "larger than 524288 bytes");
}

/* Writing */

static char *format(const Definition *d, const char *original) {
        char *text = NULL;
        size_t size = 4711;

        assert_int_equal(codec_format(d, original, original ? strlen(original) : 0, &text, &size), 0);
        assert_int_equal(strlen(text), size);
        return text;
}

/* @attributes: name, value, name, value, NULL. */
static Definition make(const char *type, bool autostart, const char *const *attributes) {
        Definition d = {
                .uuid = uuid, .autostart = autostart, .parent = strdup(PARENT), .type = strdup(type)
        };

        assert_non_null(d.parent);
        assert_non_null(d.type);
        for (; attributes && *attributes; attributes += 2)
                assert_int_equal(attributes_append(&d.attributes, attributes[0], attributes[1]), 0);
        return d;
}

static void assert_formats(
                const char *type, bool autostart, const char *const *attributes, const char *expected) {
        _cleanup_(definition_done) Definition d = make(type, autostart, attributes), again = {};
        _cleanup_(freep) char *text = format(&d, NULL);

        assert_string_equal(text, expected);
        assert_int_equal(parse(text, &again, NULL), 0);
        assert_true(definition_equal(&d, &again));
}

/* Written by mdevctl. */
static void test_write(void **state) {
        static const char *const attributes[] = { "assign_adapter", "5", "assign_adapter", "0x6", "grp/x",
                "a\"b\\c/d\tnew\nline\r\b\f\001\037\177\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 ", "e", "",
                NULL };

        (void) state;

        assert_formats("T", false, NULL,
                        "{\n  \"mdev_type\": \"T\",\n  \"start\": \"manual\",\n  \"attrs\": []\n}");
        assert_formats("T", true, attributes,
                        "{\n  \"mdev_type\": \"T\",\n  \"start\": \"auto\",\n  \"attrs\": [\n"
                        "    {\n      \"assign_adapter\": \"5\"\n    },\n"
                        "    {\n      \"assign_adapter\": \"0x6\"\n    },\n"
                        "    {\n      \"grp/x\": \"a\\\"b\\\\c/d\\tnew\\nline\\r\\b\\f\\u0001\\u001f\177"
                        "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \"\n    },\n"
                        "    {\n      \"e\": \"\"\n    }\n  ]\n}");
        assert_formats("q\"t\\\xc3\xbc", false, NULL,
                        "{\n  \"mdev_type\": \"q\\\"t\\\\\xc3\xbc\",\n  \"start\": \"manual\","
                        "\n  \"attrs\": []\n}");
        assert_formats("", true, NULL,
                        "{\n  \"mdev_type\": \"\",\n  \"start\": \"auto\",\n  \"attrs\": []\n}");
}

/* Every control character, in the form that serde_json gives it. */
static void test_write_control_characters(void **state) {
        (void) state;

        for (int c = 1; c < 0x20; c++) {
                const char value[] = { 'x', (char) c, 'y', '\0' }, *const attributes[] = { "a", value, NULL },
                           short_forms[] = "btn.fr"; /* from 8 to 13 */
                char escape[8], expected[256];

                if (c >= 8 && c <= 13 && c != 11)
                        (void) snprintf(escape, sizeof escape, "\\%c", short_forms[c - 8]);
                else
                        (void) snprintf(escape, sizeof escape, "\\u%04x", (unsigned) c);
                (void) snprintf(expected, sizeof expected,
                                "{\n  \"mdev_type\": \"T\",\n  \"start\": \"manual\","
                                "\n  \"attrs\": [\n    {\n"
                                "      \"a\": \"x%sy\"\n    }\n  ]\n}",
                                escape);
                assert_formats("T", false, attributes, expected);
        }
}

static void assert_rewrites(const char *original, const char *expected) {
        static const char *const attributes[] = { "a", "1", NULL };
        _cleanup_(definition_done) Definition d = make("new", true, attributes), again = {};
        _cleanup_(freep) char *text = format(&d, original), *second = NULL;
        char whole[1024];

        (void) snprintf(whole, sizeof whole,
                        "{\n  \"mdev_type\": \"new\",\n  \"start\": \"auto\",\n  \"attrs\": [\n    {\n"
                        "      \"a\": \"1\"\n    }\n  ]%s\n}",
                        expected);
        assert_string_equal(text, whole);

        /* Nothing is lost or added the next time. */
        second = format(&d, text);
        assert_string_equal(second, text);
        assert_int_equal(parse(text, &again, NULL), 0);
        assert_true(definition_equal(&d, &again));
}

static void test_write_keeps_unknown_keys(void **state) {
        (void) state;

        assert_rewrites("{\"z\":1,\"mdev_type\":\"old\",\"a\":\"x\\ny\\/\",\"start\":\"manual\","
                        "\"attrs\":[{\"b\":\"2\"}],"
                        "\"m\":null}",
                        ",\n  \"z\": 1,\n  \"a\": \"x\\ny/\",\n  \"m\": null");
        assert_rewrites("{\"mdevd\":{\"k\":[1,-2,3.50,1E3,true,false,null,\"]}\"],\"o\":{}},\"e\":[],"
                        "\"\":\"\",\"q\\\"\":0}",
                        ",\n  \"mdevd\": {\"k\":[1,-2,3.50,1E3,true,false,null,\"]}\"],\"o\":{}},\n"
                        "  \"e\": [],\n  \"\": \"\",\n  \"q\\\"\": 0");
        assert_rewrites("\n{ \"x\" :\t\"\\u00e9\\\\\" , \"y\"\n:\n{\n    \"a\": 1\n  }\n, "
                        "\"attrs\" : [ ]\n}\n",
                        ",\n  \"x\": \"\xc3\xa9\\\\\",\n  \"y\": {\"a\":1}");

        /* The last of a pair counts; a known key however it is written is not unknown. */
        assert_rewrites("{\"x\":18446744073709551615,\"y\":-9223372036854775808,\"d\":1e99}",
                        ",\n  \"x\": 18446744073709551615,\n  \"y\": -9223372036854775808,\n  \"d\": 1e99");
        assert_rewrites("{\"x\":1,\"y\":2,\"x\":3}", ",\n  \"x\": 3,\n  \"y\": 2");
        assert_rewrites("{\"mdev\\u005ftype\":\"old\",\"\\u0061ttrs\":5,\"start \":\"\",\"Start\":1}",
                        ",\n  \"start \": \"\",\n  \"Start\": 1");

        assert_rewrites("{ }", "");
}

static void test_write_over_what_has_no_keys(void **state) {
        static const char *const originals[] = { "", "x", "{", "[1,2]", "null", "\"x\"", "{}",
                "{\"mdev_type\":5,\"start\":null,\"attrs\":7}", "{\"x\":1}x" };

        (void) state;

        assert_rewrites(NULL, "");
        for (size_t i = 0; i < ELEMENTSOF(originals); i++)
                assert_rewrites(originals[i], "");
}

/* The largest definition that there can be is smaller than what can be read. */
static void test_write_largest(void **state) {
        _cleanup_(definition_done) Definition d = make("T", true, NULL), again = {};
        _cleanup_(freep) char *text = NULL;
        char value[64];

        (void) state;

        memset(value, '\1', sizeof value);
        value[61] = '\0'; /* 1024 times two, and 62: 65536 */
        for (unsigned i = 0; i < ATTRIBUTES_MAX; i++)
                assert_int_equal(attributes_append(&d.attributes, "a", value), 0);
        assert_int_equal(d.attributes.size, ATTRIBUTES_SIZE_MAX);
        text = format(&d, NULL);
        assert_true(strlen(text) > 6 * 61 * ATTRIBUTES_MAX && strlen(text) < DEFINITION_TEXT_MAX);
        assert_int_equal(parse(text, &again, NULL), 0);
        assert_true(definition_equal(&d, &again));
}

/* Keys that would make the file larger than it can be read are not written, and the caller hears of it. */
static void test_write_too_large(void **state) {
        _cleanup_(definition_done) Definition d = make("T", true, NULL);
        _cleanup_(freep) char *original = malloc(DEFINITION_TEXT_MAX + 1);
        char *text = NULL;
        size_t size = 0, n;

        (void) state;

        assert_non_null(original);
        n = (size_t) sprintf(original, "{\"x\":\"");
        memset(original + n, 'x', DEFINITION_TEXT_MAX - n - 2);
        strcpy(original + DEFINITION_TEXT_MAX - 2, "\"}");
        assert_int_equal(codec_format(&d, original, strlen(original), &text, &size), -EFBIG);
        assert_null(text);
        assert_int_equal(size, 0);
}

/* Texts that are nearly what they should be: never a read beyond the end; and what is taken can be written
 * over itself, and says the same then. */
static uint64_t random_state;

static uint32_t next_random(void) {
        random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t) (random_state >> 33);
}

static bool survives(const char *text, size_t size) {
        _cleanup_(definition_done) Definition d = {}, again = {};
        _cleanup_(freep) char *exact = malloc(size), *written = NULL, *second = NULL;
        size_t n = 0, n2 = 0;

        memcpy(exact, text, size);
        if (codec_parse(exact, size, &uuid, PARENT, &d, NULL) < 0)
                return false;
        assert_int_equal(codec_format(&d, exact, size, &written, &n), 0);
        assert_int_equal(codec_parse(written, n, &uuid, PARENT, &again, NULL), 0);
        assert_true(definition_equal(&d, &again));
        assert_int_equal(codec_format(&again, written, n, &second, &n2), 0);
        assert_string_equal(written, second);
        return true;
}

static void test_random(void **state) {
        static const char *const texts[] = {
                "{\"mdev_type\":\"T\",\"start\":\"auto\",\"x\":{\"a\":[1,\"}\\\"\",{}]},"
                "\"attrs\":[{\"a\":\"1\"}]}",
                "{ \"k\\u00e9\" : \"\\\\\" , \"mdev_type\" : \"T\" ,"
                "\n\"start\" : null , \"start\" : 5,\"\":[ ] }\n",
                "{\"y\":-1.5e3,\"mdev_type\":\"\",\"attrs\":null,\"start\":[],\"mdev_type\":\"\\u20ac\"}",
        };
        static const char interesting[] = "{}[]\",:\\u0 \n\t1-.eatrstx\0\x01\x7f\xc3\xa9";
        const char *seed = getenv("SEED");
        unsigned n_taken = 0;

        (void) state;

        random_state = seed ? strtoull(seed, NULL, 0) : 20180622;
        print_message("# seed %llu\n", (unsigned long long) random_state);
        for (unsigned round = 0; round < 30000; round++) {
                const char *from = texts[next_random() % ELEMENTSOF(texts)];
                char text[256];
                size_t size = strlen(from);

                memcpy(text, from, size);
                for (unsigned n = 1 + next_random() % 3; n > 0; n--) {
                        size_t at = next_random() % size;
                        char c = interesting[next_random() % (sizeof interesting - 1)];

                        switch (next_random() % 4) {
                        case 0:
                                text[at] = c;
                                break;
                        case 1:
                                memmove(text + at + 1, text + at, size - at);
                                text[at] = c;
                                size++;
                                break;
                        case 2:
                                memmove(text + at, text + at + 1, size - at - 1);
                                size -= size > 1;
                                break;
                        default:
                                memmove(text + at, text + next_random() % (at + 1),
                                                MIN(size - at, (size_t) 8));
                                break;
                        }
                }
                n_taken += survives(text, size);
        }
        assert_true(n_taken > 1000);
}

/* Scripts: what they answer is test-callout.c's. */

static void test_for_script(void **state) {
        static const struct {
                const char *text, *expected;
        } rows[] = {
                { "{\"mdev_type\":\"T\",\"start\":\"auto\"}",
                                "{\"mdev_type\":\"T\",\"start\":\"auto\",\"attrs\":[]}" },
                { "{\"x\":1,\"attrs\":[{\"a\":\"1\"},{\"a\":\"\"}],\"mdev_type\":\"T\",\"start\":0,\"mdevd\":{}}",
                                "{\"mdev_type\":\"T\",\"start\":\"manual\",\"attrs\":[{\"a\":\"1\"},{\"a\":\"\"}]}" },
                { "{\"mdev_type\":\"\xc3\xa9/\\\"\",\"start\":\"manual\",\"attrs\":[{\"b\":\"\\n\\u0001\\u007f\"}]}",
                                NULL },
                { "{\"mdev_type\":\"\xc3\xa9\\\"\",\"start\":\"manual\",\"attrs\":[{\"b\":\"/\\n\\u0001\\u007f\"}]}",
                                "{\"mdev_type\":\"\xc3\xa9\\\"\",\"start\":\"manual\",\"attrs\":[{\"b\":\"/\\n\\u0001\x7f\"}]}" },
        };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(definition_done) Definition d = {};
                _cleanup_(freep) char *text = NULL;

                if (!rows[i].expected) {
                        assert_int_equal(parse(rows[i].text, &d, NULL), -EBADMSG);
                        continue;
                }
                assert_int_equal(parse(rows[i].text, &d, NULL), 0);
                assert_int_equal(codec_format_for_script(&d, &text), 0);
                assert_string_equal(text, rows[i].expected);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_read),
                cmocka_unit_test(test_read_start),
                cmocka_unit_test(test_read_type),
                cmocka_unit_test(test_read_no_attributes),
                cmocka_unit_test(test_read_attributes),
                cmocka_unit_test(test_long_reason),
                cmocka_unit_test(test_read_bounds),
                cmocka_unit_test(test_read_unknown_keys),
                cmocka_unit_test(test_read_duplicate_keys),
                cmocka_unit_test(test_read_no_object),
                cmocka_unit_test(test_read_no_json),
                cmocka_unit_test(test_read_what_is_nearly_json),
                cmocka_unit_test(test_read_positions),
                cmocka_unit_test(test_read_encoding),
                cmocka_unit_test(test_read_nul),
                cmocka_unit_test(test_read_exact_size),
                cmocka_unit_test(test_read_depth),
                cmocka_unit_test(test_read_size),
                cmocka_unit_test(test_write),
                cmocka_unit_test(test_write_control_characters),
                cmocka_unit_test(test_write_keeps_unknown_keys),
                cmocka_unit_test(test_write_over_what_has_no_keys),
                cmocka_unit_test(test_write_largest),
                cmocka_unit_test(test_write_too_large),
                cmocka_unit_test(test_for_script),
                cmocka_unit_test(test_random),
        };

        return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit.h"

#include "model/name.h"

enum {
        TYPE = 1 << 0,
        PARENT = 1 << 1,
        ATTRIBUTE = 1 << 2,
        VALUE = 1 << 3,
        NAMES = TYPE | PARENT | ATTRIBUTE,
        ALL = NAMES | VALUE,
};

typedef struct Case {
        const char *text;
        unsigned valid; /* as what */
} Case;

static const Case cases[] = {
        /* What there is in the field. */
        { "0000:3b:00.0", ALL },
        { "mtty", ALL },
        { "matrix", ALL },
        { "0.0.26ab", ALL },
        { "css_0.0.001c", ALL },
        { "nvidia-35", ALL },
        { "vfio_ap-passthrough", ALL },
        { "i915-GVTg_V5_4", ALL },
        { "assign_adapter", ALL },
        { "nvidia/vgpu_params", ATTRIBUTE | VALUE },

        /* Odd, but names. */
        { "a", ALL },
        { "a b", ALL },
        { " ", ALL },
        { "...", ALL },
        { "..a", ALL },
        { "a..", ALL },
        { ".a", ALL },
        { ".hidden", ALL },
        { "-f", ALL },
        { "~", ALL },
        { "$(reboot)", ALL },
        { "%s%n", ALL },
        { "*", ALL },
        { "\\", ALL },
        { "\"", ALL },
        { "gr\xc3\xb6\xc3\x9f"
          "e",
                        ALL },

        /* No path component. */
        { "", VALUE },
        { ".", VALUE },
        { "..", VALUE },
        { "/", VALUE },
        { "//", VALUE },
        { "/a", VALUE },
        { "a/", VALUE },
        { "a//b", VALUE },
        { "../a", VALUE },
        { "./a", VALUE },
        { "a/..", VALUE },
        { "a/.", VALUE },
        { "a/../b", VALUE },
        { "a/./b", VALUE },
        { "../../../../etc/passwd", VALUE },
        { "/etc/passwd", VALUE },
        { "a/b", ATTRIBUTE | VALUE },
        { "a/b/c/d/e", ATTRIBUTE | VALUE },
        { "a/...", ATTRIBUTE | VALUE },
        { "a/..b", ATTRIBUTE | VALUE },
        { ".a/.b", ATTRIBUTE | VALUE },

        /* Control characters: no name, but a value may have lines. */
        { "\n", VALUE },
        { "a\n", VALUE },
        { "\ta", VALUE },
        { "a\rb", VALUE },
        { "\x01", VALUE },
        { "\x1f", VALUE },
        { "\x1b[31m", VALUE },
        { "a\x7f", VALUE },
        { "a/\x7f", VALUE },
        { "a\n/b", VALUE },

        /* The directory of mdevctl's scripts lies among the parents. */
        { "scripts.d", TYPE | ATTRIBUTE | VALUE },
        { "scripts.d2", ALL },
        { "scripts", ALL },
        { "Scripts.d", ALL },
        { "scripts.d/x", ATTRIBUTE | VALUE },

        /* The kernel's own, by themselves and as a directory; only as the first component and only whole. */
        { "driver", TYPE | PARENT | VALUE },
        { "driver_override", TYPE | PARENT | VALUE },
        { "iommu", TYPE | PARENT | VALUE },
        { "iommu_group", TYPE | PARENT | VALUE },
        { "mdev_type", TYPE | PARENT | VALUE },
        { "power", TYPE | PARENT | VALUE },
        { "remove", TYPE | PARENT | VALUE },
        { "subsystem", TYPE | PARENT | VALUE },
        { "uevent", TYPE | PARENT | VALUE },
        { "vfio-dev", TYPE | PARENT | VALUE },
        { "driver/unbind", VALUE },
        { "power/control", VALUE },
        { "mdev_type/create", VALUE },
        { "iommu_group/type", VALUE },
        { "subsystem/drivers_autoprobe", VALUE },
        { "vfio-dev/vfio0/uevent", VALUE },
        { "remove/", VALUE },
        { "/remove", VALUE },
        { "./remove", VALUE },
        { "a/../remove", VALUE },
        { "remov", ALL },
        { "remove2", ALL },
        { "Remove", ALL },
        { "remove ", ALL },
        { "drive", ALL },
        { "driver_", ALL },
        { "driver_overrid", ALL },
        { "power_limit", ALL },
        { "iommu_groups", ALL },
        { "iommu_grou", ALL },
        { "mdev_types", ALL },
        { "vfio-de", ALL },
        { "vfio-dev0", ALL },
        { "group/power", ATTRIBUTE | VALUE },
        { "group/remove", ATTRIBUTE | VALUE },

        /* UTF-8: the least and the greatest of each length. */
        { "\x7e", ALL },
        { "\xc2\xa0", ALL },
        { "\xdf\xbf", ALL },
        { "\xe0\xa0\x80", ALL },
        { "\xef\xbf\xbd", ALL },
        { "\xf0\x90\x80\x80", ALL },
        { "\xf4\x8f\xbf\xbd", ALL },
        { "\xed\x9f\xbf", ALL }, /* U+D7FF, just below the surrogates */
        { "\xee\x80\x80", ALL }, /* U+E000, just above */
        { "\xef\xb7\x8f", ALL }, /* U+FDCF and U+FDF0, on either side of a row of non-characters */
        { "\xef\xb7\xb0", ALL },

        /* Longer than needed. */
        { "\xc0\x80", 0 },
        { "\xc0\xaf", 0 }, /* a slash */
        { "\xc0\xae\xc0\xae", 0 },
        { "\xc1\xbf", 0 },
        { "\xe0\x80\xaf", 0 },
        { "\xe0\x9f\xbf", 0 },
        { "\xf0\x80\x80\xaf", 0 },
        { "\xf0\x8f\xbf\xbf", 0 },

        /* Surrogates, beyond the last, non-characters. */
        { "\xed\xa0\x80", 0 },
        { "\xed\xad\xbf", 0 },
        { "\xed\xbf\xbf", 0 },
        { "\xed\xa0\xbd\xed\xb8\x80", 0 },
        { "\xf4\x90\x80\x80", 0 },
        { "\xf7\xbf\xbf\xbf", 0 },
        { "\xf8\x88\x80\x80\x80", 0 },
        { "\xfc\x84\x80\x80\x80\x80", 0 },
        { "\xf8\x90\x80\x80", 0 },
        { "\xfb\xbf\xbf\xbf", 0 },
        { "\xfe\x90\x80\x80", 0 },
        { "\xff\x90\x80\x80", 0 },
        { "\xfe", 0 },
        { "\xff", 0 },
        { "\xef\xbf\xbe", 0 },
        { "\xef\xbf\xbf", 0 },
        { "\xef\xb7\x90", 0 },
        { "\xef\xb7\xaf", 0 },
        { "\xf0\x9f\xbf\xbe", 0 },
        { "\xf0\x9f\xbf\xbf", 0 },
        { "\xf4\x8f\xbf\xbe", 0 },
        { "\xf4\x8f\xbf\xbf", 0 },

        /* Cut short, continued without a beginning, interrupted. */
        { "\x80", 0 },
        { "\xbf", 0 },
        { "a\x80", 0 },
        { "\xc2", 0 },
        { "\xc2"
          "a",
                        0 },
        { "\xc2\xc2\xa0", 0 },
        { "\xe2\x82", 0 },
        { "\xe2\x82"
          "a",
                        0 },
        { "\xe2"
          "a\xac",
                        0 },
        { "\xf0\x9f\x98", 0 },
        { "\xf0\x9f\x98"
          "a",
                        0 },
        { "\xc3\xa4\xa4", 0 },
        { "a/\xff", 0 },
        { "\xff/a", 0 },
        { "ISO \xe4\xf6\xfc", 0 },
};

static unsigned valid_as(const char *text) {
        return (type_name_is_valid(text) ? TYPE : 0U) | (parent_name_is_valid(text) ? PARENT : 0U) |
                        (attribute_name_is_valid(text) ? ATTRIBUTE : 0U) |
                        (attribute_value_is_valid(text) ? VALUE : 0U);
}

static void test_case(void **state) {
        const Case *c = *state;

        assert_int_equal(valid_as(c->text), c->valid);
        assert_int_equal(text_is_utf8(c->text), c->valid != 0);
}

/* "aaaa…", @n characters, with @at replaced by a slash. */
static const char *repeated(size_t n, size_t at) {
        static char text[8192];

        memset(text, 'a', n);
        text[n] = '\0';
        if (at < n)
                text[at] = '/';
        return text;
}

static void test_bounds(void **state) {
        (void) state;

        assert_int_equal(valid_as(repeated(1, SIZE_MAX)), ALL);
        assert_int_equal(valid_as(repeated(254, SIZE_MAX)), ALL);
        assert_int_equal(valid_as(repeated(NAME_LENGTH_MAX, SIZE_MAX)), ALL);
        assert_int_equal(NAME_LENGTH_MAX, 255);
        assert_int_equal(valid_as(repeated(256, SIZE_MAX)), VALUE);

        /* 255 and 255 with a slash between is 511. */
        assert_int_equal(ATTRIBUTE_NAME_LENGTH_MAX, 511);
        assert_int_equal(valid_as(repeated(511, 255)), ATTRIBUTE | VALUE);
        assert_int_equal(valid_as(repeated(511, 254)), VALUE);
        assert_int_equal(valid_as(repeated(511, 256)), VALUE);
        assert_int_equal(valid_as(repeated(510, 254)), ATTRIBUTE | VALUE);

        assert_int_equal(ATTRIBUTE_VALUE_LENGTH_MAX, 4095);
        assert_int_equal(valid_as(repeated(4095, SIZE_MAX)), VALUE);
        assert_int_equal(valid_as(repeated(4096, SIZE_MAX)), 0);
}

/* More than two components may fill the 511 characters, but not pass them. */
static void test_many_components(void **state) {
        char text[600];

        (void) state;

        for (size_t n = 1; n < sizeof text - 1; n++) {
                for (size_t i = 0; i < n; i++)
                        text[i] = i % 2 ? '/' : 'a';
                text[n] = '\0';
                assert_int_equal(attribute_name_is_valid(text), n % 2 == 1 && n <= 511);
        }
}

/* The bounds are of bytes. */
static void test_bounds_of_bytes(void **state) {
        char text[512] = "";

        (void) state;

        for (size_t n = 0; n < 85; n++)
                strcat(text, "\xe2\x82\xac");
        assert_int_equal(strlen(text), 255);
        assert_int_equal(valid_as(text), ALL);
        strcat(text, "\xc3\xa4");
        assert_int_equal(valid_as(text), VALUE);
}

/* Every character there is, encoded by the rule, against its definition. */
static void test_every_character(void **state) {
        (void) state;

        for (uint32_t c = 1; c < 0x120000; c++) {
                bool surrogate = c >= 0xd800 && c<0xe000, beyond = c> 0x10ffff;
                bool non_character = (c >= 0xfdd0 && c < 0xfdf0) || (c % 0x10000 >= 0xfffe);
                char text[5] = {};

                if (c < 0x80)
                        text[0] = (char) c;
                else if (c < 0x800) {
                        text[0] = (char) (0xc0 + c / 64);
                        text[1] = (char) (0x80 + c % 64);
                } else if (c < 0x10000) {
                        text[0] = (char) (0xe0 + c / 4096);
                        text[1] = (char) (0x80 + c / 64 % 64);
                        text[2] = (char) (0x80 + c % 64);
                } else {
                        text[0] = (char) (0xf0 + c / 262144);
                        text[1] = (char) (0x80 + c / 4096 % 64);
                        text[2] = (char) (0x80 + c / 64 % 64);
                        text[3] = (char) (0x80 + c % 64);
                }

                if (text_is_utf8(text) != (!surrogate && !beyond && !non_character))
                        fail_msg("U+%04X", (unsigned) c);
        }
}

/* Every sequence of two bytes, against the rule. */
static void test_every_pair_of_bytes(void **state) {
        (void) state;

        for (unsigned a = 1; a < 256; a++)
                for (unsigned b = 1; b < 256; b++) {
                        bool valid = (a < 0x80 && b < 0x80) ||
                                        (a >= 0xc2 && a < 0xe0 && b >= 0x80 && b < 0xc0);

                        if (text_is_utf8((char[]){ (char) a, (char) b, '\0' }) != valid)
                                fail_msg("bytes %02x %02x", a, b);
                }
}

/* Characters of each length, cut everywhere. */
static void test_whole_size(void **state) {
        static const char text[] = "a\xc3\xa9\xe2\x80\xa6\xf0\x9f\x98\x80z";
        static const size_t expected[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11 };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(expected); i++)
                assert_int_equal(text_whole_size(text, i), expected[i]);

        /* What is no character at all is kept, and nothing in front of it is looked at. */
        assert_int_equal(text_whole_size("\x80\x80\x80\x80\x80", 5), 5);
        assert_int_equal(text_whole_size("\x80", 1), 1);
        assert_int_equal(text_whole_size("a\x80", 2), 2);
        assert_int_equal(text_whole_size("\xff", 1), 0);
}

#define N_FIXED 6

int main(void) {
        static struct CMUnitTest tests[ELEMENTSOF(cases) + N_FIXED] = {
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_many_components),
                cmocka_unit_test(test_bounds_of_bytes),
                cmocka_unit_test(test_every_character),
                cmocka_unit_test(test_every_pair_of_bytes),
                cmocka_unit_test(test_whole_size),
        };
        static char names[ELEMENTSOF(cases)][128];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *p = stpcpy(names[i], "name ");

                /* Only what any terminal and any reader of TAP can take. */
                for (const char *s = cases[i].text; *s != '\0'; s++)
                        if (*s > ' ' && *s < 0x7f && *s != '\\' && *s != '#')
                                *p++ = *s;
                        else
                                p += sprintf(p, "<%02x>", (unsigned char) *s);
                tests[N_FIXED + i] = (struct CMUnitTest){
                        .name = names[i],
                        .test_func = test_case,
                        .initial_state = (void *) &cases[i],
                };
        }

        return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}

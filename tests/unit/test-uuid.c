/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit.h"

#include "model/uuid.h"

#define LOWER "00112233-4455-6677-8899-aabbccddeeff"
#define UPPER "00112233-4455-6677-8899-AABBCCDDEEFF"
#define MIXED "00112233-4455-6677-8899-aAbBcCdDeEfF"
#define DIGITS "00112233445566778899aabbccddeeff"

static const Uuid expected = { { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc,
                0xdd, 0xee, 0xff } };

static const struct {
        const char *text;
        bool canonical;
} accepted[] = {
        { LOWER, true },
        { UPPER, false },
        { MIXED, false },
        { DIGITS, false },
        { "00112233445566778899AABBCCDDEEFF", false },
        { "{" LOWER "}", false },
        { "{" UPPER "}", false },
        { "{" DIGITS "}", false },
        { "urn:uuid:" LOWER, false },
        { "URN:UUID:" UPPER, false },
        { "Urn:uUiD:" MIXED, false },
        { "urn:uuid:" DIGITS, false },
};

static const char *const refused[] = {
        "",
        " ",
        "-",
        "0",
        "{}",
        "{",
        "}",
        "urn:uuid:",
        "urn:uuid",
        "urn:",
        "{" LOWER,
        "{" LOWER "x",
        "{" LOWER "{",
        "{" DIGITS ")",
        LOWER "}",
        "{{" LOWER "}}",
        "{" DIGITS "}}",
        "(" LOWER ")",
        "urn:uuid:{" LOWER "}",
        "{urn:uuid:" LOWER "}",
        "urn:uuid:urn:uuid:" LOWER,
        "uuid:" LOWER,
        "urn:uuid " LOWER,
        " " LOWER,
        LOWER " ",
        LOWER "\n",
        LOWER "0",
        LOWER "-",
        DIGITS "0",
        DIGITS "\n",
        /* One digit short, one too many, a dash in the wrong place, missing or doubled. */
        "0112233-4455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeef",
        "00112233-4455-6677-8899-aabbccddeefff",
        "0011223-34455-6677-8899-aabbccddeeff",
        "001122334-455-6677-8899-aabbccddeeff",
        "00112233-44556-677-8899-aabbccddeeff",
        "00112233-4455-66778-899-aabbccddeeff",
        "00112233-4455-6677-889-9aabbccddeeff",
        "00112233-4455-6677-88990aabbccddeeff",
        "001122330445506677088990aabbccddeeff",
        "00112233--4455-6677-8899-abbccddeeff",
        "00112233_4455_6677_8899_aabbccddeeff",
        "0011223344556677-8899-aabbccddeeff",
        "-0112233445566778899aabbccddeeff",
        "0011223-445566778899aabbccddeeff",
        "--------------------------------",
        "------------------------------------",
        /* No hexadecimal digits, though they look like it or strtoul() would take them. */
        "g0112233-4455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeefg",
        "0x112233-4455-6677-8899-aabbccddeeff",
        "+0112233-4455-6677-8899-aabbccddeeff",
        " 0112233-4455-6677-8899-aabbccddeeff",
        "0011223 -4455-6677-8899-aabbccddeeff",
        "\xef\xbc\x90"
        "12233-4455-6677-8899-aabbccddeeff",
        "0x112233445566778899aabbccddeeff",
        "g0112233445566778899aabbccddeeff",
        "0011223344556677 899aabbccddeeff",
        /* Names of other things that clients might mix up. */
        "0000:3b:00.0",
        "nvidia-35",
        "../../../../etc/passwd-aabbccddeeff0",
};

static void test_accepted(void **state) {
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(accepted); i++) {
                Uuid u = {};

                if (uuid_from_text(accepted[i].text, &u) != 0 || !uuid_equal(&u, &expected))
                        fail_msg("'%s' was read as %s", accepted[i].text, UUID_TEXT(&u));
        }
}

static void test_refused(void **state) {
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                Uuid u = expected;

                if (uuid_from_text(refused[i], &u) != -EINVAL)
                        fail_msg("'%s' was read as %s", refused[i], UUID_TEXT(&u));
                if (!uuid_equal(&u, &expected))
                        fail_msg("'%s' was refused, but written", refused[i]);
                if (uuid_from_canonical(refused[i], &u) != -EINVAL || !uuid_equal(&u, &expected))
                        fail_msg("'%s' was taken as canonical", refused[i]);
        }
}

/* Every single character of the canonical form, replaced by every byte that does not belong there. */
static void test_every_place(void **state) {
        (void) state;

        for (size_t i = 0; i < UUID_TEXT_SIZE - 1; i++)
                for (int c = 1; c < 256; c++) {
                        char text[UUID_TEXT_SIZE] = LOWER;
                        bool dash = LOWER[i] == '-', valid;
                        Uuid u;

                        text[i] = (char) c;
                        valid = dash ? c == '-' : c < 128 && strchr("0123456789abcdefABCDEF", c) != NULL;
                        if (uuid_from_text(text, &u) != (valid ? 0 : -EINVAL))
                                fail_msg("byte 0x%02x at %zu", (unsigned) c, i);

                        valid = dash ? c == '-' : c < 128 && strchr("0123456789abcdef", c) != NULL;
                        if (uuid_from_canonical(text, &u) != (valid ? 0 : -EINVAL))
                                fail_msg("canonical, byte 0x%02x at %zu", (unsigned) c, i);
                }
}

/* Long input is refused, not cut and not overrun. */
static void test_long(void **state) {
        char text[4096];
        Uuid u;

        (void) state;

        for (size_t n = 0; n < sizeof text; n++) {
                memset(text, 'a', n);
                text[n] = '\0';
                assert_int_equal(uuid_from_text(text, &u), n == 32 ? 0 : -EINVAL);
        }
}

static void test_canonical(void **state) {
        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(accepted); i++) {
                Uuid u = {};
                int r = uuid_from_canonical(accepted[i].text, &u);

                if (r != (accepted[i].canonical ? 0 : -EINVAL))
                        fail_msg("'%s': %d", accepted[i].text, r);
                if (accepted[i].canonical)
                        assert_true(uuid_equal(&u, &expected));
                else
                        assert_true(uuid_equal(&u, &(Uuid){}));
        }
}

static void test_to_text(void **state) {
        char buffer[UUID_TEXT_SIZE + 1];

        (void) state;

        memset(buffer, 'x', sizeof buffer);
        assert_ptr_equal(uuid_to_text(&expected, buffer), buffer);
        assert_string_equal(buffer, LOWER);
        assert_int_equal(buffer[UUID_TEXT_SIZE], 'x');
        assert_string_equal(UUID_TEXT(&(Uuid){}), "00000000-0000-0000-0000-000000000000");
}

/* Nil, all ones, and any version and variant: the kernel takes them all. */
static void test_any_bits(void **state) {
        (void) state;

        for (unsigned i = 0; i < 256; i++) {
                Uuid in, out = {};

                memset(in.bytes, (int) i, sizeof in.bytes);
                assert_int_equal(uuid_from_canonical(UUID_TEXT(&in), &out), 0);
                assert_memory_equal(in.bytes, out.bytes, sizeof in.bytes);
        }
}

static void test_order(void **state) {
        static const char *const ascending[] = {
                "00000000-0000-0000-0000-000000000000",
                "00000000-0000-0000-0000-000000000001",
                "00000000-0000-0000-0000-000000000100",
                "00000000-0000-0001-0000-000000000000",
                "7fffffff-ffff-ffff-ffff-ffffffffffff",
                "80000000-0000-0000-0000-000000000000",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
        };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(ascending); i++)
                for (size_t j = 0; j < ELEMENTSOF(ascending); j++) {
                        Uuid a, b;
                        int order;

                        assert_int_equal(uuid_from_text(ascending[i], &a), 0);
                        assert_int_equal(uuid_from_text(ascending[j], &b), 0);
                        order = uuid_order(&a, &b);
                        assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
                        assert_int_equal(uuid_equal(&a, &b), i == j);
                }
}

static void test_random(void **state) {
        Uuid previous = {};

        (void) state;

        for (unsigned i = 0; i < 1000; i++) {
                Uuid u = uuid_random(), again;

                assert_false(uuid_equal(&u, &previous));
                assert_int_equal(u.bytes[6] >> 4, 4);
                assert_int_equal(u.bytes[8] >> 6, 2);
                assert_int_equal(uuid_from_canonical(UUID_TEXT(&u), &again), 0);
                assert_true(uuid_equal(&u, &again));
                previous = u;
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_every_place),
                cmocka_unit_test(test_long),
                cmocka_unit_test(test_canonical),
                cmocka_unit_test(test_to_text),
                cmocka_unit_test(test_any_bits),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_random),
        };

        return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}

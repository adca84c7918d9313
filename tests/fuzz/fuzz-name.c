/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names and values as they come from clients and files: what is valid can be joined to a path, and leads
 * nowhere but down from where it is joined; and D-Bus will carry it. And numbers of the command line. */

#include <inttypes.h>

#include "fuzz/fuzz.h"
#include "model/attributes.h"
#include "model/name.h"
#include "tools/quantity.h"
#include "tools/text.h"

/* Another understanding of UTF-8: what decoding and encoding again leaves as it is. */
static bool is_utf8(const char *text) {
        for (const unsigned char *p = (const unsigned char *) text; *p;) {
                unsigned n = *p < 0x80      ? 1
                                : *p < 0xc0 ? 0
                                : *p < 0xe0 ? 2
                                : *p < 0xf0 ? 3
                                : *p < 0xf8 ? 4
                                            : 0;
                uint32_t c = n == 1 ? *p : *p & (0x7fU >> n);
                unsigned needed;

                if (n == 0)
                        return false;
                for (unsigned i = 1; i < n; i++) {
                        if (p[i] < 0x80 || p[i] > 0xbf)
                                return false;
                        c = c * 64 + (p[i] - 0x80U);
                }
                needed = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
                if (n != needed || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                        return false;
                if ((c >= 0xfdd0 && c < 0xfdf0) || c % 0x10000 >= 0xfffe)
                        return false;
                p += n;
        }

        return true;
}

static void check_path(const char *name, size_t max) {
        _cleanup_(freep) char *copy = strdup(name);

        ASSERT(copy);
        ASSERT(name[0] != '\0' && name[0] != '/' && name[strlen(name) - 1] != '/');
        ASSERT(strlen(name) <= max);
        ASSERT(is_utf8(name));
        for (const char *p = name; *p != '\0'; p++)
                ASSERT((unsigned char) *p >= 0x20 && *p != 0x7f);
        for (char *rest = copy, *part; (part = strsep(&rest, "/"));)
                ASSERT(part[0] != '\0' && !streq(part, ".") && !streq(part, ".."));
}

static void check_numbers(const char *text) {
        uint32_t number = 7, again;
        uint64_t usec = 7;
        char printed[16];

        if (text_to_number(text, &number) == 0) {
                (void) snprintf(printed, sizeof printed, "%" PRIu32, number);
                ASSERT(text_to_number(printed, &again) == 0 && again == number);
                ASSERT(text[0] == '+' || (text[0] >= '0' && text[0] <= '9'));
        } else
                ASSERT(number == 7);

        if (quantity_seconds(text, &usec) == 0)
                ASSERT(usec <= UINT64_C(1000000001) * 1000000);
        else
                ASSERT(usec == 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = fuzz_text(data, size), *shown = fuzz_text(data, size);
        _cleanup_(attributes_done) Attributes attributes = {};
        bool is_name = attribute_name_is_valid(text), is_value = attribute_value_is_valid(text);

        ASSERT(text_is_utf8(text) == is_utf8(text));
        ASSERT(text_make_printable(shown) == shown);
        ASSERT(text_is_utf8(shown) && strlen(shown) == strlen(text));
        ASSERT(!text_is_utf8(text) || streq(shown, text));

        if (type_name_is_valid(text)) {
                check_path(text, 255);
                ASSERT(!strchr(text, '/'));
        }
        ASSERT(parent_name_is_valid(text) == (type_name_is_valid(text) && !streq(text, "scripts.d")));
        if (is_name) {
                check_path(text, 511);
                ASSERT(!streq(text, "remove") && !startswith(text, "power/") && !startswith(text, "driver/"));
        }
        if (is_value)
                ASSERT(is_utf8(text) && strlen(text) < 4096);

        ASSERT((attributes_append(&attributes, text, "value") == 0) == is_name);
        ASSERT((attributes_append(&attributes, "name", text) == 0) == is_value);
        ASSERT(attributes.n == (uint32_t) is_name + is_value);
        FOREACH_ATTRIBUTE(name, value, &attributes)
                ASSERT(streq(name, text) || streq(value, text));
        while (attributes.n > 0)
                ASSERT(attributes_remove(&attributes, 0) == 0);
        ASSERT(attributes.size == 0);

        check_numbers(text);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdint.h>

#include "model/name.h"

/* What the mdev core and the driver core put into a device's directory. Writing there is never an attribute:
 * "remove" would destroy the device, "uevent" forge events, the links lead to other objects. */
static const char *const kernel_names[] = {
        "driver",
        "driver_override",
        "iommu",
        "iommu_group",
        "mdev_type",
        "power",
        "remove",
        "subsystem",
        "uevent",
        "vfio-dev",
};

/* The next character of @p, which is advanced; or UINT32_MAX, which no character is. */
static uint32_t next_character(const unsigned char **p) {
        static const uint32_t minimum[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const unsigned char *s = *p;
        unsigned length;
        uint32_t c;

        if (s[0] < 0x80) {
                length = 1;
                c = s[0];
        } else if ((s[0] & 0xe0) == 0xc0) {
                length = 2;
                c = s[0] & 0x1f;
        } else if ((s[0] & 0xf0) == 0xe0) {
                length = 3;
                c = s[0] & 0x0f;
        } else if ((s[0] & 0xf8) == 0xf0) {
                length = 4;
                c = s[0] & 0x07;
        } else
                return UINT32_MAX;

        for (unsigned i = 1; i < length; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return UINT32_MAX;
                c = (c << 6) | (s[i] & 0x3f);
        }

        *p = s + length;
        return c >= minimum[length] ? c : UINT32_MAX;
}

bool text_is_utf8(const char *text) {
        const unsigned char *p = (const unsigned char *) text;

        while (*p != '\0') {
                uint32_t c = next_character(&p);

                if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || (c >= 0xfdd0 && c <= 0xfdef) ||
                                (c & 0xfffe) == 0xfffe)
                        return false;
        }

        return true;
}

char *text_make_printable(char *text) {
        if (!text_is_utf8(text))
                for (char *p = text; *p != '\0'; p++)
                        if ((unsigned char) *p >= 0x80)
                                *p = '?';

        return text;
}

size_t text_whole_size(const char *text, size_t size) {
        size_t at = size, length;

        /* The last character's first byte says how long it is. */
        while (at > 0 && size - at < 3 && ((unsigned char) text[at - 1] & 0xc0) == 0x80)
                at--;
        if (at == 0)
                return size;
        at--;
        length = (unsigned char) text[at] >= 0xf0          ? 4
                        : (unsigned char) text[at] >= 0xe0 ? 3
                        : (unsigned char) text[at] >= 0xc0 ? 2
                                                           : 1;
        return at + length > size ? at : size;
}

static bool has_control_character(const char *text) {
        for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++)
                if (*p < 0x20 || *p == 0x7f)
                        return true;

        return false;
}

static bool component_is_valid(const char *s, size_t length) {
        if (length == 0 || length > NAME_LENGTH_MAX)
                return false;
        if (length <= 2 && memcmp(s, "..", length) == 0)
                return false;
        return !memchr(s, '/', length);
}

bool type_name_is_valid(const char *name) {
        return component_is_valid(name, strlen(name)) && !has_control_character(name) && text_is_utf8(name);
}

bool parent_name_is_valid(const char *name) {
        return type_name_is_valid(name) && !streq(name, SCRIPTS_FOLDER);
}

bool attribute_name_is_valid(const char *name) {
        size_t first = strcspn(name, "/");

        if (strlen(name) > ATTRIBUTE_NAME_LENGTH_MAX || has_control_character(name) || !text_is_utf8(name))
                return false;

        for (size_t i = 0; i < ELEMENTSOF(kernel_names); i++)
                if (strlen(kernel_names[i]) == first && memcmp(kernel_names[i], name, first) == 0)
                        return false;

        for (const char *p = name;;) {
                size_t n = strcspn(p, "/");

                if (!component_is_valid(p, n))
                        return false;
                if (p[n] == '\0')
                        return true;
                p += n + 1;
        }
}

bool attribute_value_is_valid(const char *value) {
        return strlen(value) <= ATTRIBUTE_VALUE_LENGTH_MAX && text_is_utf8(value);
}

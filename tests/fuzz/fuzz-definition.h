/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What holds for every definition and list of attributes, wherever it was read from. */

#include "fuzz/fuzz.h"
#include "host/codec.h"
#include "model/definition.h"
#include "model/name.h"

static inline void check_reason(const char *reason) {
        ASSERT(reason && reason[0] != '\0');
        ASSERT(text_is_utf8(reason));
        ASSERT(strlen(reason) <= CODEC_REASON_MAX);
}

static inline void check_attributes(const Attributes *a) {
        uint32_t n = 0;

        ASSERT(a->n <= ATTRIBUTES_MAX && a->size <= ATTRIBUTES_SIZE_MAX);
        FOREACH_ATTRIBUTE(name, value, a) {
                ASSERT(attribute_name_is_valid(name) && attribute_value_is_valid(value));
                n++;
        }
        ASSERT(n == a->n);
}

static inline void check_definition(const Definition *d) {
        ASSERT(!d->parent || parent_name_is_valid(d->parent));
        ASSERT(isempty(d->type) || type_name_is_valid(d->type));
        check_attributes(&d->attributes);
}

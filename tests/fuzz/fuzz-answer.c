/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a script prints when it is asked for a device's attributes: what is taken is valid, and is the same as
 * attributes of a definition that is written and read. */

#include "fuzz/fuzz-definition.h"

static void check_as_definition(const Attributes *a) {
        _cleanup_(definition_done) Definition d = {}, again = {};
        _cleanup_(freep) char *text = NULL;
        size_t size;

        ASSERT(free_and_strdup(&d.parent, "parent") == 0 && free_and_strdup(&d.type, "type") == 0);
        ASSERT(attributes_copy(a, &d.attributes) == 0);
        ASSERT(codec_format(&d, NULL, 0, &text, &size) == 0);
        ASSERT(codec_parse(text, size, &d.uuid, d.parent, &again, NULL) == 0);
        ASSERT(definition_equal(&again, &d));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = fuzz_bytes(data, size);
        _cleanup_(attributes_done) Attributes a = {};
        _cleanup_(freep) char *reason = NULL;
        int r;

        r = codec_parse_answer(text, size, &a, &reason);
        if (r < 0) {
                ASSERT(r == -EBADMSG);
                check_reason(reason);
                ASSERT(a.n == 0 && !a.data);
                return 0;
        }

        ASSERT(!reason);
        check_attributes(&a);
        check_as_definition(&a);
        return 0;
}

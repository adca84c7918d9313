/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a script prints on its standard error, as people are shown it: text in any case, no longer than what
 * was kept of it, with no blanks at its end; and plain text as it is. The first byte says whether there was
 * more. */

#include "fuzz/fuzz.h"
#include "host/script.h"
#include "model/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t n = size > 0 ? size - 1 : 0;
        _cleanup_(script_result_done) ScriptResult result = {
                .errors = fuzz_text(data + (size > 0), n),
                .errors_size = n,
                .errors_cut = size > 0 && data[0] % 2 == 1,
        };
        _cleanup_(freep) char *said = script_result_said(&result);
        size_t length;

        if (!said) {
                ASSERT(strspn(result.errors, " \t\r\n") == strlen(result.errors) || result.errors_cut);
                return 0;
        }

        length = strlen(said);
        ASSERT(length > 0 && text_is_utf8(said));
        ASSERT(length <= n + strlen(" …"));
        ASSERT(!strchr(" \t\r\n", said[length - 1]));
        if (!result.errors_cut && strlen(result.errors) == n && text_is_utf8(result.errors))
                ASSERT(startswith(result.errors, said));
        if (result.errors_cut)
                ASSERT(length > strlen(" …") && streq(said + length - strlen(" …"), " …"));
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What every target includes first. A target is a file with one LLVMFuzzerTestOneInput(): libFuzzer feeds it
 * whatever it thinks of, replay.c what was kept. It states what must hold for any input; that nothing is read
 * or written out of bounds, or lost, the sanitizers see. */

#include <stdint.h>
#include <stdio.h>

#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ASSERT(claim)                                                               \
        do {                                                                        \
                if (!(claim)) {                                                     \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim); \
                        abort();                                                    \
                }                                                                   \
        } while (0)

/* A copy as a string; a NUL within ends it, as it would in a C program's hands. */
static inline char *fuzz_text(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);

        ASSERT(text);
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        return text;
}

/* A copy of exactly this size, so that one byte too far is seen. */
static inline char *fuzz_bytes(const uint8_t *data, size_t size) {
        char *bytes = calloc(1, size);

        ASSERT(bytes || size == 0);
        if (size > 0)
                memcpy(bytes, data, size);
        return bytes;
}

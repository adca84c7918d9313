/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Definition ⇄ the JSON text of its file, in mdevctl's format: read leniently as mdevctl reads, written byte
 * for byte as it writes. Wraps json-c. Pure computation; never blocks. */

#include "model/definition.h"

#define DEFINITION_TEXT_MAX \
        (512U * 1024U)          /* the bounds of model/name.h, escaped at the worst, and as much again */
#define DEFINITION_DEPTH_MAX 32 /* of nested JSON values */

/**
 * codec_parse() - read the text of a definition
 * @text, @size: the text; need not end with a NUL
 * @uuid, @parent: what the file's place says
 * @ret:         owned by the caller; overwritten on success only
 * @ret_reason:  on -EBADMSG: what is wrong and where ("line 3, column 7: …"), owned by the caller; may be
 * NULL
 *
 * Unknown keys are ignored, "start" is "auto" or else manual whatever it is, "attrs" may be absent or null.
 *
 * Return: 0; -EBADMSG; -ENOMEM.
 */
int codec_parse(const char *text, size_t size, const Uuid *uuid, const char *parent, Definition *ret,
                char **ret_reason);

/**
 * codec_format() - write the text of a definition
 * @original: the text that is replaced, whose unknown keys are kept behind the known ones (in json-c's
 * precision: integers beyond 64 bits are not); NULL if there is none. One that does not parse has no keys.
 * @ret:      the text, NUL-terminated, owned by the caller; no newline at its end, as mdevctl writes it
 *
 * Return: 0; -EFBIG if what is kept makes it larger than can be read; -ENOMEM.
 */
int codec_format(const Definition *d, const char *original, size_t original_size, char **ret,
                size_t *ret_size);

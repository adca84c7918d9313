/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Definition ⇄ the JSON text of its file, in mdevctl's format: read leniently as mdevctl reads, written byte
 * for byte as it writes; and the JSON that call-out scripts are given and answer. Wraps json-c. Pure
 * computation; never blocks. */

#include "model/capabilities.h"
#include "model/definition.h"

#define DEFINITION_TEXT_MAX \
        (512U * 1024U)          /* the bounds of model/name.h, escaped at the worst, and as much again */
#define DEFINITION_DEPTH_MAX 32 /* of nested JSON values */
#define CODEC_REASON_MAX 1024U  /* bytes of what is said to be wrong, in which a long name is cut short */

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

/* What a script is given: type, autostart and attributes in one line, as mdevctl writes it. @ret: owned by
 * the caller. Return: 0; -ENOMEM. */
int codec_format_for_script(const Definition *d, char **ret);

/* What a script is told that it can be asked: all of model/capabilities.h. Static. */
#define CODEC_PROVIDES                                                                                     \
        "{\"provides\":{\"version\":2,\"actions\":[\"start\",\"stop\",\"define\",\"undefine\",\"modify\"," \
        "\"attributes\",\"capabilities\"],\"events\":[\"pre\",\"post\",\"notify\",\"get\",\"live\"]}}"

/**
 * codec_parse_answer() - read the attributes that a script tells
 * @text, @size: its output; NULs and blanks at the end do not count, nothing and "[{}]" mean none
 * @ret: owned by the caller; overwritten on success only
 *
 * Return: 0; -EBADMSG, with @ret_reason as above; -ENOMEM.
 */
int codec_parse_answer(const char *text, size_t size, Attributes *ret, char **ret_reason);

/**
 * codec_parse_capabilities() - read what a script says it supports
 * @ret:         its actions and events are filled in on success
 * @ret_unknown: an action or event that we do not know, owned by the caller; NULL if there is none
 *
 * Return: 0; -EBADMSG if it says nothing of the kind; -ENOMEM.
 */
int codec_parse_capabilities(const char *text, size_t size, Capability *ret, char **ret_unknown);

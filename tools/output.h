/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Results go to stdout, and nothing else does; all else goes to stderr. */

#include <stdint.h>
#include <stdio.h>

#include "base/util.h"

/* Makes sure that stdin, stdout and stderr are there, so that nothing else gets their numbers; one that was
 * closed fails when it is used. To be called first of all. */
void output_start(void);

/* Writes out what is left. Return: @status; EXIT_FAILURE if not all could be written, and that was told. */
int output_finish(int status);

/* Says "Error: …" on stderr. Return: @error, which is a negative errno. */
int complain(int error, const char *format, ...) _printf_(2, 3);

/* Writes the UUID of a new device. What was done stays done if that fails, so then stderr tells the UUID.
 * @done: "defined" or "started". Return: 0; a negative errno, then that was told. */
int output_new_uuid(const char *uuid, const char *done);

/* JSON in the layout that mdevctl writes: two spaces for each level, "[]" if empty, no newline at the end. */
typedef struct Json {
        FILE *file;
        unsigned depth;
        bool is_filled; /* the innermost container has an element */
        bool is_keyed;  /* a key was written whose value follows */
} Json;

/* @bracket: '{' or '[', '}' or ']'. */
void json_open(Json *j, char bracket);
void json_close(Json *j, char bracket);
void json_key(Json *j, const char *key);
void json_string(Json *j, const char *value);
void json_number(Json *j, uint32_t value);

/* "true", "null", a number: written as it is. */
void json_word(Json *j, const char *word);

/* "key": "value" */
void json_pair(Json *j, const char *key, const char *value);

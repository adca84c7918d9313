/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The kernel log, for the one line that says why a driver refused. Never blocks. */

#include "base/util.h"

/* Opens /dev/kmsg at its end: what is read later was logged after this. Return: a descriptor, or a negative
 * errno (no such file, no permission), which kmsg_last_line() accepts. */
int kmsg_open(void);

/* The last line since kmsg_open() that mentions one of two words; owned by the caller. NULL: none, or @fd is
 * no descriptor. */
char *kmsg_last_line(int fd, const char *word, const char *other_word);

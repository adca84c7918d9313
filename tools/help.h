/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "tools/arguments.h"

/* Explains a verb, or the program. @program: the name it goes by. */
void help_write(FILE *f, const char *program, const Verb *verb);

/* What "--help" or "--version" asks for. */
void help_answer(const Arguments *a);

/* Says on stderr what is wrong with the command line, and how it should be. */
void help_complain(const Arguments *a);

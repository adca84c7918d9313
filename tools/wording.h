/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's sentences name methods and options of its API; here they name verbs and options of the
 * program. What is not known is left as it is. Return: a new string; NULL for want of memory. */
char *wording_translate(const char *sentence);

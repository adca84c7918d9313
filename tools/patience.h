/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tells whoever sits at a terminal what is being waited for, if it takes long. */

/* From now on, until patience_end() or the end of the program. Nothing is said where stderr is no terminal.
 * @what: the verb. */
void patience_begin(const char *what);

void patience_end(void);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What stdout can show. Elsewhere than on a terminal: no colour, no width, plain characters. */

#include <stdint.h>
#include <stdio.h>

#include "base/util.h"

typedef enum Colour {
        COLOUR_NONE,
        COLOUR_GOOD,  /* green */
        COLOUR_BUSY,  /* yellow */
        COLOUR_BAD,   /* red */
        COLOUR_FAINT, /* grey */
        COLOUR_HEADER,
        _COLOUR_MAX,
} Colour;

bool terminal_is_there(void);

/* Columns; SIZE_MAX: as many as one likes. */
size_t terminal_width(void);

/* Whether lines and bars can be drawn: a terminal, and a locale in UTF-8. */
bool terminal_can_draw(void);

/* How many columns a text takes. */
size_t text_width(const char *text);

/* Writes a text in a colour, with what would move the cursor replaced, padded to @width, and cut if it is
 * longer than @max. */
void terminal_write(const char *text, Colour colour, size_t width, size_t max);

/* The colour that goes with Device.State. */
Colour terminal_state_colour(const char *state);

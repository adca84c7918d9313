/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>
#include <wchar.h>
#include <wctype.h>

#include "tools/terminal.h"

#define WIDTH_USUAL 80U
#define WIDTH_LEAST 40U

static const char *const sequences[_COLOUR_MAX] = {
        [COLOUR_NONE] = "",
        [COLOUR_GOOD] = "\033[32m",
        [COLOUR_BUSY] = "\033[33m",
        [COLOUR_BAD] = "\033[31m",
        [COLOUR_FAINT] = "\033[90m",
        [COLOUR_HEADER] = "\033[4m",
};

bool terminal_is_there(void) {
        static int cached = -1;

        if (cached < 0)
                cached = isatty(STDOUT_FILENO);
        return cached;
}

/* https://no-color.org: set, and not empty. */
static bool has_colour(void) {
        return terminal_is_there() && isempty(getenv("NO_COLOR")) && !streq(strempty(getenv("TERM")), "dumb");
}

size_t terminal_width(void) {
        const char *columns = getenv("COLUMNS");
        struct winsize size;
        size_t width = 0;

        if (!terminal_is_there())
                return SIZE_MAX;
        if (!isempty(columns))
                width = (size_t) strtoul(columns, NULL, 10);
        if (width == 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) >= 0)
                width = size.ws_col;
        return width == 0 ? WIDTH_USUAL : MAX(width, (size_t) WIDTH_LEAST);
}

static bool locale_is_utf8(void) {
        static int cached = -1;

        if (cached < 0) {
                (void) setlocale(LC_CTYPE, "");
                cached = streq(nl_langinfo(CODESET), "UTF-8");
        }
        return cached;
}

bool terminal_can_draw(void) {
        return terminal_is_there() && locale_is_utf8();
}

/* One character. @ret_width: its columns; 0: it is nothing that can be shown. Return: its bytes. */
static size_t next_character(const char *text, size_t *ret_width) {
        unsigned char first = (unsigned char) *text;
        mbstate_t state = {};
        wchar_t c;
        size_t n;

        if (!locale_is_utf8()) {
                *ret_width = first >= ' ' && first != 0x7f && (first < 0x80 || !terminal_is_there());
                return 1;
        }

        *ret_width = 0;
        n = mbrtowc(&c, text, strlen(text), &state);
        if (n == 0 || n > strlen(text))
                return 1;
        if (iswprint((wint_t) c))
                *ret_width = (size_t) MAX(wcwidth(c), 0);
        return n;
}

size_t text_width(const char *text) {
        size_t sum = 0, width;

        while (*text) {
                text += next_character(text, &width);
                sum += MAX(width, (size_t) 1);
        }
        return sum;
}

void terminal_write(const char *text, Colour colour, size_t width, size_t max) {
        bool coloured = colour != COLOUR_NONE && *text && has_colour();
        const char *mark = locale_is_utf8() ? "…" : ">";
        size_t used = 0, whole = text_width(text);

        if (coloured)
                fputs(sequences[colour], stdout);
        while (*text) {
                size_t w, n = next_character(text, &w);

                if (whole > max && used + MAX(w, (size_t) 1) >= max) {
                        fputs(mark, stdout);
                        used++;
                        break;
                }
                if (w == 0)
                        fputc('?', stdout);
                else
                        fwrite(text, 1, n, stdout);
                used += MAX(w, (size_t) 1);
                text += n;
        }
        if (coloured)
                fputs("\033[0m", stdout);
        for (; used < width; used++)
                fputc(' ', stdout);
}

Colour terminal_state_colour(const char *state) {
        static const struct {
                const char *state;
                Colour colour;
        } colours[] = {
                { "active", COLOUR_GOOD },
                { "creating", COLOUR_BUSY },
                { "removing", COLOUR_BUSY },
                { "orphaned", COLOUR_BAD },
        };

        for (size_t i = 0; i < ELEMENTSOF(colours); i++)
                if (streq(colours[i].state, state))
                        return colours[i].colour;

        return COLOUR_NONE;
}

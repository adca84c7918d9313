/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "tools/output.h"
#include "tools/table.h"

#define GAP 2U        /* between columns */
#define LAST_LEAST 8U /* what is left of the last column on a narrow terminal */

void table_done(Table *t) {
        for (size_t i = 0; i < t->n; i++)
                free(t->cells[i].text);
        free(t->cells);
        *t = (Table){};
}

/* @text: is taken over; NULL: memory was short */
static void add(Table *t, char *text, Colour colour) {
        if (!text || grow((void **) &t->cells, &t->n_allocated, t->n + 1, sizeof *t->cells) < 0) {
                free(text);
                t->failed = true;
                return;
        }

        t->cells[t->n++] = (Cell){ text, colour };
}

void table_add(Table *t, const char *text, Colour colour) {
        add(t, strdup(text), colour);
}

void table_addf(Table *t, Colour colour, const char *format, ...) {
        va_list ap;
        char *text;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        add(t, n < 0 ? NULL : text, colour);
}

static size_t count_columns(const Table *t) {
        size_t n = 0;

        while (t->headers[n])
                n++;
        return n;
}

/* No blanks behind what is the last of its row. */
static void write_cell(const char *text, Colour colour, size_t width, bool is_last, size_t max) {
        terminal_write(text, colour, is_last ? 0 : width + GAP, is_last ? max : SIZE_MAX);
        if (is_last)
                fputc('\n', stdout);
}

int table_write(const Table *t) {
        size_t n_columns = count_columns(t), widths[TABLE_COLUMNS_MAX], used = 0, max = terminal_width();

        if (t->failed)
                return complain(-ENOMEM, "Not enough memory");
        if (t->n == 0)
                return 0;

        for (size_t c = 0; c < n_columns; c++) {
                widths[c] = text_width(t->headers[c]);
                for (size_t i = c; i < t->n; i += n_columns)
                        widths[c] = MAX(widths[c], text_width(t->cells[i].text));
                used += c + 1 < n_columns ? widths[c] + GAP : 0;
        }
        if (max != SIZE_MAX)
                max = max > used + LAST_LEAST ? max - used : LAST_LEAST;

        for (size_t c = 0; c < n_columns; c++)
                write_cell(t->headers[c], COLOUR_HEADER, widths[c], c + 1 == n_columns, max);
        for (size_t i = 0; i < t->n; i++)
                write_cell(t->cells[i].text, t->cells[i].colour, widths[i % n_columns],
                                (i + 1) % n_columns == 0, max);
        return 0;
}

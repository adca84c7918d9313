/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdarg.h>

#include "tools/output.h"
#include "tools/table.h"

#define GAP 2U         /* between columns */
#define WIDTH_LEAST 4U /* that a column is left with on a narrow terminal */

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

/* Takes from the last columns what is too much; never from the first, which says what the row is about. */
static void shrink(size_t *widths, size_t n_columns, size_t max) {
        size_t used = (n_columns - 1) * GAP;

        for (size_t c = 0; c < n_columns; c++)
                used += widths[c];
        for (size_t c = n_columns - 1; c > 0 && used > max; c--) {
                size_t spare = widths[c] > WIDTH_LEAST ? widths[c] - WIDTH_LEAST : 0,
                       less = MIN(spare, used - max);

                widths[c] -= less;
                used -= less;
        }
}

/* No blanks behind what is the last of its row. */
static void write_cell(const char *text, Colour colour, size_t width, bool is_last) {
        terminal_write(text, colour, is_last ? 0 : width, width);
        fputs(is_last ? "\n" : "  ", stdout);
}

int table_write(const Table *t) {
        size_t n_columns = count_columns(t), widths[TABLE_COLUMNS_MAX];

        if (t->failed)
                return complain(-ENOMEM, "Not enough memory");
        if (t->n == 0)
                return 0;

        for (size_t c = 0; c < n_columns; c++) {
                widths[c] = text_width(t->headers[c]);
                for (size_t i = c; i < t->n; i += n_columns)
                        widths[c] = MAX(widths[c], text_width(t->cells[i].text));
        }
        shrink(widths, n_columns, terminal_width());

        for (size_t c = 0; c < n_columns; c++)
                write_cell(t->headers[c], COLOUR_HEADER, widths[c], c + 1 == n_columns);
        for (size_t i = 0; i < t->n; i++)
                write_cell(t->cells[i].text, t->cells[i].colour, widths[i % n_columns],
                                (i + 1) % n_columns == 0);
        return 0;
}

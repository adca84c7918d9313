/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rows and columns for people: aligned, with a header, the last columns made narrower where a
 * terminal is too narrow for all. */

#include "tools/terminal.h"

#define TABLE_COLUMNS_MAX 8U

typedef struct Cell {
        char *text;
        Colour colour;
} Cell;

typedef struct Table {
        const char *const *headers; /* NULL-terminated; borrowed */
        Cell *cells;
        size_t n, n_allocated;
        bool failed; /* memory was short */
} Table;

void table_done(Table *t);

/* The next cell, row by row. @text: copied */
void table_add(Table *t, const char *text, Colour colour);
void table_addf(Table *t, Colour colour, const char *format, ...) _printf_(3, 4);

/* Writes all to stdout, nothing if there are no rows. Return: 0; a negative errno, then that was told. */
int table_write(const Table *t);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What mdevctl's JSON says of a device: its type, whether it starts by itself, and its attributes. */

#include "base/util.h"
#include "tools/output.h"

typedef struct Attribute {
        const char *name, *value;
} Attribute;

typedef struct Configuration {
        const char *type;
        bool autostart;
        Attribute *attributes; /* in order, duplicates allowed */
        size_t n_attributes, n_allocated;
} Configuration;

void configuration_done(Configuration *c);

/* Both strings are borrowed. Return: 0; -ENOMEM. */
int configuration_add_attribute(Configuration *c, const char *name, const char *value);

/* Reads a file that is to be in mdevctl's format; the daemon parses it. It may be a pipe. Return: 0; a
 * negative errno, then the reason was told. */
int configuration_read_text(const char *path, char **ret);

/* Writes it in mdevctl's format. */
void configuration_write(const Configuration *c, Json *j);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which names may become part of a path. Whatever comes from a client or a file passes one of these before it
 * reaches a system call, and the bounds below are what keeps one device's description small. */

#include "base/util.h"

#define NAME_LENGTH_MAX 255U             /* NAME_MAX: a parent's or type's name is one path component */
#define ATTRIBUTE_NAME_LENGTH_MAX 511U   /* several components: a group of attributes is a directory */
#define ATTRIBUTE_VALUE_LENGTH_MAX 4095U /* sysfs takes a page less one byte and drops the rest silently */
#define ATTRIBUTES_MAX 1024U             /* per device; vfio-ap, the hungriest user, can have 256 + 256 */
#define ATTRIBUTES_SIZE_MAX 65536U       /* all names and values of one device, with their NULs */

/* Valid UTF-8 of the kind that D-Bus carries: no surrogates, no non-characters. */
bool text_is_utf8(const char *text);

/* Replaces what is not such text, so that it can at least be shown. Return: @text. */
char *text_make_printable(char *text);

/* Where to cut a text of which only the first @size bytes are wanted, or there: @size, or what comes before a
 * character that is cut in two. */
size_t text_whole_size(const char *text, size_t size);

/* Beside the parents' folders, and no parent's. */
#define SCRIPTS_FOLDER "scripts.d"

/* A parent device's name: one path component, UTF-8, no control characters, not SCRIPTS_FOLDER. */
bool parent_name_is_valid(const char *name);

/* A type's name: one path component, UTF-8, no control characters. */
bool type_name_is_valid(const char *name);

/* A vendor attribute's name relative to the device's directory; may lie in a sub-directory. Names that lead
 * out of the directory or that are the kernel's own (remove, uevent, driver, power …) are refused. */
bool attribute_name_is_valid(const char *name);

bool attribute_value_is_valid(const char *value);

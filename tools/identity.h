/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one form in which a UUID is told, of any in which it may be given. */

#include "base/util.h"

#define IDENTITY_SIZE 37

/* @text: one that the command line has taken. Return: @buffer. */
char *identity_of(const char *text, char buffer[static IDENTITY_SIZE]);

#define IDENTITY(text) identity_of((text), (char[IDENTITY_SIZE]){})

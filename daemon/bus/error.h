/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Failures in words: the one place where a person's sentence and a D-Bus error name are made. */

#include <systemd/sd-bus.h>

#include "model/failure.h"

/* Fills in a D-Bus error. Return: a negative errno, for "return error_set(…)" in a method handler. */
int error_set(sd_bus_error *error, const Failure *f);

/* The sentence alone; owned by the caller, NULL without memory. And the name; a static string. */
char *error_sentence(const Failure *f);
const char *error_name(const Failure *f);

/* What sd-bus says when it reads a message: a text that the bus lets through it may take for none. Return:
 * @r, or another errno with @error set, if it is that. */
int error_of_reading(sd_bus_error *error, int r);

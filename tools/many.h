/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* start and stop of several devices at once. */

#include "tools/arguments.h"

/* Whether that is what the command line says: UUIDs as words, or --all, or for stop a parent; and not one of
 * mdevctl's forms. */
bool many_are_meant(const Arguments *a);

/* Calls the method for each and reports each as it is done. @method: "Start", "Stop". Return: 0; a negative
 * errno if one of them failed, then the reason was told. */
int many_call(const Arguments *a, const char *method);

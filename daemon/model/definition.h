/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is written down about a device: /etc/mdevctl.d/<parent>/<uuid>. A value; keys of the file that mdevd
 * does not know are not in it, the worker that rewrites a file carries them over. */

#include "model/attributes.h"
#include "model/uuid.h"

#define DEFINITIONS_DIRECTORY "etc/mdevctl.d" /* below "/", or what stands for it */
#define DEFINITIONS_PATH "/" DEFINITIONS_DIRECTORY
#define DEFINITIONS_MAX 64U /* of one device, each on another parent; one property tells them all */

typedef struct Definition {
        Uuid uuid;
        bool autostart;
        char *parent;
        char *type;
        Attributes attributes;
} Definition;

void definition_done(Definition *d);
Definition *definition_free(Definition *d);
DEFINE_CLEANUP(Definition *, definition_free);

/* Deep copy. Return: 0; -ENOMEM. @ret is overwritten on success only, never freed. */
int definition_copy(const Definition *d, Definition *ret);

bool definition_equal(const Definition *a, const Definition *b);

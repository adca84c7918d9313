/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Devices as the daemon lists them: one entry for each UUID and parent. */

#include "tools/client.h"
#include "tools/configuration.h"

typedef struct Device {
        const char *uuid, *state, *parent;
        bool active; /* in the kernel, be it orphaned */
        bool defined;
        Configuration configuration; /* as defined, but the type is the active device's if it is active */
        char *defined_type;          /* the definition's, if it was asked for and differs */
} Device;

/* All strings are borrowed from @answers. */
typedef struct Devices {
        sd_bus_message **answers;
        size_t n_answers, n_answers_allocated;
        struct json_object *values; /* in their place, if nobody was asked */
        Device *list;
        size_t n, n_allocated;
} Devices;

void devices_done(Devices *devices);

/* Puts them in the order of parents, then of UUIDs. */
void devices_sort(Devices *devices);

typedef enum DevicesWhich {
        DEVICES_ACTIVE,  /* in the kernel: orphaned ones too */
        DEVICES_DEFINED, /* with the types that are defined */
} DevicesWhich;

typedef enum DevicesHow {
        DEVICES_WHOLE,
        DEVICES_WITHOUT_ATTRIBUTES, /* which are a third of the work, with many devices */
} DevicesHow;

/**
 * devices_read() - ask the daemon for devices
 * @uuid, @parent: NULL: all
 * @ret:           in the order of parents, then of UUIDs; overwritten on success only
 *
 * Return: 0; a negative errno, then the reason was told.
 */
int devices_read(sd_bus *bus, DevicesWhich which, DevicesHow how, const char *uuid, const char *parent,
                Devices *ret);

/* Its two halves: what is asked between them is answered with it. All that is given is borrowed until the
 * end. Zero-initialized. */
typedef struct DevicesQuestion {
        sd_bus *bus;
        DevicesWhich which;
        DevicesHow how;
        const char *uuid, *parent;
        struct Asking *first, *second;
} DevicesQuestion;

int devices_begin(sd_bus *bus, DevicesWhich which, DevicesHow how, const char *uuid, const char *parent,
                DevicesQuestion *q);
int devices_finish(DevicesQuestion *q, Devices *ret);
void devices_question_done(DevicesQuestion *q);

static inline const char *device_defined_type(const Device *d) {
        return d->defined_type ?: d->configuration.type;
}

/* Keeps an answer from which strings are borrowed. Return: 0; -ENOMEM, then it is not kept. */
int devices_keep(Devices *devices, sd_bus_message *answer);

/* Reads an array "a(ss)" to the end of those that @c has. */
int devices_read_attributes(sd_bus_message *m, Configuration *c);

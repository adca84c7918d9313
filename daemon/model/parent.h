/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is known of a parent device and of the types it offers: values, made by host/sysfs. */

#include <stdint.h>

#include "base/util.h"

typedef struct Type {
        char *name;        /* the directory's name, e.g. "nvidia-35", "vfio_ap-passthrough" */
        char *label;       /* the file "name"; empty if there is none */
        char *device_api;  /* e.g. "vfio-pci" */
        char *description; /* may have several lines; empty if there is none */
        uint32_t available_instances;
} Type;

typedef struct Types {
        Type *types; /* sorted bytewise by name */
        size_t n;
} Types;

#define TYPES_MAX 1024U /* per parent; a driver that offers more is cut short */

static inline void type_done(Type *t) {
        free(t->name);
        free(t->label);
        free(t->device_api);
        free(t->description);
        *t = (Type){};
}

static inline void types_done(Types *t) {
        for (size_t i = 0; i < t->n; i++)
                type_done(&t->types[i]);
        free(t->types);
        *t = (Types){};
}

static inline bool type_equal(const Type *a, const Type *b) {
        return streq(a->name, b->name) && streq(a->label, b->label) && streq(a->device_api, b->device_api) &&
                        streq(a->description, b->description) &&
                        a->available_instances == b->available_instances;
}

static inline bool types_equal(const Types *a, const Types *b) {
        if (a->n != b->n)
                return false;

        for (size_t i = 0; i < a->n; i++)
                if (!type_equal(&a->types[i], &b->types[i]))
                        return false;

        return true;
}

/* What one look at /sys/class/mdev_bus/<name> saw, without entering the driver. */
typedef struct ParentSighting {
        char *name;
        bool present;
        uint64_t life; /* another number for each registration; 0 if absent, or not known */
        char *path;    /* "/sys/devices/…"; NULL if absent */
        char *driver;  /* NULL: none, or absent */
        int numa_node; /* -1: none, or not known */
} ParentSighting;

static inline void parent_sighting_done(ParentSighting *s) {
        free(s->name);
        free(s->path);
        free(s->driver);
        *s = (ParentSighting){ .numa_node = -1 };
}

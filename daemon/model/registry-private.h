/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the three files of the registry share: registry.c keeps the slots and what changed of them,
 * registry-rules.c says what may begin, registry-facts.c takes in what was found out.
 *
 * Every change of a device is made between registry_touch_device() and registry_settle_device(): the first
 * remembers what was, once per window of changes, and takes the device out of the counts; the second puts it
 * back as it is now. Room for the change is reserved before anything is changed, so that "on error nothing
 * changed" holds. */

#include "model/registry.h"

/* All in the tree of devices, in its order; made when somebody asks for it. */
typedef struct Order {
        Device **devices;
        size_t n_allocated;
        bool is_up_to_date;
} Order;

struct Registry {
        void *devices; /* of Device, by uuid */
        void *parents; /* of Parent, by name */
        size_t n_devices;
        size_t n_parents;
        Order *order;
        size_t max_devices;
        RegistryCounts counts;

        Change *changes;
        size_t n_changes;
        size_t n_changes_allocated;
};

/* Room for @n changes, and always for the two that each operation under way, and one about to begin, queues
 * when it ends: so that ending one cannot fail. Return: 0; -ENOMEM. */
int registry_reserve_changes(Registry *r, size_t n);

/* Before a change of @d, with room reserved; and after it, with what it was (of ChangeMask). */
Change *registry_touch_device(Registry *r, Device *d);
void registry_settle_device(Registry *r, Device *d, unsigned what);
Change *registry_touch_parent(Registry *r, Parent *p);

/* Lookups that also find what clients do not see. */
Device *registry_slot(const Registry *r, const Uuid *uuid);
Parent *registry_parent_slot(const Registry *r, const char *name);

/* The slot of @uuid, made if there is none. A new one is to be touched at once, so that it dies with the
 * changes if nothing comes of it. Return: 0; -ENOMEM. */
int registry_acquire_device(Registry *r, const Uuid *uuid, Device **ret);

/* The same for a parent, which is touched here; needs room for one change. Invisible until somebody refers to
 * it or it is seen. */
int registry_acquire_parent(Registry *r, const char *name, Parent **ret);
void registry_ref_parent(Registry *r, Parent *p);
void registry_unref_parent(Registry *r, Parent *p);

/* Says what @d is, or is becoming; the strings are taken over. And that nothing lives; return: what that
 * changed, of ChangeMask. */
void registry_set_live(Registry *r, Device *d, Parent *parent, char *type, char *path);
unsigned registry_clear_live(Registry *r, Device *d);

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One lookup in a tree keyed by the 16 bytes of the UUID both checks and claims, with no return to an event
 * loop in between: that is all the locking there is.
 *
 * The trees are libc's tsearch(3): red-black, ordered, found-or-inserted in one descent. */

#include <search.h>

#include "model/registry-private.h"

static const char *const device_state_table[_DEVICE_STATE_MAX] = {
        [DEVICE_DEFINED] = "defined",
        [DEVICE_CREATING] = "creating",
        [DEVICE_ACTIVE] = "active",
        [DEVICE_REMOVING] = "removing",
        [DEVICE_ORPHANED] = "orphaned",
};

static const char *const origin_table[_ORIGIN_MAX] = {
        [ORIGIN_EXTERNAL] = "external",
        [ORIGIN_MDEVD] = "mdevd",
};

static const char *const waiting_table[_WAITING_MAX] = {
        [WAITING_NOT] = "",
        [WAITING_PARENT] = "parent-absent",
        [WAITING_TYPE] = "type-absent",
        [WAITING_CAPACITY] = "no-capacity",
        [WAITING_FAILED] = "failed",
};

const char *device_state_to_string(DeviceState state) {
        return device_state_table[state];
}

const char *origin_to_string(Origin origin) {
        return origin_table[origin];
}

const char *waiting_to_string(Waiting waiting) {
        return waiting_table[waiting];
}

static int device_order(const void *a, const void *b) {
        return uuid_order(&((const Device *) a)->uuid, &((const Device *) b)->uuid);
}

static int parent_order(const void *a, const void *b) {
        return strcmp(((const Parent *) a)->name, ((const Parent *) b)->name);
}

static void device_free(void *p) {
        Device *d = p;

        free(d->type);
        free(d->path);
        for (uint32_t i = 0; i < d->n_definitions; i++)
                definition_done(&d->definitions[i]);
        free(d->definitions);
        if (d->error)
                failure_done(d->error);
        free(d->error);
        free(d);
}

static void parent_free(void *p) {
        Parent *parent = p;

        free(parent->name);
        free(parent->path);
        free(parent->driver);
        types_done(&parent->types);
        free(parent);
}

int registry_new(Registry **ret, size_t max_devices) {
        _cleanup_(registry_freep) Registry *r = calloc(1, sizeof *r);

        if (!r)
                return -ENOMEM;
        r->order = calloc(1, sizeof *r->order);
        if (!r->order)
                return -ENOMEM;

        r->max_devices = max_devices;
        *ret = TAKE_PTR(r);
        return 0;
}

Registry *registry_free(Registry *r) {
        if (!r)
                return NULL;

        tdestroy(r->devices, device_free);
        tdestroy(r->parents, parent_free);
        if (r->order)
                free(r->order->devices);
        free(r->order);
        free(r->changes);
        free(r);
        return NULL;
}

/* State */

DeviceState device_state(const Device *d) {
        if (d->op_kind == OPERATION_CREATE)
                return DEVICE_CREATING;
        if (d->op_kind == OPERATION_REMOVE)
                return DEVICE_REMOVING;

        switch (d->seen) {
        case PRESENCE_ARRIVING:
                return DEVICE_CREATING;
        case PRESENCE_PRESENT:
                return DEVICE_ACTIVE;
        case PRESENCE_LEAVING:
                return DEVICE_REMOVING;
        case PRESENCE_ORPHAN:
                return DEVICE_ORPHANED;
        case PRESENCE_ABSENT:
        case PRESENCE_UNKNOWN:
        case _PRESENCE_MAX:
                break;
        }

        return DEVICE_DEFINED;
}

bool device_is_visible(const Device *d) {
        return device_state(d) != DEVICE_DEFINED || d->n_definitions > 0;
}

bool device_is_active(const Device *d) {
        return device_state(d) == DEVICE_ACTIVE;
}

bool parent_is_visible(const Parent *p) {
        return p->present || p->n_references > 0;
}

const Type *parent_find_type(const Parent *p, const char *type) {
        for (size_t i = 0; i < p->types.n; i++)
                if (streq(p->types.types[i].name, type))
                        return &p->types.types[i];

        return NULL;
}

const Definition *device_find_definition(const Device *d, const char *parent) {
        for (uint32_t i = 0; i < d->n_definitions; i++)
                if (!parent || streq(d->definitions[i].parent, parent))
                        return &d->definitions[i];

        return NULL;
}

/* Changes */

int registry_reserve_changes(Registry *r, size_t n) {
        size_t wanted = r->n_changes + n + 2 * (r->counts.n_operations + 1);

        return grow((void **) &r->changes, &r->n_changes_allocated, wanted, sizeof *r->changes);
}

static void device_count(Registry *r, const Device *d, int sign) {
        r->counts.n_visible += (size_t) (sign * device_is_visible(d));
        r->counts.n_active += (size_t) (sign * device_is_active(d));
        r->counts.n_operations += (size_t) (sign * (d->op != 0));
        r->counts.n_definitions += (size_t) (sign * (int) d->n_definitions);
}

Change *registry_touch_device(Registry *r, Device *d) {
        device_count(r, d, -1);

        if (d->change == 0) {
                r->changes[r->n_changes++] = (Change){
                        .device = d,
                        .was_visible = device_is_visible(d),
                        .old_state = device_state(d),
                };
                d->change = (uint32_t) r->n_changes;
        }

        return &r->changes[d->change - 1];
}

void registry_settle_device(Registry *r, Device *d, unsigned what) {
        Change *c = &r->changes[d->change - 1];

        c->what |= what;
        if (device_state(d) != c->old_state)
                c->what |= CHANGED_STATE;
        device_count(r, d, 1);
}

Change *registry_touch_parent(Registry *r, Parent *p) {
        if (p->change == 0) {
                r->changes[r->n_changes++] = (Change){ .parent = p, .was_visible = parent_is_visible(p) };
                p->change = (uint32_t) r->n_changes;
        }

        return &r->changes[p->change - 1];
}

const Change *registry_changes(const Registry *r, size_t *ret_n) {
        *ret_n = r->n_changes;
        return r->changes;
}

void registry_drop_changes(Registry *r) {
        for (size_t i = 0; i < r->n_changes; i++) {
                Device *d = r->changes[i].device;
                Parent *p = r->changes[i].parent;

                if (d) {
                        d->change = 0;
                        if (!device_is_visible(d) && d->op == 0) {
                                (void) tdelete(d, &r->devices, device_order);
                                r->n_devices--;
                                r->order->is_up_to_date = false;
                                device_free(d);
                        }
                } else {
                        p->change = 0;
                        if (!parent_is_visible(p)) {
                                (void) tdelete(p, &r->parents, parent_order);
                                r->n_parents--;
                                parent_free(p);
                        }
                }
        }

        r->n_changes = 0;
}

/* Lookups */

Device *registry_slot(const Registry *r, const Uuid *uuid) {
        Device key = { .uuid = *uuid };
        void *node = tfind(&key, (void *const *) &r->devices, device_order);

        return node ? *(Device **) node : NULL;
}

Parent *registry_parent_slot(const Registry *r, const char *name) {
        Parent key = { .name = (char *) name };
        void *node = tfind(&key, (void *const *) &r->parents, parent_order);

        return node ? *(Parent **) node : NULL;
}

/* Also finds what died since the last registry_drop_changes(), for those who must still tell of it. */
Device *registry_find(const Registry *r, const Uuid *uuid) {
        Device *d = registry_slot(r, uuid);

        return d && (device_is_visible(d) || (d->change > 0 && r->changes[d->change - 1].was_visible)) ? d
                                                                                                       : NULL;
}

bool registry_is_written(const Registry *r, const Uuid *uuid) {
        const Device *d = registry_slot(r, uuid);

        return d && d->op_writes;
}

Parent *registry_find_parent(const Registry *r, const char *name) {
        Parent *p = registry_parent_slot(r, name);

        return p && (parent_is_visible(p) || (p->change > 0 && r->changes[p->change - 1].was_visible)) ? p
                                                                                                       : NULL;
}

/* @userdata: where the next one goes */
static void walk_one(const void *node, VISIT visit, void *userdata) {
        void ***end = userdata;

        if (visit == postorder || visit == leaf)
                *(*end)++ = *(void *const *) node;
}

/* A tree cannot be entered in its middle, and to walk through all of it for each part would take the square
 * of its size. */
static int put_in_order(const Registry *r) {
        Order *o = r->order;
        Device **end;

        if (o->is_up_to_date)
                return 0;
        if (grow((void **) &o->devices, &o->n_allocated, r->n_devices, sizeof(Device *)) < 0)
                return -ENOMEM;

        end = o->devices;
        twalk_r(r->devices, walk_one, &end);
        o->is_up_to_date = true;
        return 0;
}

/* How many there are up to @uuid and with it. */
static size_t count_until(const Registry *r, const Uuid *uuid) {
        size_t low = 0, high = r->n_devices;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (uuid_order(&r->order->devices[middle]->uuid, uuid) <= 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

int registry_list_range(const Registry *r, const UuidRange *range, Device ***ret, size_t *ret_n) {
        size_t begin, end, n = 0;
        Device **list;

        if (put_in_order(r) < 0)
                return -ENOMEM;
        begin = range->after ? count_until(r, range->after) : 0;
        end = range->until ? count_until(r, range->until) : r->n_devices;

        list = calloc(end > begin ? end - begin : 1, sizeof(Device *));
        if (!list)
                return -ENOMEM;
        for (size_t i = begin; i < end; i++)
                if (device_is_visible(r->order->devices[i]))
                        list[n++] = r->order->devices[i];

        *ret = list;
        *ret_n = n;
        return 0;
}

int registry_list(const Registry *r, Device ***ret, size_t *ret_n) {
        return registry_list_range(r, &(const UuidRange){}, ret, ret_n);
}

int registry_list_parents(const Registry *r, Parent ***ret, size_t *ret_n) {
        Parent **list, **end;
        size_t n = 0;

        list = calloc(MAX(r->n_parents, (size_t) 1), sizeof(Parent *));
        if (!list)
                return -ENOMEM;
        end = list;
        twalk_r(r->parents, walk_one, &end);
        for (Parent **p = list; p < end; p++)
                if (parent_is_visible(*p))
                        list[n++] = *p;

        *ret = list;
        *ret_n = n;
        return 0;
}

RegistryCounts registry_count(const Registry *r) {
        return r->counts;
}

/* Parents */

int registry_acquire_parent(Registry *r, const char *name, Parent **ret) {
        Parent *p = registry_parent_slot(r, name);

        if (!p) {
                p = calloc(1, sizeof *p);
                if (!p)
                        return -ENOMEM;
                p->numa_node = -1;
                p->name = strdup(name);
                if (!p->name || !tsearch(p, &r->parents, parent_order)) {
                        parent_free(p);
                        return -ENOMEM;
                }
                r->n_parents++;
        }

        (void) registry_touch_parent(r, p);
        *ret = p;
        return 0;
}

void registry_ref_parent(Registry *r, Parent *p) {
        (void) registry_touch_parent(r, p);
        p->n_references++;
}

void registry_unref_parent(Registry *r, Parent *p) {
        (void) registry_touch_parent(r, p);
        p->n_references--;
}

/* What lives */

void registry_set_live(Registry *r, Device *d, Parent *parent, char *type, char *path) {
        if (parent)
                registry_ref_parent(r, parent);
        if (d->parent)
                registry_unref_parent(r, d->parent);

        free(d->type);
        free(d->path);
        d->parent = parent;
        d->type = type;
        d->path = path;
}

unsigned registry_clear_live(Registry *r, Device *d) {
        unsigned what = d->parent || d->origin != ORIGIN_EXTERNAL ? CHANGED_LIVE : 0;

        registry_set_live(r, d, NULL, NULL, NULL);
        d->iommu_group = -1;
        d->origin = ORIGIN_EXTERNAL;
        return what;
}

int registry_acquire_device(Registry *r, const Uuid *uuid, Device **ret) {
        Device *d = registry_slot(r, uuid);

        if (!d) {
                d = calloc(1, sizeof *d);
                if (!d)
                        return -ENOMEM;
                d->uuid = *uuid;
                d->iommu_group = -1;
                if (!tsearch(d, &r->devices, device_order)) {
                        device_free(d);
                        return -ENOMEM;
                }
                r->n_devices++;
                r->order->is_up_to_date = false;
        }

        *ret = d;
        return 0;
}

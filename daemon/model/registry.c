/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One lookup in a tree keyed by the 16 bytes of the UUID both checks and claims, with no return to an event
 * loop in between: that is all the locking there is.
 *
 * Every function that changes a device does so between device_touch() and device_settle(): the first
 * remembers what was, once per change window, and takes the device out of the counts; the second puts it back
 * as it is now. Memory for the change is there before anything is changed, so that "on error nothing changed"
 * holds.
 *
 * The trees are libc's tsearch(3): red-black, ordered, found-or-inserted in one descent. */

#include <search.h>

#include "model/registry.h"

struct Registry {
        void *devices; /* of Device, by uuid */
        void *parents; /* of Parent, by name */
        size_t n_devices;
        size_t n_parents;
        size_t max_devices;
        RegistryCounts counts;

        Change *changes;
        size_t n_changes;
        size_t n_changes_allocated;
};

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

const char *device_state_to_string(DeviceState state) {
        return device_state_table[state];
}

const char *origin_to_string(Origin origin) {
        return origin_table[origin];
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
        Registry *r = calloc(1, sizeof *r);

        if (!r)
                return -ENOMEM;

        r->max_devices = max_devices;
        *ret = r;
        return 0;
}

Registry *registry_free(Registry *r) {
        if (!r)
                return NULL;

        tdestroy(r->devices, device_free);
        tdestroy(r->parents, parent_free);
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

const Definition *device_find_definition(const Device *d, const char *parent) {
        for (uint32_t i = 0; i < d->n_definitions; i++)
                if (!parent || streq(d->definitions[i].parent, parent))
                        return &d->definitions[i];

        return NULL;
}

/* Changes */

/* Room for @n changes, and always for the two that each operation under way, and one about to begin, queues
 * when it ends: so that ending one cannot fail. */
static int changes_reserve(Registry *r, size_t n) {
        size_t wanted = r->n_changes + n + 2 * (r->counts.n_operations + 1);

        return grow((void **) &r->changes, &r->n_changes_allocated, wanted, sizeof *r->changes);
}

static void device_count(Registry *r, const Device *d, int sign) {
        r->counts.n_visible += (size_t) (sign * device_is_visible(d));
        r->counts.n_active += (size_t) (sign * device_is_active(d));
        r->counts.n_operations += (size_t) (sign * (d->op != 0));
        r->counts.n_definitions += (size_t) (sign * (int) d->n_definitions);
}

/* Before a change of @d; changes_reserve() has succeeded. */
static Change *device_touch(Registry *r, Device *d) {
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

/* After it. */
static void device_settle(Registry *r, Device *d, unsigned what) {
        Change *c = &r->changes[d->change - 1];

        c->what |= what;
        if (device_state(d) != c->old_state)
                c->what |= CHANGED_STATE;
        device_count(r, d, 1);
}

static Change *parent_touch(Registry *r, Parent *p) {
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

static Device *find(const Registry *r, const Uuid *uuid) {
        Device key = { .uuid = *uuid };
        void *node = tfind(&key, (void *const *) &r->devices, device_order);

        return node ? *(Device **) node : NULL;
}

static Parent *find_parent(const Registry *r, const char *name) {
        Parent key = { .name = (char *) name };
        void *node = tfind(&key, (void *const *) &r->parents, parent_order);

        return node ? *(Parent **) node : NULL;
}

/* Also finds what died since the last registry_drop_changes(), for those who must still tell of it. */
Device *registry_find(const Registry *r, const Uuid *uuid) {
        Device *d = find(r, uuid);

        return d && (device_is_visible(d) || (d->change > 0 && r->changes[d->change - 1].was_visible)) ? d
                                                                                                       : NULL;
}

Parent *registry_find_parent(const Registry *r, const char *name) {
        Parent *p = find_parent(r, name);

        return p && (parent_is_visible(p) || (p->change > 0 && r->changes[p->change - 1].was_visible)) ? p
                                                                                                       : NULL;
}

typedef struct Walk {
        void **items;
        size_t n;
        bool (*wanted)(const void *item);
} Walk;

static void walk_one(const void *node, VISIT visit, void *userdata) {
        void *item = *(void *const *) node;
        Walk *walk = userdata;

        if ((visit == postorder || visit == leaf) && walk->wanted(item))
                walk->items[walk->n++] = item;
}

static bool device_wanted(const void *item) {
        return device_is_visible(item);
}

static bool parent_wanted(const void *item) {
        return parent_is_visible(item);
}

static int walk_tree(
                const void *tree, size_t n_max, bool (*wanted)(const void *), void **ret, size_t *ret_n) {
        Walk walk = { .wanted = wanted };

        walk.items = calloc(MAX(n_max, (size_t) 1), sizeof *walk.items);
        if (!walk.items)
                return -ENOMEM;

        twalk_r(tree, walk_one, &walk);
        *ret = walk.items;
        *ret_n = walk.n;
        return 0;
}

int registry_list(const Registry *r, Device ***ret, size_t *ret_n) {
        return walk_tree(r->devices, r->n_devices, device_wanted, (void **) ret, ret_n);
}

int registry_list_parents(const Registry *r, Parent ***ret, size_t *ret_n) {
        return walk_tree(r->parents, r->n_parents, parent_wanted, (void **) ret, ret_n);
}

RegistryCounts registry_count(const Registry *r) {
        return r->counts;
}

/* Parents */

/* A parent that is not there yet is made, invisible until somebody refers to it or it is seen. Needs one
 * reserved change. */
static int parent_acquire(Registry *r, const char *name, Parent **ret) {
        Parent *p = find_parent(r, name);

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

        (void) parent_touch(r, p);
        *ret = p;
        return 0;
}

static void parent_ref(Registry *r, Parent *p) {
        (void) parent_touch(r, p);
        p->n_references++;
}

static void parent_unref(Registry *r, Parent *p) {
        (void) parent_touch(r, p);
        p->n_references--;
}

int registry_observe_parent(Registry *r, const ParentSighting *seen) {
        _cleanup_(freep) char *path = NULL, *driver = NULL;
        bool differs;
        Parent *p;
        int rc;

        if (!seen->present && !find_parent(r, seen->name))
                return 0;

        rc = changes_reserve(r, 1);
        if (rc < 0)
                return rc;
        if ((seen->path && !(path = strdup(seen->path))) ||
                        (seen->driver && !(driver = strdup(seen->driver))))
                return -ENOMEM;
        rc = parent_acquire(r, seen->name, &p);
        if (rc < 0)
                return rc;

        differs = p->present != seen->present || !streq_ptr(p->driver, seen->driver) ||
                        p->numa_node != seen->numa_node || (path && !streq_ptr(p->path, path));
        if (!differs)
                return 0;

        p->present = seen->present;
        p->numa_node = seen->numa_node;
        free(p->driver);
        p->driver = TAKE_PTR(driver);
        if (path) {
                free(p->path);
                p->path = TAKE_PTR(path);
        }
        parent_touch(r, p)->what |= CHANGED_PARENT;
        if (!seen->present && p->types.n > 0) {
                types_done(&p->types);
                parent_touch(r, p)->what |= CHANGED_TYPES;
        }
        return 0;
}

int registry_observe_types(Registry *r, const char *parent, Types *types) {
        Parent *p = find_parent(r, parent);
        int rc;

        /* A reading that comes back after the parent went says nothing about what is there now. */
        if (!p || !p->present || types_equal(&p->types, types)) {
                types_done(types);
                return 0;
        }

        rc = changes_reserve(r, 1);
        if (rc < 0)
                return rc;

        types_done(&p->types);
        p->types = *types;
        *types = (Types){};
        parent_touch(r, p)->what |= CHANGED_TYPES;
        return 0;
}

/* What lives */

/* Says what @d is, or is becoming; the strings are taken over. */
static void device_set_live(Registry *r, Device *d, Parent *parent, char *type, char *path) {
        if (parent)
                parent_ref(r, parent);
        if (d->parent)
                parent_unref(r, d->parent);

        free(d->type);
        free(d->path);
        d->parent = parent;
        d->type = type;
        d->path = path;
}

/* Return: the ChangeMask of it, for device_settle(). */
static unsigned device_clear_live(Registry *r, Device *d) {
        unsigned what = d->parent || d->origin != ORIGIN_EXTERNAL ? CHANGED_LIVE : 0;

        device_set_live(r, d, NULL, NULL, NULL);
        d->iommu_group = -1;
        d->origin = ORIGIN_EXTERNAL;
        return what;
}

/* The slot of @uuid, made if there is none. A new one is touched by the caller at once, so that it dies with
 * the changes if nothing comes of it. */
static int device_acquire(Registry *r, const Uuid *uuid, Device **ret) {
        Device *d = find(r, uuid);

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
        }

        *ret = d;
        return 0;
}

/* Operations: refusals, in words that bus/error.c makes sentences of */

static int refuse(Failure *f, FailureKind kind, const Device *d, const char *parent, const char *type) {
        (void) failure_set(f, kind, 0, NULL, NULL);
        f->state = d ? (int) device_state(d) : -1;
        return failure_set_device(f, d ? &d->uuid : f->has_uuid ? &f->uuid : NULL, parent, type);
}

static int refuse_live(Failure *f, FailureKind kind, const Device *d) {
        return refuse(f, kind, d, d->parent ? d->parent->name : NULL, d->type);
}

static int refuse_too_many(const Registry *r, Failure *f) {
        (void) failure_set(f, FAILURE_TOO_MANY, 0, "devices", NULL);
        f->index = (uint32_t) r->max_devices;
        return -failure_errno(f);
}

/* What all operations on definitions have in common: they wait for nobody, and fail while somebody else is at
 * it. */
static int check_idle(const Device *d, Failure *f) {
        if (device_state(d) == DEVICE_CREATING)
                return refuse_live(f, FAILURE_BEING_CREATED, d);
        if (device_state(d) == DEVICE_REMOVING)
                return refuse_live(f, FAILURE_BEING_REMOVED, d);
        if (d->op != 0)
                return refuse_live(f, FAILURE_BUSY, d);
        return 0;
}

/* What every operation begins with: a failure that names what was asked for, and is none yet. */
static int name_subject(Failure *f, const Uuid *uuid, const char *parent, const char *type) {
        (void) failure_set(f, FAILURE_NONE, 0, NULL, NULL);
        return failure_set_device(f, uuid, parent, type);
}

static int check_out_of_memory(int r, Failure *f) {
        return r < 0 ? failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL) : 0;
}

static void device_begin(Registry *r, Device *d, OperationKind kind, OpId op) {
        (void) device_touch(r, d);
        d->op = op;
        d->op_kind = kind;
        d->hint = false;
        device_settle(r, d, 0);
}

int registry_begin_create(
                Registry *r, const Uuid *uuid, const char *parent, const char *type, OpId op, Failure *f) {
        _cleanup_(freep) char *type_copy = NULL;
        Device *d = find(r, uuid);
        Parent *p;
        int rc;

        rc = name_subject(f, uuid, parent, type);
        if (rc < 0)
                return rc;

        if (d && device_state(d) != DEVICE_DEFINED)
                return refuse_live(f, FAILURE_EXISTS, d);
        p = find_parent(r, parent);
        if (!p || !p->present)
                return refuse(f, FAILURE_PARENT_ABSENT, d, parent, type);
        if (d && d->op != 0)
                return refuse_live(f, FAILURE_BUSY, d);
        if (!d && r->n_devices >= r->max_devices)
                return refuse_too_many(r, f);

        type_copy = strdup(type);
        if (!type_copy)
                return check_out_of_memory(-ENOMEM, f);
        rc = check_out_of_memory(changes_reserve(r, 2), f);
        if (rc < 0)
                return rc;
        rc = check_out_of_memory(device_acquire(r, uuid, &d), f);
        if (rc < 0)
                return rc;

        device_begin(r, d, OPERATION_CREATE, op);
        (void) device_touch(r, d);
        device_set_live(r, d, p, TAKE_PTR(type_copy), NULL);
        d->origin = ORIGIN_MDEVD;
        device_settle(r, d, CHANGED_LIVE);
        return 0;
}

int registry_begin_remove(Registry *r, const Uuid *uuid, OpId op, Failure *f) {
        Device *d = registry_find(r, uuid);
        int rc;

        rc = name_subject(f, uuid, NULL, NULL);
        if (rc < 0)
                return rc;

        if (!d || !device_is_visible(d))
                return refuse(f, FAILURE_NO_SUCH_DEVICE, NULL, NULL, NULL);
        if (device_state(d) == DEVICE_DEFINED)
                return refuse(f, FAILURE_NOT_ACTIVE, d,
                                d->n_definitions > 0 ? d->definitions[0].parent : NULL,
                                d->n_definitions > 0 ? d->definitions[0].type : NULL);
        if (device_state(d) == DEVICE_ORPHANED)
                return refuse_live(f, FAILURE_ORPHANED, d);
        rc = check_idle(d, f);
        if (rc < 0)
                return rc;

        rc = check_out_of_memory(changes_reserve(r, 1), f);
        if (rc < 0)
                return rc;

        device_begin(r, d, OPERATION_REMOVE, op);
        return 0;
}

int registry_begin_define(
                Registry *r, const Uuid *uuid, const char *parent, bool alternate, OpId op, Failure *f) {
        Device *d = find(r, uuid);
        const Definition *other;
        int rc;

        rc = name_subject(f, uuid, parent, NULL);
        if (rc < 0)
                return rc;

        if (d && device_state(d) != DEVICE_DEFINED && device_state(d) != DEVICE_ACTIVE &&
                        device_state(d) != DEVICE_ORPHANED)
                return check_idle(d, f);
        if (d && device_find_definition(d, parent))
                return refuse(f, FAILURE_EXISTS_DEFINED, d, parent, device_find_definition(d, parent)->type);
        other = d && !alternate ? device_find_definition(d, NULL) : NULL;
        if (other)
                return refuse(f, FAILURE_EXISTS_ELSEWHERE, d, other->parent, other->type);
        if (d && d->op != 0)
                return refuse_live(f, FAILURE_BUSY, d);
        if (!d && r->n_devices >= r->max_devices)
                return refuse_too_many(r, f);

        rc = check_out_of_memory(changes_reserve(r, 1), f);
        if (rc < 0)
                return rc;
        rc = check_out_of_memory(device_acquire(r, uuid, &d), f);
        if (rc < 0)
                return rc;

        device_begin(r, d, OPERATION_DEFINE, op);
        return 0;
}

static int begin_change(
                Registry *r, const Uuid *uuid, const char *parent, OperationKind kind, OpId op, Failure *f) {
        Device *d = registry_find(r, uuid);
        int rc;

        rc = name_subject(f, uuid, parent, NULL);
        if (rc < 0)
                return rc;

        if (!d || !device_is_visible(d))
                return refuse(f, FAILURE_NO_SUCH_DEVICE, NULL, parent, NULL);
        if (device_state(d) == DEVICE_CREATING || device_state(d) == DEVICE_REMOVING)
                return check_idle(d, f);
        if (!device_find_definition(d, parent))
                return refuse(f, FAILURE_NO_SUCH_DEFINITION, d, parent, NULL);
        rc = check_idle(d, f);
        if (rc < 0)
                return rc;

        rc = check_out_of_memory(changes_reserve(r, 1), f);
        if (rc < 0)
                return rc;

        device_begin(r, d, kind, op);
        return 0;
}

int registry_begin_modify(Registry *r, const Uuid *uuid, const char *parent, OpId op, Failure *f) {
        return begin_change(r, uuid, parent, OPERATION_MODIFY, op, f);
}

int registry_begin_undefine(Registry *r, const Uuid *uuid, const char *parent, OpId op, Failure *f) {
        return begin_change(r, uuid, parent, OPERATION_UNDEFINE, op, f);
}

int registry_adopt(Registry *r, const Uuid *uuid, OperationKind kind, const char *parent, const char *type,
                OpId op) {
        _cleanup_(freep) char *type_copy = NULL;
        Parent *p = NULL;
        Device *d = find(r, uuid);
        int rc;

        if (d && d->op != 0)
                return -EBUSY;
        if (type && !(type_copy = strdup(type)))
                return -ENOMEM;
        rc = changes_reserve(r, 2);
        if (rc < 0)
                return rc;
        if (parent && (kind == OPERATION_CREATE || kind == OPERATION_REMOVE) && !(d && d->parent)) {
                rc = parent_acquire(r, parent, &p);
                if (rc < 0)
                        return rc;
        }
        rc = device_acquire(r, uuid, &d);
        if (rc < 0)
                return rc;

        device_begin(r, d, kind, op);
        if (p) {
                (void) device_touch(r, d);
                device_set_live(r, d, p, TAKE_PTR(type_copy), NULL);
                d->origin = ORIGIN_MDEVD;
                device_settle(r, d, CHANGED_LIVE);
        }
        return 0;
}

int registry_end(Registry *r, const Uuid *uuid, OpId op) {
        Device *d = find(r, uuid);
        unsigned what = 0;
        bool hint;

        if (!d || d->op == 0 || d->op != op)
                return -ESTALE;

        (void) device_touch(r, d);
        hint = d->hint;
        d->op = 0;
        d->op_kind = OPERATION_NONE;
        d->hint = false;
        if (d->seen == PRESENCE_ABSENT)
                what = device_clear_live(r, d);
        device_settle(r, d, what);
        return hint;
}

/* Facts */

/* 0: tell the fact; 1: remember only that there was one; -ESTALE. */
static int check_owner(const Device *d, OpId op) {
        if (op != 0)
                return d && d->op == op ? 0 : -ESTALE;
        return d && d->op != 0 ? 1 : 0;
}

int registry_observe(Registry *r, const Uuid *uuid, const Sighting *seen, OpId op) {
        _cleanup_(freep) char *type = NULL, *path = NULL;
        Device *d = find(r, uuid);
        Parent *p = NULL;
        bool same_parent, lives;
        int rc;

        rc = check_owner(d, op);
        if (rc < 0)
                return rc;
        if (rc > 0) {
                d->hint = true;
                return 0;
        }
        if (seen->presence == PRESENCE_UNKNOWN || (seen->presence == PRESENCE_ABSENT && !d))
                return 0;

        lives = seen->presence != PRESENCE_ABSENT;
        if (lives && !seen->parent)
                return -EINVAL;

        same_parent = d && d->parent && lives && streq(d->parent->name, seen->parent);
        if (d && d->seen == seen->presence && (!lives || same_parent) &&
                        d->iommu_group == seen->iommu_group && streq_ptr(d->path, seen->path) &&
                        (!seen->type || streq_ptr(d->type, seen->type)))
                return 0;

        rc = changes_reserve(r, 3);
        if (rc < 0)
                return rc;
        if (lives) {
                /* A device that is arriving or leaving cannot say its type; what was known of it still holds.
                 */
                const char *known = seen->type ?: same_parent ? d->type : NULL;

                if ((known && !(type = strdup(known))) || (seen->path && !(path = strdup(seen->path))))
                        return -ENOMEM;
                rc = parent_acquire(r, seen->parent, &p);
                if (rc < 0)
                        return rc;
        }
        rc = device_acquire(r, uuid, &d);
        if (rc < 0)
                return rc;

        (void) device_touch(r, d);
        d->seen = seen->presence;
        if (lives) {
                device_set_live(r, d, p, TAKE_PTR(type), TAKE_PTR(path));
                d->iommu_group = seen->iommu_group;
        } else
                (void) device_clear_live(r, d);
        device_settle(r, d, CHANGED_LIVE);
        return 0;
}

/* Puts a definition in its place in the order of parents; takes *@definition over. */
static int device_add_definition(Device *d, Definition *definition) {
        Definition *larger = reallocarray(d->definitions, d->n_definitions + 1, sizeof *larger);
        uint32_t i = 0;

        if (!larger)
                return -ENOMEM;

        d->definitions = larger;
        while (i < d->n_definitions && strcmp(d->definitions[i].parent, definition->parent) < 0)
                i++;
        memmove(&d->definitions[i + 1], &d->definitions[i], (d->n_definitions - i) * sizeof *larger);
        d->definitions[i] = *definition;
        d->n_definitions++;
        *definition = (Definition){};
        return 0;
}

static void device_drop_definition(Device *d, uint32_t i) {
        definition_done(&d->definitions[i]);
        d->n_definitions--;
        memmove(&d->definitions[i], &d->definitions[i + 1], (d->n_definitions - i) * sizeof *d->definitions);
        if (d->n_definitions == 0) {
                free(d->definitions);
                d->definitions = NULL;
        }
}

int registry_observe_definition(
                Registry *r, const Uuid *uuid, const char *parent, const Definition *definition, OpId op) {
        _cleanup_(definition_done) Definition copy = {};
        Device *d = find(r, uuid);
        const Definition *old = d ? device_find_definition(d, parent) : NULL;
        Parent *p;
        int rc;

        rc = check_owner(d, op);
        if (rc < 0)
                return rc;
        if (rc > 0) {
                d->hint = true;
                return 0;
        }
        if (old && definition ? definition_equal(old, definition) : !old && !definition)
                return 0;

        rc = changes_reserve(r, 3);
        if (rc < 0)
                return rc;
        if (definition) {
                rc = definition_copy(definition, &copy);
                if (rc < 0)
                        return rc;
        }
        rc = parent_acquire(r, parent, &p);
        if (rc < 0)
                return rc;
        rc = device_acquire(r, uuid, &d);
        if (rc < 0)
                return rc;

        (void) device_touch(r, d);
        if (old && definition) {
                Definition *place = &d->definitions[old - d->definitions];

                definition_done(place);
                *place = copy;
                copy = (Definition){};
        } else if (definition) {
                rc = device_add_definition(d, &copy);
                if (rc >= 0)
                        parent_ref(r, p);
        } else {
                device_drop_definition(d, (uint32_t) (old - d->definitions));
                parent_unref(r, p);
        }
        device_settle(r, d, rc < 0 ? 0 : CHANGED_DEFINITIONS);
        return rc < 0 ? rc : 0;
}

void registry_set_origin(Registry *r, const Uuid *uuid, Origin origin) {
        Device *d = find(r, uuid);

        if (!d || d->origin == origin || changes_reserve(r, 1) < 0)
                return;

        (void) device_touch(r, d);
        d->origin = origin;
        device_settle(r, d, CHANGED_LIVE);
}

static int failure_copy(const Failure *f, Failure **ret) {
        Failure *copy;

        copy = malloc(sizeof *copy);
        if (!copy)
                return -ENOMEM;

        *copy = FAILURE_INIT;
        (void) failure_set(copy, f->kind, f->error, f->subject, f->detail);
        (void) failure_set_device(copy, f->has_uuid ? &f->uuid : NULL, f->parent, f->type);
        copy->index = f->index;
        copy->state = f->state;
        copy->rollback_error = f->rollback_error;
        *ret = copy;
        return 0;
}

void registry_set_error(Registry *r, const Uuid *uuid, const Failure *f) {
        Device *d = find(r, uuid);
        Failure *copy = NULL;

        if (!d || (!d->error && (!f || !failure_is_set(f))) || changes_reserve(r, 1) < 0)
                return;
        if (f && failure_is_set(f) && failure_copy(f, &copy) < 0)
                return;

        (void) device_touch(r, d);
        if (d->error)
                failure_done(d->error);
        free(d->error);
        d->error = copy;
        device_settle(r, d, CHANGED_ERROR);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What was found out. A fact about what lives is believed from whoever tells it, unless an operation that
 * creates or removes the device is under way: then only the operation's own word counts, and what others saw
 * is a hint to look again when it is over. Facts about definitions wait only for an operation that writes
 * some: a removal may wait for a VM for days, as a definition may for a script. */

#include "model/registry-private.h"

/* A word that is said to be an operation's own must be. */
static int check_owner(const Device *d, OpId op) {
        return op == 0 || (d && d->op == op) ? 0 : -ESTALE;
}

int registry_observe(Registry *r, const Uuid *uuid, const Sighting *seen, OpId op) {
        _cleanup_(freep) char *type = NULL, *path = NULL;
        Device *d = registry_slot(r, uuid);
        Parent *p = NULL;
        bool same_parent, lives;
        int rc;

        rc = check_owner(d, op);
        if (rc < 0)
                return rc;
        if (op == 0 && d && (d->op_kind == OPERATION_CREATE || d->op_kind == OPERATION_REMOVE)) {
                d->look_again = true;
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

        rc = registry_reserve_changes(r, 3);
        if (rc < 0)
                return rc;
        if (lives) {
                /* A device that is arriving or leaving cannot say its type; what was known of it still holds.
                 */
                const char *known = seen->type ?: same_parent ? d->type : NULL;

                if ((known && !(type = strdup(known))) || (seen->path && !(path = strdup(seen->path))))
                        return -ENOMEM;
                rc = registry_acquire_parent(r, seen->parent, &p);
                if (rc < 0)
                        return rc;
        }
        rc = registry_acquire_device(r, uuid, &d);
        if (rc < 0)
                return rc;

        (void) registry_touch_device(r, d);
        d->seen = seen->presence;
        if (lives) {
                registry_set_live(r, d, p, TAKE_PTR(type), TAKE_PTR(path));
                d->iommu_group = seen->iommu_group;
        } else
                (void) registry_clear_live(r, d);
        registry_settle_device(r, d, CHANGED_LIVE);
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
        Device *d = registry_slot(r, uuid);
        const Definition *old = d ? device_find_definition(d, parent) : NULL;
        Parent *p;
        int rc;

        rc = check_owner(d, op);
        if (rc < 0)
                return rc;
        if (op == 0 && d && d->op_writes) {
                d->read_again = true;
                return 0;
        }
        if (old && definition ? definition_equal(old, definition) : !old && !definition)
                return 0;
        if (!old && d && d->n_definitions >= DEFINITIONS_MAX)
                return -EUSERS;

        rc = registry_reserve_changes(r, 3);
        if (rc < 0)
                return rc;
        if (definition) {
                rc = definition_copy(definition, &copy);
                if (rc < 0)
                        return rc;
        }
        rc = registry_acquire_parent(r, parent, &p);
        if (rc < 0)
                return rc;
        rc = registry_acquire_device(r, uuid, &d);
        if (rc < 0)
                return rc;

        (void) registry_touch_device(r, d);
        if (old && definition) {
                Definition *place = &d->definitions[old - d->definitions];

                definition_done(place);
                *place = copy;
                copy = (Definition){};
        } else if (definition) {
                rc = device_add_definition(d, &copy);
                if (rc >= 0)
                        registry_ref_parent(r, p);
        } else {
                device_drop_definition(d, (uint32_t) (old - d->definitions));
                registry_unref_parent(r, p);
        }
        registry_settle_device(r, d, rc < 0 ? 0 : CHANGED_DEFINITIONS);
        return rc < 0 ? rc : 0;
}

void registry_set_origin(Registry *r, const Uuid *uuid, Origin origin) {
        Device *d = registry_slot(r, uuid);

        if (!d || d->origin == origin || registry_reserve_changes(r, 1) < 0)
                return;

        (void) registry_touch_device(r, d);
        d->origin = origin;
        registry_settle_device(r, d, CHANGED_LIVE);
}

void registry_set_error(Registry *r, const Uuid *uuid, const Failure *f) {
        Device *d = registry_slot(r, uuid);
        Failure *copy = NULL;

        if (!d || (!d->error && (!f || !failure_is_set(f))) || registry_reserve_changes(r, 1) < 0)
                return;
        if (f && failure_is_set(f)) {
                copy = malloc(sizeof *copy);
                if (!copy)
                        return;
                failure_copy(f, copy);
        }

        (void) registry_touch_device(r, d);
        if (d->error)
                failure_done(d->error);
        free(d->error);
        d->error = copy;
        registry_settle_device(r, d, CHANGED_ERROR);
}

void registry_set_waiting(Registry *r, const Uuid *uuid, Waiting waiting) {
        Device *d = registry_slot(r, uuid);

        if (!d || d->waiting == waiting || registry_reserve_changes(r, 1) < 0)
                return;

        (void) registry_touch_device(r, d);
        d->waiting = waiting;
        registry_settle_device(r, d, CHANGED_WAITING);
}

/* Parents */

int registry_observe_parent(Registry *r, const ParentSighting *seen) {
        _cleanup_(freep) char *path = NULL, *driver = NULL;
        bool another, differs;
        Parent *p;
        int rc;

        if (!seen->present && !registry_parent_slot(r, seen->name))
                return 0;

        rc = registry_reserve_changes(r, 1);
        if (rc < 0)
                return rc;
        if ((seen->path && !(path = strdup(seen->path))) ||
                        (seen->driver && !(driver = strdup(seen->driver))))
                return -ENOMEM;
        rc = registry_acquire_parent(r, seen->name, &p);
        if (rc < 0)
                return rc;

        another = p->present && seen->life != p->life;
        differs = another || p->present != seen->present || !streq_ptr(p->driver, seen->driver) ||
                        p->numa_node != seen->numa_node || (path && !streq_ptr(p->path, path));
        if (!differs)
                return 0;

        p->present = seen->present;
        p->life = seen->present ? seen->life : 0;
        p->numa_node = seen->numa_node;
        free(p->driver);
        p->driver = TAKE_PTR(driver);
        if (path) {
                free(p->path);
                p->path = TAKE_PTR(path);
        }
        registry_touch_parent(r, p)->what |= CHANGED_PARENT;
        if (another || !seen->present) {
                p->types_known = false;
                if (p->types.n > 0)
                        registry_touch_parent(r, p)->what |= CHANGED_TYPES;
                types_done(&p->types);
        }
        return 0;
}

int registry_observe_types(Registry *r, const char *parent, Types *types) {
        Parent *p = registry_parent_slot(r, parent);
        int rc;

        if (p)
                p->n_readings++;
        /* A reading that comes back after the parent went says nothing about what is there now. */
        if (!p || !p->present || (p->types_known && types_equal(&p->types, types))) {
                types_done(types);
                return 0;
        }

        rc = registry_reserve_changes(r, 1);
        if (rc < 0)
                return rc;

        types_done(&p->types);
        p->types_known = true;
        p->types_serial++;
        p->types = *types;
        *types = (Types){};
        registry_touch_parent(r, p)->what |= CHANGED_TYPES;
        return 0;
}

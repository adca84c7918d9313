/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What may begin. The table is in registry.h; each function below is a column of reasons against, in the
 * order in which a client wants to hear of them: what the device is, then what else is missing, and last that
 * somebody is at it. */

#include "model/registry-private.h"

/* Refusals, in words that bus/error.c makes sentences of */

static int refuse(Failure *f, FailureKind kind, const Device *d, const char *parent, const char *type) {
        (void) failure_set(f, kind, 0, NULL, NULL);
        f->state = d ? (int) device_state(d) : -1;
        return failure_set_device(f, d ? &d->uuid : f->has_uuid ? &f->uuid : NULL, parent, type);
}

static int refuse_live(Failure *f, FailureKind kind, const Device *d) {
        return refuse(f, kind, d, d->parent ? d->parent->name : NULL, d->type);
}

static int refuse_too_many(const char *of_what, size_t limit, Failure *f) {
        (void) failure_set(f, FAILURE_TOO_MANY, 0, of_what, NULL);
        f->index = (uint32_t) limit;
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

static void device_begin(Registry *r, Device *d, OperationKind kind, OpId op, bool writes) {
        (void) registry_touch_device(r, d);
        d->op = op;
        d->op_kind = kind;
        d->op_writes = writes;
        d->look_again = d->read_again = false;
        registry_settle_device(r, d, 0);
}

/* Whether a definition on @parent can be added. */
static int check_definable(const Device *d, const char *parent, bool alternate, Failure *f) {
        const Definition *there = d ? device_find_definition(d, parent) : NULL;
        const Definition *elsewhere = d && !alternate ? device_find_definition(d, NULL) : NULL;

        if (there)
                return refuse(f, FAILURE_EXISTS_DEFINED, d, parent, there->type);
        if (elsewhere)
                return refuse(f, FAILURE_EXISTS_ELSEWHERE, d, elsewhere->parent, elsewhere->type);
        if (d && d->n_definitions >= DEFINITIONS_MAX)
                return refuse_too_many("definitions of one device", DEFINITIONS_MAX, f);
        return 0;
}

static int begin_create(Registry *r, const Uuid *uuid, const char *parent, const char *type, bool define,
                bool alternate, OpId op, Failure *f) {
        _cleanup_(freep) char *type_copy = NULL;
        Device *d = registry_slot(r, uuid);
        Parent *p;
        int rc;

        rc = name_subject(f, uuid, parent, type);
        if (rc < 0)
                return rc;

        if (d && device_state(d) != DEVICE_DEFINED)
                return refuse_live(f, FAILURE_EXISTS, d);
        rc = define ? check_definable(d, parent, alternate, f) : 0;
        if (rc < 0)
                return rc;
        p = registry_parent_slot(r, parent);
        if (!p || !p->present)
                return refuse(f, FAILURE_PARENT_ABSENT, d, parent, type);
        if (d && d->op != 0)
                return refuse_live(f, FAILURE_BUSY, d);
        if (!d && r->n_devices >= r->max_devices)
                return refuse_too_many("devices", r->max_devices, f);

        type_copy = strdup(type);
        if (!type_copy)
                return check_out_of_memory(-ENOMEM, f);
        rc = check_out_of_memory(registry_reserve_changes(r, 2), f);
        if (rc < 0)
                return rc;
        rc = check_out_of_memory(registry_acquire_device(r, uuid, &d), f);
        if (rc < 0)
                return rc;

        device_begin(r, d, OPERATION_CREATE, op, define);
        (void) registry_touch_device(r, d);
        registry_set_live(r, d, p, TAKE_PTR(type_copy), NULL);
        d->origin = ORIGIN_MDEVD;
        registry_settle_device(r, d, CHANGED_LIVE);
        return 0;
}

int registry_begin_create(
                Registry *r, const Uuid *uuid, const char *parent, const char *type, OpId op, Failure *f) {
        return begin_create(r, uuid, parent, type, false, false, op, f);
}

int registry_begin_create_and_define(Registry *r, const Uuid *uuid, const char *parent, const char *type,
                bool alternate, OpId op, Failure *f) {
        return begin_create(r, uuid, parent, type, true, alternate, op, f);
}

/* Whether there is a live device to do something with. @parent: as asked for, or NULL */
static int check_alive(const Device *d, const char *parent, Failure *f) {
        if (!d || !device_is_visible(d))
                return refuse(f, FAILURE_NO_SUCH_DEVICE, NULL, parent, NULL);
        if (device_state(d) == DEVICE_DEFINED)
                return refuse(f, FAILURE_NOT_ACTIVE, d,
                                d->n_definitions > 0 ? d->definitions[0].parent : NULL,
                                d->n_definitions > 0 ? d->definitions[0].type : NULL);
        return device_state(d) == DEVICE_ORPHANED ? refuse_live(f, FAILURE_ORPHANED, d) : 0;
}

int registry_begin_remove(Registry *r, const Uuid *uuid, OpId op, Failure *f) {
        Device *d = registry_find(r, uuid);
        int rc;

        rc = name_subject(f, uuid, NULL, NULL);
        if (rc < 0)
                return rc;

        rc = check_alive(d, NULL, f);
        if (rc < 0)
                return rc;
        rc = check_idle(d, f);
        if (rc < 0)
                return rc;

        rc = check_out_of_memory(registry_reserve_changes(r, 1), f);
        if (rc < 0)
                return rc;

        device_begin(r, d, OPERATION_REMOVE, op, false);
        return 0;
}

int registry_begin_define(
                Registry *r, const Uuid *uuid, const char *parent, bool alternate, OpId op, Failure *f) {
        Device *d = registry_slot(r, uuid);
        int rc;

        rc = name_subject(f, uuid, parent, NULL);
        if (rc < 0)
                return rc;

        if (d && device_state(d) != DEVICE_DEFINED && device_state(d) != DEVICE_ACTIVE &&
                        device_state(d) != DEVICE_ORPHANED)
                return check_idle(d, f);
        rc = check_definable(d, parent, alternate, f);
        if (rc < 0)
                return rc;
        if (d && d->op != 0)
                return refuse_live(f, FAILURE_BUSY, d);
        if (!d && r->n_devices >= r->max_devices)
                return refuse_too_many("devices", r->max_devices, f);

        rc = check_out_of_memory(registry_reserve_changes(r, 1), f);
        if (rc < 0)
                return rc;
        rc = check_out_of_memory(registry_acquire_device(r, uuid, &d), f);
        if (rc < 0)
                return rc;

        device_begin(r, d, OPERATION_DEFINE, op, true);
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

        rc = check_out_of_memory(registry_reserve_changes(r, 1), f);
        if (rc < 0)
                return rc;

        device_begin(r, d, kind, op, true);
        return 0;
}

int registry_begin_modify(Registry *r, const Uuid *uuid, const char *parent, OpId op, Failure *f) {
        return begin_change(r, uuid, parent, OPERATION_MODIFY, op, f);
}

int registry_begin_live(
                Registry *r, const Uuid *uuid, const char *parent, bool defined, OpId op, Failure *f) {
        Device *d = registry_find(r, uuid);
        int rc;

        rc = name_subject(f, uuid, parent, NULL);
        if (rc < 0)
                return rc;

        rc = check_alive(d, parent, f);
        if (rc < 0)
                return rc;
        if (device_state(d) == DEVICE_CREATING || device_state(d) == DEVICE_REMOVING)
                return check_idle(d, f);
        if (!streq(d->parent->name, parent))
                return refuse(f, FAILURE_CHANGED_MEANWHILE, d, parent, NULL);
        if (defined && !device_find_definition(d, parent))
                return refuse(f, FAILURE_NO_SUCH_DEFINITION, d, parent, NULL);
        rc = check_idle(d, f);
        if (rc < 0)
                return rc;

        rc = check_out_of_memory(registry_reserve_changes(r, 1), f);
        if (rc < 0)
                return rc;

        device_begin(r, d, OPERATION_MODIFY, op, defined);
        return 0;
}

int registry_begin_undefine(Registry *r, const Uuid *uuid, const char *parent, OpId op, Failure *f) {
        return begin_change(r, uuid, parent, OPERATION_UNDEFINE, op, f);
}

int registry_adopt(Registry *r, const Uuid *uuid, OperationKind kind, const char *parent, const char *type,
                OpId op) {
        _cleanup_(freep) char *type_copy = NULL;
        Parent *p = NULL;
        Device *d = registry_slot(r, uuid);
        int rc;

        if (d && d->op != 0)
                return -EBUSY;
        if (type && !(type_copy = strdup(type)))
                return -ENOMEM;
        rc = registry_reserve_changes(r, 2);
        if (rc < 0)
                return rc;
        if (parent && (kind == OPERATION_CREATE || kind == OPERATION_REMOVE) && !(d && d->parent)) {
                rc = registry_acquire_parent(r, parent, &p);
                if (rc < 0)
                        return rc;
        }
        rc = registry_acquire_device(r, uuid, &d);
        if (rc < 0)
                return rc;

        device_begin(r, d, kind, op, false);
        if (p) {
                (void) registry_touch_device(r, d);
                registry_set_live(r, d, p, TAKE_PTR(type_copy), NULL);
                /* Whose it is that is being removed, the operation does not say. */
                if (kind == OPERATION_CREATE)
                        d->origin = ORIGIN_MDEVD;
                registry_settle_device(r, d, CHANGED_LIVE);
        }
        return 0;
}

int registry_end(Registry *r, const Uuid *uuid, OpId op) {
        Device *d = registry_slot(r, uuid);
        unsigned what = 0;
        int hints;

        if (!d || d->op == 0 || d->op != op)
                return -ESTALE;

        (void) registry_touch_device(r, d);
        hints = (d->look_again ? END_LOOK_AGAIN : 0) | (d->read_again ? END_READ_AGAIN : 0);
        d->op = 0;
        d->op_kind = OPERATION_NONE;
        d->op_writes = d->look_again = d->read_again = false;
        if (d->seen == PRESENCE_ABSENT)
                what = registry_clear_live(r, d);
        registry_settle_device(r, d, what);
        return hints;
}

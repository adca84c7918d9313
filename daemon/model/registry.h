/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The registry: one slot for each UUID that is known for any reason (defined, reserved, alive), the state
 * machine over it, and the parents. It decides and reports and never acts: no I/O, no clock, no callbacks.
 *
 * State is derived and never stored: from the operation under way if it creates or removes, else from the
 * last sighting. So an operation does not decide what state follows it; the sighting that it ends with does.
 *
 *   asked for ↓ / state →   (unknown)    DEFINED      CREATING  ACTIVE     REMOVING  ORPHANED
 *   create                  → CREATING   → CREATING   EEXIST    EEXIST     EEXIST    EEXIST
 *   remove                  ENODEV       ENODEV       EAGAIN    → REMOVING EAGAIN    ENOTRECOVERABLE
 *   define, no definition   begins       –            EAGAIN    begins     EAGAIN    begins
 *   define, on this parent  –            EEXIST       EAGAIN    EEXIST     EAGAIN    EEXIST
 *   define, on others only  –            EEXIST *     EAGAIN    EEXIST *   EAGAIN    EEXIST *
 *   undefine, modify        ENODEV       begins **    EAGAIN    begins **  EAGAIN    begins **
 *
 *   * begins if alternate    ** ENODEV if there is no such definition
 *
 * What the table lets begin is still EAGAIN while any operation on the same UUID is under way: operations of
 * one UUID never overlap. CREATING and REMOVING need not be ours: somebody else's creation or a removal that
 * waits for a VM looks the same, without an operation.
 *
 * A device is visible (an object that clients see) if it lives, is being created by us, or has a definition;
 * a UUID whose first definition is still being written has a slot, but is not visible. */

#include <stdint.h>

#include "model/definition.h"
#include "model/failure.h"
#include "model/parent.h"
#include "model/sighting.h"

typedef struct Registry Registry;
typedef uint64_t OpId; /* 0: no operation. Never used twice. */

typedef enum DeviceState {
        DEVICE_DEFINED,
        DEVICE_CREATING,
        DEVICE_ACTIVE,
        DEVICE_REMOVING,
        DEVICE_ORPHANED,
        _DEVICE_STATE_MAX,
} DeviceState;

typedef enum OperationKind {
        OPERATION_NONE,
        OPERATION_CREATE,
        OPERATION_REMOVE,
        OPERATION_DEFINE,
        OPERATION_MODIFY,
        OPERATION_UNDEFINE,
        _OPERATION_KIND_MAX,
} OperationKind;

/* Why a device that is marked for autostart has not been started yet. */
typedef enum Waiting {
        WAITING_NOT, /* nothing to wait for: it lives, is not marked, or was dealt with */
        WAITING_PARENT,
        WAITING_TYPE,
        WAITING_CAPACITY,
        WAITING_FAILED,
        _WAITING_MAX,
} Waiting;

typedef enum Origin {
        ORIGIN_EXTERNAL,
        ORIGIN_MDEVD,
        _ORIGIN_MAX,
} Origin;

typedef struct Parent {
        char *name;
        bool present;
        uint64_t life; /* tells one registration of it from the next; 0 while it is absent */
        char *path;    /* kept when the parent goes: its children may still be leaving */
        char *driver;
        int numa_node;
        bool types_known; /* they have been read in this life */
        Types types;
        uint64_t n_readings, types_serial; /* counts: of all readings, and of those that were different */

        uint32_t n_references; /* definitions and live devices that name it */
        uint32_t change;       /* index of its queued change + 1; 0: none */
} Parent;

typedef struct Device {
        Uuid uuid;

        /* The operation under way. */
        OpId op;
        OperationKind op_kind;
        bool op_writes;  /* it is at the definitions: nobody else's word on them counts until it is over */
        bool look_again; /* what somebody saw of the device, or of its files, meanwhile did not count */
        bool read_again;

        /* What lives, or is being created. */
        Presence seen;
        Origin origin;
        int iommu_group;
        Parent *parent; /* borrowed from the registry; NULL if nothing lives */
        char *type;     /* NULL if not known */
        char *path;     /* NULL if nothing lives */

        Definition *definitions; /* at most one per parent, sorted by its name */
        uint32_t n_definitions;

        uint32_t change; /* index of its queued change + 1; 0: none */
        Waiting waiting;
        Failure *error; /* of the last operation, NULL if it succeeded */
} Device;

typedef enum ChangeMask {
        CHANGED_STATE = 1 << 0,
        CHANGED_LIVE = 1 << 1, /* parent, type, path, origin, group */
        CHANGED_DEFINITIONS = 1 << 2,
        CHANGED_ERROR = 1 << 3,
        CHANGED_PARENT = 1 << 4, /* of a parent: anything but its types */
        CHANGED_TYPES = 1 << 5,
        CHANGED_WAITING = 1 << 6,
} ChangeMask;

/* One per device or parent since the last registry_drop_changes(), however often it changed. */
typedef struct Change {
        Device *device; /* either this */
        Parent *parent; /* or this */
        bool was_visible;
        DeviceState old_state; /* of a device that was visible */
        unsigned what;         /* of ChangeMask */
} Change;

/* @max_devices: how many UUIDs clients may make known; what the kernel or the disk show is not bounded by it.
 */
int registry_new(Registry **ret, size_t max_devices);
Registry *registry_free(Registry *r);
DEFINE_CLEANUP(Registry *, registry_free);

const char *device_state_to_string(DeviceState state);
const char *origin_to_string(Origin origin);
const char *waiting_to_string(Waiting waiting); /* "" for WAITING_NOT */

DeviceState device_state(const Device *d);
bool device_is_visible(const Device *d);

bool device_is_active(const Device *d);

/* @parent: NULL stands for any, then the first is returned. Borrowed until the device changes. */
const Definition *device_find_definition(const Device *d, const char *parent);

bool parent_is_visible(const Parent *p);

/* Return: borrowed until the parent changes; NULL if it has no such type, or is not known to. */
const Type *parent_find_type(const Parent *p, const char *type);

/* Lookups. Return: borrowed until the next registry_drop_changes(); NULL if there is none (or none visible).
 */
Device *registry_find(const Registry *r, const Uuid *uuid);
Parent *registry_find_parent(const Registry *r, const char *name);

/* Whether an operation is under way that writes definitions of @uuid, be it the first, of which nothing is
 * visible yet. */
bool registry_is_written(const Registry *r, const Uuid *uuid);

/* All visible ones in order of UUID or name. @ret: free() the vector; its elements are borrowed as above.
 * Those of a range take as long as there are many in it, unless a device came or went since the last time.
 * Return: 0; -ENOMEM. */
int registry_list(const Registry *r, Device ***ret, size_t *ret_n);
int registry_list_range(const Registry *r, const UuidRange *range, Device ***ret, size_t *ret_n);
int registry_list_parents(const Registry *r, Parent ***ret, size_t *ret_n);

typedef struct RegistryCounts {
        size_t n_visible, n_active, n_operations, n_definitions;
} RegistryCounts;

/* Kept up to date, no walk. */
RegistryCounts registry_count(const Registry *r);

/**
 * registry_begin_create() - claim a UUID for a device about to be created
 * @r:       registry
 * @uuid:    UUID to claim
 * @parent:  name of a present parent; copied
 * @type:    its type; copied, not checked here (only the kernel knows)
 * @op:      operation that owns the slot until registry_end(); never 0
 * @f:       filled in on error
 *
 * One lookup checks and claims, so of any number of callers one gets through. The device is CREATING
 * afterwards.
 *
 * Return: 0; -EEXIST, -ENXIO (@parent is absent), -EAGAIN, -EUSERS, -ENOMEM. On error nothing changed.
 */
int registry_begin_create(
                Registry *r, const Uuid *uuid, const char *parent, const char *type, OpId op, Failure *f);

/* The same, and it will be written down too: also -EEXIST if it has a definition on @parent, or on another
 * and
 * @alternate is not set. */
int registry_begin_create_and_define(Registry *r, const Uuid *uuid, const char *parent, const char *type,
                bool alternate, OpId op, Failure *f);

/* The table above; @parent as in device_find_definition() for those that take a definition's. The errors are
 * the table's, and -EUSERS and -ENOMEM. On error nothing changed but @f. */
int registry_begin_remove(Registry *r, const Uuid *uuid, OpId op, Failure *f);
int registry_begin_define(
                Registry *r, const Uuid *uuid, const char *parent, bool alternate, OpId op, Failure *f);
int registry_begin_modify(Registry *r, const Uuid *uuid, const char *parent, OpId op, Failure *f);
int registry_begin_undefine(Registry *r, const Uuid *uuid, const char *parent, OpId op, Failure *f);

/* A change of what is active, on @parent; of nothing else, or with @defined of its definition there as well:
 * then both the table's rows for remove and modify must let it begin. What lives goes on as it is. */
int registry_begin_live(Registry *r, const Uuid *uuid, const char *parent, bool defined, OpId op, Failure *f);

/* Takes over an operation that an earlier daemon began and whose worker is still at it: the slot is @op's
 * until registry_end(), but what the files say counts all along: a removal may take for ever. @parent, @type:
 * what it was about, NULL if not known; what is known of a device that lives holds. Return: 0; -EBUSY if an
 * operation is under way; -ENOMEM. */
int registry_adopt(Registry *r, const Uuid *uuid, OperationKind kind, const char *parent, const char *type,
                OpId op);

/* What is to be done after an operation, because what others saw meanwhile did not count. */
typedef enum EndHint {
        END_LOOK_AGAIN = 1 << 0, /* at the device */
        END_READ_AGAIN = 1 << 1, /* its files */
} EndHint;

/* Ends the operation of a slot; the facts it found out must have been told before. A slot that nothing holds
 * any more dies with the next registry_drop_changes(). Return: 0 or a set of EndHint; -ESTALE if @op is not
 * its operation. */
int registry_end(Registry *r, const Uuid *uuid, OpId op);

/**
 * registry_observe() - tell what a look at sysfs saw of one device
 * @seen: copied; PRESENCE_UNKNOWN changes nothing
 * @op:   the operation whose last act the look was; 0: a look for another reason (udev, resync)
 *
 * While it is being created or removed by an operation only that one's own sighting counts; others make
 * registry_end() say LOOK_AGAIN. Other operations are about files, and hold up no sighting.
 *
 * Return: 0; -ESTALE if @op is not 0 and not the slot's; -EINVAL if @seen lives and does not say on which
 *         parent; -ENOMEM. On error nothing changed.
 */
int registry_observe(Registry *r, const Uuid *uuid, const Sighting *seen, OpId op);

/* Tells what is on disk for one UUID and parent; @definition NULL: no file. Copied. While an operation that
 * writes definitions is under way only its own word counts, as above with READ_AGAIN. Return: as
 * registry_observe(); -EUSERS if DEFINITIONS_MAX would be passed. */
int registry_observe_definition(
                Registry *r, const Uuid *uuid, const char *parent, const Definition *definition, OpId op);

void registry_set_origin(Registry *r, const Uuid *uuid, Origin origin);

/* What clients see as LastError: copied; NULL or one that is not set means none. */
void registry_set_error(Registry *r, const Uuid *uuid, const Failure *f);

void registry_set_waiting(Registry *r, const Uuid *uuid, Waiting waiting);

/* One that is seen in another life than before has been away in between: what its types were says nothing.
 * Return: 0; -ENOMEM. On error nothing changed. */
int registry_observe_parent(Registry *r, const ParentSighting *seen);

/* Takes over *@types, which is empty afterwards (freed if the parent is not there). Return: 0; -ENOMEM. */
int registry_observe_types(Registry *r, const char *parent, Types *types);

/* What changed since the last registry_drop_changes(), in the order of first change. Borrowed until the next
 * call of any function that changes the registry. Devices and parents that died are still to be found. */
const Change *registry_changes(const Registry *r, size_t *ret_n);

/* Forgets the changes and frees what died. */
void registry_drop_changes(Registry *r);

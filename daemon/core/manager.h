/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The manager: owns everything, and is what the bus layer sees of the daemon. Knows no D-Bus; talks upward
 * through the listener and through one reply per request.
 *
 * Requests either fail at once (a negative errno, the reason in @f, nothing has changed), or are so already
 * (1), or return 0 and call @reply exactly once, later, when the work is done; every signal that the work
 * caused has been sent by then. Only in that last case is @reply called at all. */

#include <systemd/sd-event.h>

#include "model/modification.h"
#include "model/registry.h"

typedef struct Manager Manager;

typedef struct ManagerLimits {
        size_t devices_max;             /* UUIDs that clients may make known */
        unsigned operations_max;        /* at work on definitions at a time */
        unsigned creations_max;         /* in one driver at a time */
        unsigned operations_queued_max; /* waiting for one of those */
} ManagerLimits;

typedef struct InvalidDefinition {
        char *path;
        char *reason;
        OpId op; /* that found it last */
} InvalidDefinition;

typedef enum ManagerChange {
        MANAGER_CHANGED_COUNTS = 1 << 0,
        MANAGER_CHANGED_INVALID = 1 << 1,
        MANAGER_CHANGED_SETTLED = 1 << 2,
} ManagerChange;

typedef struct ManagerListener {
        /* Everything that changed in one stroke: of devices and parents, and of the manager's own properties
         * (of ManagerChange). What is borrowed here is gone afterwards. */
        void (*changed)(const Change *changes, size_t n, unsigned manager_changes, void *userdata);
        void *userdata;
} ManagerListener;

typedef struct ManagerOptions {
        const char *root;        /* what stands for "/"; NULL: "/" itself */
        const char *worker_path; /* the worker's executable */
        ManagerLimits limits;
        unsigned script_timeout_sec; /* how long one call-out script may take */
} ManagerOptions;

int manager_new(Manager **ret, sd_event *event, const ManagerOptions *options);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager *, manager_free);

void manager_set_listener(Manager *m, const ManagerListener *listener);

/* @f: NULL on success. @uuid: of the request. */
typedef void (*ManagerReply)(const Failure *f, const Uuid *uuid, void *userdata);

/* Begins to listen to the host and takes in what is there; @ready is told when that is done. The only failure
 * that it is told of is FAILURE_CANCELLED: what cannot be read now is a trouble, and read later. */
int manager_start(Manager *m, ManagerReply ready, void *userdata);

/* Reading */

const Registry *manager_registry(const Manager *m);
const InvalidDefinition *manager_invalid_definitions(const Manager *m, size_t *ret_n);
bool manager_is_settled(const Manager *m);

/* What is stuck or does not work, of what the daemon depends on. */
typedef struct Trouble {
        const char *name;     /* of what: the same of all like it */
        const char *sentence; /* borrowed for the call */
        uint64_t since_usec;  /* CLOCK_REALTIME */
} Trouble;

/* Return: what stops the list if it is negative. */
typedef int (*TroubleFn)(const Trouble *t, void *userdata);

int manager_list_troubles(const Manager *m, TroubleFn fn, void *userdata);

/* Compares what lives with sysfs, so that an answer that follows is true now and not as of the last event:
 * those of a range, for which sysfs lists all active devices, or one, at a cost that does not depend on how
 * many there are. */
void manager_recheck(Manager *m, const UuidRange *range);
void manager_recheck_one(Manager *m, const Uuid *uuid);

/* What an incomplete request means, found out before it is authorized so that the authorization is about the
 * real parent and type. On success the strings of *@d that were empty are filled in. On error @d is what it
 * was. */

/* A definition without parent and type: those of the live device. */
int manager_complete_definition(Manager *m, Definition *d, Failure *f);

/* A creation without parent: the one with the most instances of the type left. */
int manager_complete_creation(Manager *m, Definition *d, Failure *f);

/* Whether a device like @d is active; *@d then says on which parent. */
bool manager_is_active(Manager *m, Definition *d);

/* A definition from its JSON text: type, autostart, attributes. */
int manager_parse_definition(const char *json, Definition *d, Failure *f);

/* A modification of an active device: its parent and type. @defined: it must have a definition there as well,
 * of the same type. */
int manager_complete_live(Manager *m, Definition *d, bool defined, Failure *f);

/* Which definition is meant, copied. @parent: "" for the only one, or with @any for the first whose parent is
 * there. */
int manager_pick_definition(
                Manager *m, const Uuid *uuid, const char *parent, bool any, Definition *ret, Failure *f);

/* What is in the way of starting a device that has no definition is that it lives, if it does. */
void manager_explain_start(Manager *m, Failure *f);

/* Requests */

/* Who makes the requests that follow, for the journal. */
typedef struct Requester {
        bool is_known;
        uint32_t uid;
        uint32_t pid;     /* 0: not known */
        const char *unit; /* NULL: not known */
} Requester;

/* Copied; NULL: nobody does. */
void manager_requested_by(Manager *m, const Requester *who);

typedef struct DefineOptions {
        bool alternate;   /* even if it has a definition on another parent */
        bool force;       /* of all verbs: go on although a call-out script refuses */
        const char *text; /* the JSON that the definition came from, whose other keys are written too; NULL:
                             from none */
} DefineOptions;

/* All copied. */
int manager_define(Manager *m, const Definition *d, const DefineOptions *options, Failure *f,
                ManagerReply reply, void *userdata);

typedef struct ModifyOptions {
        bool live;    /* the active device */
        bool defined; /* the definition; with @live after it, and only if that succeeded */
        bool direct;  /* with @live: write the attributes if no script can do it */
        bool force;
        const char *text;
} ModifyOptions;

/* Changes the definition of @d's UUID on its parent, and the active device, or one of them; with a text it
 * becomes @d instead, which came from it. With @live @d is complete and the modification replaces all
 * attributes. */
int manager_modify(Manager *m, const Definition *d, const Modification *modification,
                const ModifyOptions *options, Failure *f, ManagerReply reply, void *userdata);

/* @parent: NULL for all definitions of the UUID. */
int manager_undefine(Manager *m, const Uuid *uuid, const char *parent, bool force, Failure *f,
                ManagerReply reply, void *userdata);

typedef struct CreateOptions {
        bool define;    /* and write it down, in the same operation */
        bool alternate; /* even if it has a definition on another parent */
        bool force;
        bool exist_ok; /* an active device of the same parent and type is a success; one that is being created
                        * will be, if it becomes one (not with @define) */
        const char *text; /* JSON that the description came from, for @define; NULL: from none */
} CreateOptions;

/* Creates the device that @d describes, all of it given. */
int manager_create(Manager *m, const Definition *d, const CreateOptions *options, Failure *f,
                ManagerReply reply, void *userdata);

typedef struct StopOptions {
        bool force;
        bool wait_for_release; /* remove also what somebody has open, and wait until it is closed */
        uint64_t timeout_usec; /* reply FAILURE_PENDING after this, and go on; UINT64_MAX: never */
} StopOptions;

/* @parent: whose device it was when the request was authorized. */
int manager_stop(Manager *m, const Uuid *uuid, const char *parent, const StopOptions *options, Failure *f,
                ManagerReply reply, void *userdata);

/* One device that could not be started. */
typedef struct StartFailure {
        Uuid uuid;
        Failure failure;
} StartFailure;

typedef void (*ManagerStartParentReply)(const StartFailure *failures, size_t n, void *userdata);

/* Starts all that is defined on a parent, marked for autostart, and not active. If nothing is to be waited
 * for,
 * @reply is called before this returns. */
int manager_start_parent(
                Manager *m, const char *parent, Failure *f, ManagerStartParentReply reply, void *userdata);

/* Reads the types of one parent (NULL: of all) anew; what a driver does not tell within some seconds stays as
 * it was. */
int manager_refresh_types(Manager *m, const char *parent, Failure *f, ManagerReply reply, void *userdata);

/* @f: NULL on success. @attributes: borrowed. */
typedef void (*ManagerAttributesReply)(const Failure *f, const Attributes *attributes, void *userdata);

/* Has a call-out script tell the attributes of the active device @d, of which parent and type are given;
 * without a script there are none. */
int manager_get_attributes(
                Manager *m, const Definition *d, Failure *f, ManagerAttributesReply reply, void *userdata);

/* Takes in everything anew: files, parents, devices. */
int manager_rescan(Manager *m, Failure *f, ManagerReply reply, void *userdata);

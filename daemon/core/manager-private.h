/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of core share, and nobody else sees. manager.c owns; verbs.c, reconcile.c and capacity.c
 * each put one thing in it. */

#include "base/log.h"
#include "core/manager.h"
#include "core/operation.h"
#include "host/monitor.h"

typedef struct Autostarts Autostarts;
typedef struct Reading Reading;
typedef struct Scan Scan;
typedef struct Verb Verb;
typedef struct Watching Watching;

/* A device that is to be looked at once more. */
typedef struct Suspect {
        Uuid uuid;
        uint64_t at_usec;
} Suspect;

/* Whose work a commit tells of. */
typedef struct Cause {
        const Uuid *uuid;
        OperationKind kind;
        const char *parent, *type; /* what it was asked for; NULL: not known */
        const Requester *who;
        uint64_t took_usec; /* 0: it has only begun */
} Cause;

struct Manager {
        sd_event *event;
        int root_fd;
        int sys_fd;   /* -EBADF while there is no /sys */
        bool is_host; /* the root is "/": udev speaks about what we see */
        ManagerLimits limits;
        ManagerListener listener;
        WorkerProgram program;
        Registry *registry;
        Operations *operations;

        /* What the listener was last told. */
        RegistryCounts told;
        bool told_settled;
        unsigned changes; /* of ManagerChange, since the last commit */

        /* Until all has been looked at for the first time. */
        bool is_quiet;
        bool files_were_tried; /* to be read; mostly with success */
        ManagerReply ready;
        void *ready_userdata;

        int record_fd;
        Requester requester;
        char *requester_unit;
        const Cause *cause; /* of the commit under way; NULL: nobody's */

        Verb *verbs; /* under way */

        /* reconcile.c */
        Monitor *monitor;
        sd_event_source *status; /* tells the service manager how many there are */
        sd_event_source *monitor_io;
        sd_event_source *second_look; /* for the suspects: what may be on its way in or out */
        Suspect *suspects;            /* in the order of their times */
        size_t n_suspects, n_suspects_allocated;

        /* files.c, invalid.c */
        Scan *scan;
        Failure owed;       /* why not all files have been read */
        uint64_t owed_usec; /* until they are tried again after the next failure; 0: all have been read */
        uint64_t owed_since_usec; /* CLOCK_REALTIME */
        sd_event_source *owed_timer;
        InvalidDefinition *invalid;
        size_t n_invalid, n_invalid_allocated;

        /* troubles.c: what the disk said, until it takes something; NULL: nothing */
        char *store_trouble;
        uint64_t store_trouble_since_usec;

        /* watching.c */
        Watching *watching;

        /* capacity.c */
        Reading *readings;
        char **stale; /* parents to be read soon */
        size_t n_stale;
        sd_event_source *stale_timer;

        /* autostart.c */
        Autostarts *autostarts;

        /* callouts.c */
        Capabilities capabilities; /* what workers found out about scripts */
        unsigned script_timeout_sec;
};

/* The commit point: logs and tells what has changed, then forgets it. Every entry from the event loop ends
 * here, before it replies. */
void manager_commit(Manager *m);
void manager_commit_because(Manager *m, const Cause *cause);

/* What systemctl(1) shows of us is another sentence now. */
void manager_status_changed(Manager *m);

/* Fields of the journal that say whose work it is: four, and the end of the list. */
#define CAUSE_FIELDS_MAX 6U
void cause_to_fields(
                const Cause *cause, LogField fields[static CAUSE_FIELDS_MAX], char numbers[static 3][24]);

/* The lane of what enters the driver of @parent, for one purpose. NULL: no memory. */
Lane *manager_driver_lane(Manager *m, const char *purpose, const char *parent, unsigned max);

/* adopt.c */

/* Takes over what workers of an earlier daemon are still at. */
void adopt_all(Manager *m);

/* When all operations have been cancelled: ends those for which no worker was waiting just then. */
void adopt_stop(Manager *m);

/* troubles.c */

/* An operation on files has ended: whether the disk does its duty. @f: a success clears what was. */
void troubles_store_said(Manager *m, const Failure *f);

/* A piece of work that began at @began_usec (CLOCK_MONOTONIC; 0: a success says nothing) has ended: whether
 * there was memory for it. */
void troubles_memory_said(const Failure *f, uint64_t began_usec);

/* Tells of what began so long ago that it is trouble. Both times are CLOCK_MONOTONIC. @t: its since_usec is
 * not looked at. */
int troubles_tell_slow(
                const Trouble *t, uint64_t began_usec, uint64_t now_usec, TroubleFn fn, void *userdata);

uint64_t troubles_now(void);

/* recognise.c */

/* Finds out whether a device that is there is one of ours, and whether it ever was finished; and of all. */
void recognise_device(Manager *m, const Uuid *uuid);
void recognise_all(Manager *m);

/* reconcile.c */
int reconcile_start(Manager *m);
void reconcile_stop(Manager *m);

/* Looks at one device now, unless it is being created or removed by an operation (then when that is over).
 * @path: where it was, if nothing is known of it (NULL: not known): one that is leaving is found nowhere
 * else. */
void reconcile_device(Manager *m, const Uuid *uuid);
void reconcile_device_at(Manager *m, const Uuid *uuid, const char *path);

/* The same somewhat later: for what may be on its way. */
void reconcile_device_later(Manager *m, const Uuid *uuid);
void reconcile_parent(Manager *m, const char *name);

/* Looks at everything; @reply is called when the files have been read too. */
int reconcile_all(Manager *m, Failure *f, ManagerReply reply, void *userdata);

/* files.c */

/* Reads all files anew; @reply (NULL: nobody waits) is told when a reading that began after this call has
 * ended. One that fails, be it now, is owed, and done again without being asked for. */
int files_scan(Manager *m, Failure *f, ManagerReply reply, void *userdata);

/* Reads what is at @places (wire.h), of which there is at least one; taken over on success. Return: 0; -EBUSY
 * while another reading is under way; another errno, then all files are owed. */
int files_read(Manager *m, char **places);

/* Of files that could not be read. */
int files_list_troubles(const Manager *m, TroubleFn fn, void *userdata);

/* No reading of everything is under way. */
bool files_are_read(const Manager *m);

/* An operation has told of a definition: what a scan under way read of it may be older. */
void files_touched(Manager *m, const Uuid *uuid, const char *parent);
void files_stop(Manager *m);

/* invalid.c */

/* A file was found that is not a definition. @op: of the reading that found it. */
int invalid_add(Manager *m, const char *path, const char *reason, OpId op);

/* Forgets what was said of @path (with a "/" at its end: of all below; NULL: of everything), unless @op has
 * found it again. */
void invalid_sweep(Manager *m, const char *path, OpId op);

/* The same of all files of a device, under whatever name, in a parent's folder or (with the top one) in any.
 */
void invalid_sweep_device(Manager *m, const char *folder, const Uuid *uuid, OpId op);
void invalid_stop(Manager *m);

/* watching.c */

void watching_start(Manager *m);
void watching_stop(Manager *m);

/* Before everything is read: sees to it that all of it is watched. */
void watching_update(Manager *m);

/* A reading, or an operation, is over; what came up meanwhile is next. */
void watching_go_on(Manager *m);

/* The definitions of a UUID are to be read again, wherever they are. */
void watching_read_again(Manager *m, const Uuid *uuid);

/* An operation has told of a definition that it wrote (@exists), or found or left not there: its own event is
 * no news. @succeeded: it did to the file what it was to do. */
void watching_operation_told(Manager *m, const Uuid *uuid, const char *parent, bool exists, bool succeeded);

/* capacity.c */

/* Has a worker read what a parent offers. */
void capacity_refresh(Manager *m, const char *parent);

/* An instance was taken or given back there: the parent and its siblings are read soon. */
void capacity_changed(Manager *m, const char *parent);

/* Whether what a worker tells of a parent's types is about the parent that is there now. */
bool capacity_is_current(const Manager *m, const char *parent);

/* How many readings of a parent have begun in its time, by the count that its n_readings is of those that
 * have ended. */
uint64_t capacity_count_readings(const Manager *m, const char *parent);

/* Of drivers that do not answer. */
int capacity_list_troubles(const Manager *m, uint64_t now_usec, unsigned max, TroubleFn fn, void *userdata);

void capacity_stop(Manager *m);

/* autostart.c */

int autostart_start(Manager *m);
void autostart_stop(Manager *m);

/* All files have been read. */
void autostart_files_read(Manager *m);

/* At the commit point, before the changes are told and forgotten. */
void autostart_changes(Manager *m);

/* A reading of a parent has ended, with whatever result. */
void autostart_types_read(Manager *m, const char *parent);

bool autostart_is_settled(const Manager *m);

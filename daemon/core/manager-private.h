/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of core share, and nobody else sees. manager.c owns; verbs.c, reconcile.c and capacity.c
 * each put one thing in it. */

#include "core/manager.h"
#include "core/operation.h"
#include "host/monitor.h"

typedef struct Scan Scan;
typedef struct Reading Reading;

struct Manager {
        sd_event *event;
        int root_fd;
        int sys_fd;   /* -EBADF while there is no /sys */
        bool is_host; /* the root is "/": udev speaks about what we see */
        ManagerListener listener;
        WorkerProgram program;
        Registry *registry;
        Operations *operations;

        /* What the listener was last told. */
        RegistryCounts told;
        unsigned changes; /* of ManagerChange, since the last commit */

        /* reconcile.c */
        Monitor *monitor;
        sd_event_source *monitor_io;
        sd_event_source *second_look; /* for the suspects: what may be on its way in or out */
        Uuid *suspects;
        size_t n_suspects, n_suspects_allocated;

        /* files.c */
        Scan *scan;
        InvalidDefinition *invalid;
        size_t n_invalid, n_invalid_allocated;

        /* capacity.c */
        Reading *readings;

        /* callouts.c */
        Capabilities capabilities; /* what workers found out about scripts */
        unsigned script_timeout_sec;
};

/* The commit point: logs and tells what has changed, then forgets it. Every entry from the event loop ends
 * here, before it replies. */
void manager_commit(Manager *m);

/* verbs.c */

/* Takes over what a worker of an earlier daemon is still at. */
void verbs_adopt_all(Manager *m);

/* reconcile.c */
int reconcile_start(Manager *m);
void reconcile_stop(Manager *m);

/* Looks at one device now, unless an operation on it is under way (then when that is over). */
void reconcile_device(Manager *m, const Uuid *uuid);
void reconcile_parent(Manager *m, const char *name);

/* Looks at everything; @reply is called when the files have been read too. */
int reconcile_all(Manager *m, Failure *f, ManagerReply reply, void *userdata);

/* files.c */

/* Reads all files anew; @reply (NULL: nobody waits) is told when a reading that began after this call has
 * ended. */
int files_scan(Manager *m, Failure *f, ManagerReply reply, void *userdata);

/* An operation on the definitions of a UUID has ended: what a scan under way read of them may be older. */
void files_touched(Manager *m, const Uuid *uuid);

/* A file was found that is not a definition. */
int files_add_invalid(Manager *m, const char *path, const char *reason);
void files_stop(Manager *m);

/* capacity.c */
void capacity_refresh(Manager *m, const char *parent);
void capacity_stop(Manager *m);

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keeps the registry true to the host. An event is a hint where to look; what a look at sysfs sees is the
 * fact. Start, Rescan and the answer to lost events are one and the same: look at everything. (Events say
 * nothing of files; when some are lost, those need not be read.)
 *
 * Two things need a second look, some time later, because no event tells of their end: a device on its way in
 * (the kernel makes its type's link last), and one without "remove", which may be an orphan or just in the
 * first microseconds of its removal. */

#include <stdio.h>

#include "api/mdevd-messages.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/callouts.h"
#include "core/manager-private.h"
#include "host/sysfs.h"

#define SECOND_LOOK_USEC (UINT64_C(200) * 1000)

/* Devices and parents */

static int on_second_look(sd_event_source *s, uint64_t usec, void *userdata);

/* The times are in order: all wait equally long. */
static int arm_second_look(Manager *m) {
        if (m->n_suspects == 0 || m->second_look)
                return 0;
        return sd_event_add_time(m->event, &m->second_look, CLOCK_MONOTONIC, m->suspects[0].at_usec, 0,
                        on_second_look, m);
}

static void look_again(Manager *m, const Uuid *uuid) {
        uint64_t now;

        for (size_t i = 0; i < m->n_suspects; i++)
                if (uuid_equal(&m->suspects[i].uuid, uuid))
                        return;

        if (sd_event_now(m->event, CLOCK_MONOTONIC, &now) < 0 ||
                        grow((void **) &m->suspects, &m->n_suspects_allocated, m->n_suspects + 1,
                                        sizeof *m->suspects) < 0) {
                (void) memory_check(-ENOMEM);
                return;
        }
        m->suspects[m->n_suspects++] = (Suspect){ .uuid = *uuid, .at_usec = now + SECOND_LOOK_USEC };
        if (memory_check(arm_second_look(m)) < 0)
                m->n_suspects--;
}

static void look(Manager *m, const Uuid *uuid, const char *path, bool second) {
        _cleanup_(sighting_done) Sighting seen = SIGHTING_INIT;
        const Device *d = registry_find(m->registry, uuid);
        _cleanup_(freep) char *old_parent = NULL;
        Presence before = d ? d->seen : PRESENCE_ABSENT, after;
        int r;

        if (m->sys_fd < 0)
                return;
        if (d && d->parent)
                old_parent = strdup(d->parent->name);

        r = sysfs_probe(m->sys_fd, uuid, d && d->path ? d->path : path, &seen);
        if (memory_check(r) < 0) {
                log_warning_errno(r, "Cannot look at device %s now: %s", UUID_TEXT(uuid), strerror(-r));
                look_again(m, uuid);
                return;
        }

        if (seen.presence == PRESENCE_ORPHAN && !second && before != PRESENCE_ORPHAN) {
                look_again(m, uuid);
                return;
        }
        if (seen.presence == PRESENCE_ARRIVING)
                look_again(m, uuid);

        r = registry_observe(m->registry, uuid, &seen, 0);
        if (memory_check(r) < 0) {
                log_warning_errno(r, "Cannot take in what is there of device %s, ignoring: %s",
                                UUID_TEXT(uuid), strerror(-r));
                return;
        }

        /* Somebody else took or gave back an instance. Our own operations have told of that already, and then
         * there is no difference here. */
        d = registry_find(m->registry, uuid);
        after = d ? d->seen : PRESENCE_ABSENT;
        if (after != before && (seen.parent || old_parent))
                capacity_changed(m, seen.parent ?: old_parent);
}

void reconcile_device_later(Manager *m, const Uuid *uuid) {
        look_again(m, uuid);
}

void reconcile_device(Manager *m, const Uuid *uuid) {
        look(m, uuid, NULL, false);
}

void reconcile_device_at(Manager *m, const Uuid *uuid, const char *path) {
        look(m, uuid, path, false);
}

static int on_second_look(sd_event_source *s _unused_, uint64_t usec, void *userdata) {
        _cleanup_(freep) Suspect *ripe = NULL;
        Manager *m = userdata;
        size_t n = 0;

        m->second_look = sd_event_source_disable_unref(m->second_look);
        while (n < m->n_suspects && m->suspects[n].at_usec <= usec)
                n++;
        ripe = calloc(n + 1, sizeof *ripe);
        if (!ripe)
                return 0;
        memcpy(ripe, m->suspects, n * sizeof *ripe);
        m->n_suspects -= n;
        memmove(m->suspects, m->suspects + n, m->n_suspects * sizeof *m->suspects);

        for (size_t i = 0; i < n; i++)
                look(m, &ripe[i].uuid, NULL, true);
        (void) arm_second_look(m);

        manager_commit(m);
        return 0;
}

/* Devices that the registry knows below a parent; @parent NULL: below any. */
static void look_at_known(Manager *m, const Parent *parent) {
        _cleanup_(freep) Device **devices = NULL;
        size_t n = 0;

        if (registry_list(m->registry, &devices, &n) < 0)
                return;
        for (size_t i = 0; i < n; i++)
                if (devices[i]->seen != PRESENCE_ABSENT && (!parent || devices[i]->parent == parent))
                        look(m, &devices[i]->uuid, NULL, false);
}

/* Also finds what is leaving, which the bus does not list any more. */
static void look_at_children(Manager *m, const Parent *parent) {
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n = 0;

        if (!parent->path || sysfs_list_children(m->sys_fd, parent->path, &uuids, &n) < 0)
                return;
        for (size_t i = 0; i < n; i++) {
                _cleanup_(freep) char *path = NULL;

                if (asprintf(&path, "%s/%s", parent->path, UUID_TEXT(&uuids[i])) < 0) {
                        path = NULL;
                        return;
                }
                look(m, &uuids[i], path, false);
        }
}

static void observe_parent(Manager *m, const char *name) {
        _cleanup_(parent_sighting_done) ParentSighting seen = { .numa_node = -1 };
        int r;

        if (m->sys_fd < 0)
                return;
        r = sysfs_probe_parent(m->sys_fd, name, &seen);
        if (r >= 0)
                r = registry_observe_parent(m->registry, &seen);
        if (memory_check(r) < 0)
                log_warning_errno(r, "Cannot look at parent %s, ignoring: %s", name, strerror(-r));
}

void reconcile_parent(Manager *m, const char *name) {
        const Parent *p;

        observe_parent(m, name);

        p = registry_find_parent(m->registry, name);
        if (!p)
                return;
        look_at_known(m, p);
        look_at_children(m, p);
        if (p->present)
                capacity_refresh(m, name);
}

static void look_at_parents(Manager *m) {
        _cleanup_(strv_freep) char **names = NULL;
        _cleanup_(freep) Parent **parents = NULL;
        size_t n = 0;
        int r;

        r = sysfs_list_parents(m->sys_fd, &names);
        if (memory_check(r) < 0)
                log_warning_errno(r, "Cannot list the parents, ignoring: %s", strerror(-r));
        for (char **name = names; name && *name; name++)
                observe_parent(m, *name);

        if (memory_check(registry_list_parents(m->registry, &parents, &n)) < 0)
                return;
        for (size_t i = 0; i < n; i++) {
                if (parents[i]->present)
                        observe_parent(m, parents[i]->name);
                look_at_children(m, parents[i]);
                if (parents[i]->present)
                        capacity_refresh(m, parents[i]->name);
        }
}

static void look_at_host(Manager *m) {
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n = 0;
        int r;

        if (m->sys_fd < 0)
                return;

        look_at_known(m, NULL);
        r = sysfs_list_devices(m->sys_fd, &uuids, &n);
        if (memory_check(r) < 0)
                log_warning_errno(r, "Cannot list the devices, ignoring: %s", strerror(-r));
        for (size_t i = 0; i < n; i++)
                look(m, &uuids[i], NULL, false);
        look_at_parents(m);
}

static int uuid_sort(const void *a, const void *b) {
        return uuid_order(a, b);
}

void manager_recheck_one(Manager *m, const Uuid *uuid) {
        look(m, uuid, NULL, false);
        manager_commit(m);
}

/* Return: how many of them are in @range; the others are no more. */
static size_t keep_range(Uuid *uuids, size_t n, const UuidRange *range) {
        size_t n_kept = 0;

        for (size_t i = 0; i < n; i++)
                if (uuid_is_in(&uuids[i], range))
                        uuids[n_kept++] = uuids[i];

        return n_kept;
}

void manager_recheck(Manager *m, const UuidRange *range) {
        _cleanup_(freep) Device **devices = NULL;
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n_uuids = 0, n_devices = 0, i = 0;

        /* One readdir tells who came and who went; only those are looked at. Both lists are in order. */
        if (m->sys_fd < 0 || memory_check(sysfs_list_devices(m->sys_fd, &uuids, &n_uuids)) < 0 ||
                        memory_check(registry_list_range(m->registry, range, &devices, &n_devices)) < 0)
                return;
        n_uuids = keep_range(uuids, n_uuids, range);
        if (n_uuids > 0)
                qsort(uuids, n_uuids, sizeof *uuids, uuid_sort);

        for (size_t k = 0; k < n_devices; k++) {
                int order = 1;

                while (i < n_uuids && (order = uuid_order(&uuids[i], &devices[k]->uuid)) < 0)
                        look(m, &uuids[i++], NULL, false);
                if (i < n_uuids && order == 0) {
                        if (devices[k]->seen == PRESENCE_ABSENT || devices[k]->seen == PRESENCE_LEAVING)
                                look(m, &uuids[i], NULL, false);
                        i++;
                } else if (devices[k]->seen != PRESENCE_ABSENT)
                        look(m, &devices[k]->uuid, NULL, false);
        }
        while (i < n_uuids)
                look(m, &uuids[i++], NULL, false);

        manager_commit(m);
}

/* Everything */

int reconcile_all(Manager *m, Failure *f, ManagerReply reply, void *userdata) {
        int r;

        r = files_scan(m, f, reply, userdata);
        if (r < 0)
                return r;

        look_at_host(m);
        manager_commit(m);
        return 0;
}

int manager_rescan(Manager *m, Failure *f, ManagerReply reply, void *userdata) {
        callouts_forget(m);
        return reconcile_all(m, f, reply, userdata);
}

/* Events */

/* One, and no more: a call takes several turns of the loop, and in each of them an event may come before it.
 */
static int on_monitor(
                sd_event_source *s _unused_, int fd _unused_, uint32_t events _unused_, void *userdata) {
        Manager *m = userdata;
        MonitorEvent event;

        if (monitor_receive(m->monitor, &event) <= 0)
                return 0;

        switch (event.kind) {
        case MONITOR_NOTHING:
                return 0;
        case MONITOR_DEVICE:
                reconcile_device(m, &event.uuid);
                break;
        case MONITOR_PARENT:
                reconcile_parent(m, event.name);
                break;
        case MONITOR_OVERFLOW:
                log_event(LOG_WARNING, MDEVD_MESSAGE_OVERFLOW, NULL,
                                "Events were lost; looking at everything anew.");
                look_at_host(m);
                break;
        }

        manager_commit(m);
        return 0;
}

int reconcile_start(Manager *m) {
        int r;

        /* Below another root there is a tree that udev knows nothing of. */
        if (!m->is_host)
                return 0;

        r = monitor_new(&m->monitor);
        if (r < 0)
                return log_error_errno(r, "Cannot listen to udev: %s", strerror(-r));
        r = sd_event_add_io(m->event, &m->monitor_io, monitor_fd(m->monitor), EPOLLIN, on_monitor, m);
        if (r < 0)
                return log_error_errno(r, "Cannot wait for udev's events: %s", strerror(-r));
        return 0;
}

void reconcile_stop(Manager *m) {
        m->second_look = sd_event_source_disable_unref(m->second_look);
        m->monitor_io = sd_event_source_disable_unref(m->monitor_io);
        m->monitor = monitor_free(m->monitor);
        free(m->suspects);
}

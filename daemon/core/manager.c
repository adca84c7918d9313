/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns registry, operations and what reconciles them with the host, and has the one commit point through
 * which every change becomes visible: first the log, then the signals, then (by the callers' order of calls)
 * the reply. */

#include <fcntl.h>
#include <stdio.h>

#include <systemd/sd-daemon.h>

#include "api/mdevd-messages.h"
#include "base/log.h"
#include "core/callouts.h"
#include "core/manager-private.h"

static void on_types(Frame *frame, void *userdata) {
        Manager *m = userdata;

        (void) registry_observe_types(m->registry, frame->parent, &frame->types);
        manager_commit(m);
}

int manager_new(Manager **ret, sd_event *event, const ManagerOptions *options) {
        OperationLimits limits = {
                .running_max = options->limits.running_max,
                .queued_max = options->limits.queued_max,
        };
        _cleanup_(manager_freep) Manager *m = malloc(sizeof *m);
        int r;

        if (!m)
                return -ENOMEM;
        *m = (Manager){
                .event = sd_event_ref(event),
                .root_fd = -EBADF,
                .sys_fd = -EBADF,
                .program = WORKER_PROGRAM_INIT,
                .is_host = !options->root,
                .script_timeout_sec = options->script_timeout_sec,
        };

        m->root_fd = open(options->root ?: "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (m->root_fd < 0)
                return log_error_errno(errno, "Cannot open the root directory %s: %s", options->root ?: "/",
                                strerror(errno));
        m->sys_fd = openat(m->root_fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (m->sys_fd < 0 && errno != ENOENT)
                return log_error_errno(errno, "Cannot open /sys: %s", strerror(errno));

        r = worker_program_open(options->worker_path, options->root, &m->program);
        if (r < 0)
                return log_error_errno(
                                r, "Cannot open the worker %s: %s", options->worker_path, strerror(-r));
        r = registry_new(&m->registry, options->limits.devices_max);
        if (r < 0)
                return log_error_errno(r, "Cannot make the registry: %s", strerror(-r));
        r = operations_new(&m->operations, event, m->root_fd, &m->program, &limits, on_types, m);
        if (r < 0)
                return log_error_errno(
                                r, "Cannot prepare for operations in /%s: %s", LOCK_DIRECTORY, strerror(-r));

        *ret = TAKE_PTR(m);
        return 0;
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;

        /* Waiters are told that the work goes on without us. */
        (void) operations_free(m->operations);
        reconcile_stop(m);
        files_stop(m);
        capacity_stop(m);
        callouts_forget(m);
        (void) registry_free(m->registry);
        worker_program_done(&m->program);
        (void) safe_close(m->sys_fd);
        (void) safe_close(m->root_fd);
        (void) sd_event_unref(m->event);
        free(m);
        return NULL;
}

void manager_set_listener(Manager *m, const ManagerListener *listener) {
        m->listener = *listener;
}

int manager_start(Manager *m, ManagerReply ready, void *userdata) {
        Failure f = FAILURE_INIT;
        int r;

        r = reconcile_start(m);
        if (r < 0)
                return r;

        /* Before anything is looked at: what a worker is still at is not to be believed yet. */
        verbs_adopt_all(m);

        r = reconcile_all(m, &f, ready, userdata);
        failure_done(&f);
        return r;
}

const Registry *manager_registry(const Manager *m) {
        return m->registry;
}

/* The commit point */

static void log_device(const Change *c) {
        const Device *d = c->device;
        bool visible = device_is_visible(d);
        const char *was = c->was_visible ? device_state_to_string(c->old_state) : "unknown";
        const char *is = visible ? device_state_to_string(device_state(d)) : "unknown";
        const char *parent = d->parent         ? d->parent->name
                        : d->n_definitions > 0 ? d->definitions[0].parent
                                               : NULL;
        const char *type = d->type ?: d->n_definitions > 0 ? d->definitions[0].type : NULL;
        char uuid[UUID_TEXT_SIZE];
        const LogField fields[] = {
                { "MDEVD_UUID", uuid_to_text(&d->uuid, uuid) },
                { "MDEVD_PARENT", parent },
                { "MDEVD_TYPE", type },
                { "MDEVD_STATE", is },
                { "MDEVD_OLD_STATE", was },
                {},
        };

        if (!streq(was, is))
                log_event(LOG_INFO, MDEVD_MESSAGE_DEVICE_STATE, fields, "Device %s%s%s: %s → %s", uuid,
                                parent ? " on " : "", strempty(parent), was, is);
        else if (visible && (c->what & CHANGED_DEFINITIONS))
                log_event(LOG_INFO, MDEVD_MESSAGE_DEFINITION, fields,
                                "Device %s: its definitions changed (%u).", uuid, d->n_definitions);
}

static void log_parent(const Change *c) {
        const Parent *p = c->parent;
        const LogField fields[] = { { "MDEVD_PARENT", p->name }, {} };

        if (c->what & CHANGED_PARENT)
                log_event(LOG_INFO, MDEVD_MESSAGE_PARENT, fields, "Parent %s is %s.", p->name,
                                p->present ? "there" : "gone");
}

static void tell_status(Manager *m) {
        RegistryCounts c = registry_count(m->registry);

        (void) sd_notifyf(false, "STATUS=%zu devices active, %zu defined, %zu operations under way%s",
                        c.n_active, c.n_definitions, c.n_operations,
                        m->n_invalid > 0 ? ", invalid definitions" : "");
}

void manager_commit(Manager *m) {
        RegistryCounts counts = registry_count(m->registry);
        const Change *changes;
        size_t n;

        changes = registry_changes(m->registry, &n);
        if (memcmp(&counts, &m->told, sizeof counts) != 0) {
                m->told = counts;
                m->changes |= MANAGER_CHANGED_COUNTS;
        }
        if (n == 0 && m->changes == 0)
                return;

        for (size_t i = 0; i < n; i++)
                if (changes[i].device)
                        log_device(&changes[i]);
                else
                        log_parent(&changes[i]);

        if (m->listener.changed)
                m->listener.changed(changes, n, m->changes, m->listener.userdata);
        if (m->changes != 0)
                tell_status(m);

        m->changes = 0;
        registry_drop_changes(m->registry);
}

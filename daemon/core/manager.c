/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns registry, operations and what reconciles them with the host, and has the one commit point through
 * which every change becomes visible: first the log, then the signals, then (by the callers' order of calls)
 * the reply. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include <systemd/sd-daemon.h>

#include "api/mdevd-messages.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/callouts.h"
#include "core/manager-private.h"
#include "host/record.h"
#include "model/name.h"

/* Until what changes has come to rest, or nearly. */
#define STATUS_DELAY_USEC (UINT64_C(200) * 1000)

static void on_types(Frame *frame, void *userdata) {
        Manager *m = userdata;

        if (!capacity_is_current(m, frame->parent))
                return;
        (void) memory_check(registry_observe_types(m->registry, frame->parent, &frame->types));
        autostart_types_read(m, frame->parent);
        manager_commit(m);
}

static int on_status(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Manager *m = userdata;
        RegistryCounts c = registry_count(m->registry);

        (void) sd_notifyf(false, "STATUS=%zu devices active, %zu defined, %zu operations under way%s%s",
                        c.n_active, c.n_definitions, c.n_operations,
                        m->n_invalid > 0 ? ", invalid definitions" : "",
                        m->owed_usec > 0 ? ", definitions that could not be read" : "");
        return 0;
}

/* To the service manager each is a message, and one to all of its listeners; it is people who read it. */
void manager_status_changed(Manager *m) {
        int enabled = SD_EVENT_OFF;

        if (sd_event_source_get_enabled(m->status, &enabled) > 0)
                return;
        (void) sd_event_source_set_time_relative(m->status, STATUS_DELAY_USEC);
        (void) sd_event_source_set_enabled(m->status, SD_EVENT_ONESHOT);
}

int manager_new(Manager **ret, sd_event *event, const ManagerOptions *options) {
        _cleanup_(manager_freep) Manager *m = malloc(sizeof *m);
        int r;

        if (!m)
                return -ENOMEM;
        *m = (Manager){
                .event = sd_event_ref(event),
                .root_fd = -EBADF,
                .sys_fd = -EBADF,
                .record_fd = -EBADF,
                .program = WORKER_PROGRAM_INIT,
                .owed = FAILURE_INIT,
                .is_host = !options->root,
                .limits = options->limits,
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
        m->record_fd = record_open_directory(m->root_fd);
        if (m->record_fd < 0)
                return log_error_errno(m->record_fd, "Cannot open /%s: %s", RECORD_DIRECTORY,
                                strerror(-m->record_fd));
        r = registry_new(&m->registry, options->limits.devices_max);
        if (r < 0)
                return log_error_errno(r, "Cannot make the registry: %s", strerror(-r));
        r = operations_new(&m->operations, event, m->root_fd, &m->program,
                        options->limits.operations_queued_max, on_types, m);
        if (r < 0)
                return log_error_errno(
                                r, "Cannot prepare for operations in /%s: %s", LOCK_DIRECTORY, strerror(-r));

        r = sd_event_add_time_relative(event, &m->status, CLOCK_MONOTONIC, 0, 0, on_status, m);
        if (r < 0)
                return log_error_errno(r, "Cannot make a timer: %s", strerror(-r));

        r = autostart_start(m);
        if (r < 0)
                return log_error_errno(r, "Cannot prepare for autostart: %s", strerror(-r));

        *ret = TAKE_PTR(m);
        return 0;
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;

        /* Waiters are told that the work goes on without us. */
        (void) operations_free(m->operations);
        adopt_stop(m);
        reconcile_stop(m);
        watching_stop(m);
        files_stop(m);
        invalid_stop(m);
        capacity_stop(m);
        autostart_stop(m);
        (void) sd_event_source_disable_unref(m->status);
        free(m->requester_unit);
        free(m->store_trouble);
        callouts_forget(m);
        (void) registry_free(m->registry);
        worker_program_done(&m->program);
        (void) safe_close(m->record_fd);
        (void) safe_close(m->sys_fd);
        (void) safe_close(m->root_fd);
        (void) sd_event_unref(m->event);
        free(m);
        return NULL;
}

void manager_set_listener(Manager *m, const ManagerListener *listener) {
        m->listener = *listener;
}

/* Ready is who knows the files, and what each parent offers: else the first questions had no good answers. A
 * driver that does not tell is not waited for long, nor is a disk: what lives is managed without it, and it
 * is told as a trouble. */
static void check_ready(Manager *m) {
        _cleanup_(freep) Parent **parents = NULL;
        ManagerReply ready = m->ready;
        static const Uuid none;
        size_t n = 0;

        if (!ready || !m->files_were_tried)
                return;
        if (registry_list_parents(m->registry, &parents, &n) >= 0)
                for (size_t i = 0; i < n; i++)
                        if (parents[i]->present && !parents[i]->types_known)
                                return;

        m->ready = NULL;
        m->is_quiet = false;
        ready(NULL, &none, m->ready_userdata);
}

static void on_files_read(const Failure *f, const Uuid *uuid, void *userdata) {
        Manager *m = userdata;

        if (f && f->kind == FAILURE_CANCELLED) {
                if (m->ready)
                        TAKE_PTR(m->ready)(f, uuid, m->ready_userdata);
                return;
        }
        m->files_were_tried = true;
        check_ready(m);
}

int manager_start(Manager *m, ManagerReply ready, void *userdata) {
        Failure f = FAILURE_INIT;
        int r;

        m->ready = ready;
        m->ready_userdata = userdata;
        m->is_quiet = true;
        r = reconcile_start(m);
        if (r < 0)
                return r;
        watching_start(m);

        /* Before anything is looked at: what a worker is still at is not to be believed yet. */
        adopt_all(m);

        r = reconcile_all(m, &f, on_files_read, m);
        failure_done(&f);
        recognise_all(m);
        manager_commit(m);
        return r;
}

Lane *manager_driver_lane(Manager *m, const char *purpose, const char *parent, unsigned max) {
        const Parent *p = registry_find_parent(m->registry, parent);
        char name[2 * NAME_LENGTH_MAX];

        (void) snprintf(name, sizeof name, "%s %s", purpose, strempty(p ? p->driver : NULL));
        return operations_lane(m->operations, name, max);
}

bool manager_is_settled(const Manager *m) {
        return files_are_read(m) && autostart_is_settled(m);
}

const Registry *manager_registry(const Manager *m) {
        return m->registry;
}

void manager_requested_by(Manager *m, const Requester *who) {
        m->requester = (Requester){};
        m->requester_unit = free_null(m->requester_unit);
        if (!who)
                return;

        m->requester = *who;
        m->requester_unit = who->unit ? strdup(who->unit) : NULL;
        m->requester.unit = m->requester_unit;
}

/* The commit point */

void cause_to_fields(
                const Cause *cause, LogField fields[static CAUSE_FIELDS_MAX], char numbers[static 3][24]) {
        static const char *const names[_OPERATION_KIND_MAX] = {
                [OPERATION_CREATE] = "create",
                [OPERATION_REMOVE] = "remove",
                [OPERATION_DEFINE] = "define",
                [OPERATION_MODIFY] = "modify",
                [OPERATION_UNDEFINE] = "undefine",
        };
        static const Requester nobody = {};
        const Requester *who = cause && cause->who && cause->who->is_known ? cause->who : &nobody;

        (void) snprintf(numbers[0], 24, "%" PRIu32, who->uid);
        (void) snprintf(numbers[1], 24, "%" PRIu32, who->pid);
        (void) snprintf(numbers[2], 24, "%" PRIu64, cause ? cause->took_usec : 0);
        fields[0] = (LogField){ "MDEVD_OPERATION", cause ? names[cause->kind] : NULL };
        fields[1] = (LogField){ "MDEVD_SENDER_UID", who->is_known ? numbers[0] : NULL };
        fields[2] = (LogField){ "MDEVD_SENDER_PID", who->pid > 0 ? numbers[1] : NULL };
        fields[3] = (LogField){ "MDEVD_SENDER_UNIT", who->unit };
        fields[4] = (LogField){ "MDEVD_DURATION_USEC", cause && cause->took_usec > 0 ? numbers[2] : NULL };
        fields[5] = (LogField){};
}

/* What was there already when the daemon came is no event. */
static int level(const Manager *m) {
        return m->is_quiet ? LOG_DEBUG : LOG_INFO;
}

static void log_device(const Manager *m, const Change *c) {
        const Device *d = c->device;
        bool visible = device_is_visible(d);
        const char *was = c->was_visible ? device_state_to_string(c->old_state) : "unknown";
        const char *is = visible ? device_state_to_string(device_state(d)) : "unknown";
        const Cause *cause = m->cause && uuid_equal(m->cause->uuid, &d->uuid) ? m->cause : NULL;
        const Definition *definition = device_find_definition(d, NULL);
        const char *parent = d->parent ? d->parent->name : definition ? definition->parent : NULL;
        const char *type = d->type ?: definition ? definition->type : NULL;
        const char *waiting = waiting_to_string(d->waiting);
        char uuid[UUID_TEXT_SIZE], numbers[3][24];
        LogField fields[6 + CAUSE_FIELDS_MAX] = {
                { "MDEVD_UUID", uuid_to_text(&d->uuid, uuid) },
                { "MDEVD_PARENT", parent },
                { "MDEVD_TYPE", type },
                { "MDEVD_STATE", is },
                { "MDEVD_OLD_STATE", was },
                { "MDEVD_PENDING", isempty(waiting) ? NULL : waiting },
        };

        /* Of a device that is gone nothing is known any more but what was asked for. */
        if (!parent && cause) {
                parent = fields[1].value = cause->parent;
                fields[2].value = cause->type;
        }
        cause_to_fields(cause, fields + 6, numbers);
        if (!streq(was, is))
                log_event(level(m), MDEVD_MESSAGE_DEVICE_STATE, fields, "Device %s%s%s: %s → %s", uuid,
                                parent ? " on " : "", strempty(parent), was, is);
        else if (visible && (c->what & CHANGED_DEFINITIONS))
                log_event(level(m), MDEVD_MESSAGE_DEFINITION, fields,
                                "Device %s: its definitions changed (%u).", uuid, d->n_definitions);
        if ((c->what & CHANGED_WAITING) && d->waiting != WAITING_NOT)
                log_event(level(m), MDEVD_MESSAGE_WAITING, fields, "Device %s on %s waits to be started: %s",
                                uuid, strempty(parent), waiting);
}

static void log_parent(const Manager *m, const Change *c) {
        const Parent *p = c->parent;
        const LogField fields[] = { { "MDEVD_PARENT", p->name }, {} };

        if (c->what & CHANGED_PARENT)
                log_event(level(m), MDEVD_MESSAGE_PARENT, fields, "Parent %s is %s.", p->name,
                                p->present ? "there" : "gone");
}

/* What went needs no record any more. */
static void drop_record(const Manager *m, const Change *c) {
        if (c->was_visible && c->old_state != DEVICE_DEFINED && c->device->seen == PRESENCE_ABSENT &&
                        c->device->op_kind != OPERATION_CREATE)
                record_remove(m->record_fd, &c->device->uuid);
}

void manager_commit(Manager *m) {
        RegistryCounts counts;
        const Change *changes;
        bool settled;
        size_t n;

        autostart_changes(m);
        counts = registry_count(m->registry);
        settled = manager_is_settled(m);
        changes = registry_changes(m->registry, &n);
        if (settled != m->told_settled) {
                m->told_settled = settled;
                m->changes |= MANAGER_CHANGED_SETTLED;
        }
        if (memcmp(&counts, &m->told, sizeof counts) != 0) {
                m->told = counts;
                m->changes |= MANAGER_CHANGED_COUNTS;
        }
        if (n == 0 && m->changes == 0) {
                check_ready(m);
                return;
        }

        for (size_t i = 0; i < n; i++)
                if (changes[i].device) {
                        if (log_enabled(level(m)))
                                log_device(m, &changes[i]);
                        drop_record(m, &changes[i]);
                } else
                        log_parent(m, &changes[i]);

        if (m->listener.changed)
                m->listener.changed(changes, n, m->changes, m->listener.userdata);
        if (m->changes != 0)
                manager_status_changed(m);

        m->changes = 0;
        registry_drop_changes(m->registry);
        check_ready(m);
}

void manager_commit_because(Manager *m, const Cause *cause) {
        m->cause = cause;
        manager_commit(m);
        m->cause = NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Effects that enter a driver. */

#include <stdio.h>

#include "host/driver.h"
#include "host/effect-private.h"
#include "host/holder.h"
#include "host/kmsg.h"
#include "host/record.h"
#include "host/sysfs.h"

/* As scripts see a device that is about to go: mdevctl tells them no attributes then, whatever was defined.
 */
static Definition bare_definition(const Definition *d) {
        return (Definition){ .uuid = d->uuid, .parent = d->parent, .type = d->type };
}

void add_kernel_line(Effect *e) {
        const Definition *d = &e->request->definition;
        Failure *f = failure_of(e);

        if ((f->kind == FAILURE_KERNEL || f->kind == FAILURE_ATTRIBUTE || f->kind == FAILURE_LIVE_ATTRIBUTE ||
                            f->kind == FAILURE_NO_CAPACITY) &&
                        !f->detail)
                f->detail = kmsg_last_line(e->kmsg_fd, UUID_TEXT(&d->uuid), d->parent);
}

/* Safe here and only here: create has returned. */
static void roll_back_create(Effect *e) {
        const Definition *d = &e->request->definition;
        _cleanup_(failure_done) Failure failure = FAILURE_INIT;
        int r;

        r = driver_remove(e->sys_fd, d->parent, &d->uuid, &failure);
        if (r < 0 && r != -ENODEV)
                failure_of(e)->rollback_error = -r;
        else
                record_remove(e->record_fd, &d->uuid);
}

/* The same after scripts have heard that it was created; that they let it go is not asked. */
static void take_back_create(Effect *e) {
        const Definition bare = bare_definition(&e->request->definition);
        _cleanup_(failure_done) Failure failure = FAILURE_INIT;
        Action stop;

        (void) action_begin(e, SCRIPT_STOP, &bare, true, &failure, &stop);
        roll_back_create(e);
        action_end(&stop, failure_of(e)->rollback_error == 0);
}

static void record_whole(Effect *e, const char *path) {
        char whole[SYSFS_PATH_MAX + sizeof "/sys/"];

        (void) snprintf(whole, sizeof whole, "/sys/%s", path);
        (void) record_write(e->record_fd, &e->request->definition.uuid,
                        &(Record){ .whole = true, .life = sysfs_life(e->sys_fd, whole) });
}

/* Creates the device with its attributes, or not at all. @ret_path: where it is, or ""; filled in always. */
static int create(Effect *e, char ret_path[static SYSFS_PATH_MAX]) {
        const Definition *d = &e->request->definition;
        Failure *f = failure_of(e);
        int r;

        /* Before the kernel is asked: should this process be killed, the device is made all the same. */
        (void) record_write(e->record_fd, &d->uuid, &(Record){ .whole = false });
        ret_path[0] = '\0';
        r = driver_create(e->sys_fd, d->parent, d->type, &d->uuid, f);
        if (r >= 0) {
                if (sysfs_device_path(e->sys_fd, d->parent, &d->uuid, ret_path) < 0)
                        ret_path[0] = '\0';
                r = driver_write_attributes(e->sys_fd, d->parent, &d->uuid, &d->attributes, f);
                if (r < 0)
                        roll_back_create(e);
                else
                        record_whole(e, ret_path);
        } else
                record_remove(e->record_fd, &d->uuid);

        add_kernel_line(e);
        return r;
}

void perform_create(Effect *e) {
        _cleanup_(closep) int record_fd = record_open_directory(e->root_fd);
        const Definition *d = &e->request->definition;
        char path[SYSFS_PATH_MAX], last[SYSFS_PATH_MAX + sizeof "/sys/"];
        Action start;
        int r;

        e->record_fd = record_fd;
        r = action_begin(e, SCRIPT_START, d, e->request->force, failure_of(e), &start);
        if (r < 0) {
                (void) report_sighting(e, NULL);
                return;
        }
        r = create(e, path);
        (void) snprintf(last, sizeof last, "/sys/%s", path);
        (void) report_sighting(e, path[0] != '\0' ? last : NULL);
        action_end(&start, r >= 0);

        /* As a second action and not within the first: a script may lock from "pre" to "post". */
        if (e->request->define && r >= 0) {
                r = define(e, d);
                if (r < 0) {
                        take_back_create(e);
                        (void) report_sighting(e, last);
                }
        } else if (e->request->define)
                report_definition(e, d->parent);

        e->result.created = r >= 0 || failure_of(e)->rollback_error > 0;
}

/* Return: whether the device must be left alone: somebody has it open, or there is no memory to find out.
 * @ret: holds others off meanwhile. */
static bool is_in_use(Effect *e, Holder *ret) {
        _cleanup_(sighting_done) Sighting seen = SIGHTING_INIT;
        _cleanup_(freep) char *who = NULL;
        int r;

        *ret = HOLDER_INIT;
        if (e->request->wait_for_release || e->sys_fd < 0)
                return false;
        r = sysfs_probe(e->sys_fd, &e->request->definition.uuid, e->request->path, &seen);
        if (r >= 0)
                r = seen.presence == PRESENCE_PRESENT ? holder_find(e->root_fd, &seen, ret) : 0;
        if (r == -ENOMEM)
                (void) failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);
        if (r <= 0)
                return r == -ENOMEM;

        if (ret->pid > 0 && asprintf(&who, "process %d (%s)", (int) ret->pid, ret->comm) < 0)
                who = NULL;
        (void) failure_set(failure_of(e), FAILURE_IN_USE, 0, NULL, who);
        return true;
}

/* Removes the device, and tells what is there then. */
static void remove_device(Effect *e) {
        const Definition *d = &e->request->definition;
        _cleanup_(holder_done) Holder holder = HOLDER_INIT;
        Failure *f = failure_of(e);
        Presence seen;
        int r;

        if (is_in_use(e, &holder)) {
                (void) report_sighting(e, e->request->path);
                return;
        }

        r = driver_remove(e->sys_fd, d->parent, &d->uuid, f);
        add_kernel_line(e);
        seen = report_sighting(e, e->request->path);

        /* Not there any more is what was asked for, whoever did it and whatever errno our attempt had. */
        if (seen == PRESENCE_ABSENT || r >= 0)
                (void) failure_set(f, FAILURE_NONE, 0, NULL, NULL);
        else if (seen == PRESENCE_ORPHAN)
                (void) failure_set(f, FAILURE_ORPHANED, 0, NULL, NULL);
        else if (seen == PRESENCE_LEAVING)
                (void) failure_set(f, FAILURE_BEING_REMOVED, 0, NULL, NULL);
}

void perform_remove(Effect *e) {
        const Definition bare = bare_definition(&e->request->definition);
        Action stop;

        if (action_begin(e, SCRIPT_STOP, &bare, e->request->force, failure_of(e), &stop) < 0) {
                (void) report_sighting(e, e->request->path);
                return;
        }

        remove_device(e);
        action_end(&stop, !failure_is_set(failure_of(e)));
}

int change_live(Effect *e, const Definition *d) {
        _cleanup_(callout_freep) Callout *c = NULL;
        Failure *f = failure_of(e);
        int r;

        if (callout_new(&c, e->callouts, SCRIPT_MODIFY, d) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);

        r = callout_live(c, f);
        if (r == 0 && !e->request->direct)
                return failure_set(f, FAILURE_NOT_LIVE, 0, NULL, NULL);
        if (r == 0) {
                r = driver_write_attributes(e->sys_fd, d->parent, &d->uuid, &d->attributes, f);
                if (f->kind == FAILURE_ATTRIBUTE)
                        f->kind = FAILURE_LIVE_ATTRIBUTE;
                add_kernel_line(e);
        }

        callout_notify(c, CALLOUT_NONE);
        return MIN(r, 0);
}

void perform_attributes(Effect *e) {
        _cleanup_(callout_freep) Callout *c = NULL;
        _cleanup_(frame_done) Frame frame = FRAME_INIT;

        if (callout_new(&c, e->callouts, SCRIPT_ATTRIBUTES, &e->request->definition) < 0) {
                (void) failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);
                return;
        }
        if (callout_get_attributes(c, &frame.attributes, failure_of(e)) < 0)
                return;

        frame.kind = FRAME_ATTRIBUTES;
        frame.op = e->request->op;
        /* None at all would be another answer. */
        if (e->emit(&frame, e->userdata) == -ENOMEM)
                (void) failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);
}

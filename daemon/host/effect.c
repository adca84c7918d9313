/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each effect ends with a look at what is there now, and that look, not the error, is what the daemon
 * believes. An effect in several steps undoes the earlier ones when a later one fails; if undoing fails too,
 * both are told. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include "host/codec.h"
#include "host/driver.h"
#include "host/effect.h"
#include "host/holder.h"
#include "host/kmsg.h"
#include "host/record.h"
#include "host/store.h"
#include "host/sysfs.h"
#include "model/name.h"

typedef struct Effect {
        const Request *request;
        int root_fd;
        int sys_fd; /* -EBADF: there is no /sys */
        int lock_fd;
        int kmsg_fd;
        Store *store;
        Frame result;
        EffectEmit emit;
        void *userdata;
} Effect;

static void emit(Effect *e, Frame *frame, FrameKind kind) {
        frame->kind = kind;
        frame->op = e->request->op;
        (void) e->emit(frame, e->userdata);
}

static Failure *failure_of(Effect *e) {
        return &e->result.failure;
}

/* Facts */

static Presence report_sighting(Effect *e, const char *path) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;

        if (e->sys_fd >= 0)
                (void) sysfs_probe(e->sys_fd, &e->request->definition.uuid, path, &frame.sighting);
        emit(e, &frame, FRAME_SIGHTING);
        return frame.sighting.presence;
}

/* "/etc/mdevctl.d/<parent>/<name>", with what is no UTF-8 in it shown as "?". */
static char *printable_path(const char *parent, const char *name) {
        char *path = store_path(parent, name);

        return path ? text_make_printable(path) : NULL;
}

static int report_invalid(Effect *e, const char *parent, const char *name, const Uuid *uuid,
                const char *reason, Spares spares) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;

        frame.path = printable_path(parent, name);
        frame.reason = strdup(reason);
        frame.definition.parent = strdup(parent);
        if (!frame.path || !frame.reason || !frame.definition.parent)
                return -ENOMEM;
        if (uuid)
                frame.definition.uuid = *uuid;
        frame.spares = spares;

        frame.kind = FRAME_INVALID;
        frame.op = e->request->op;
        return e->emit(&frame, e->userdata);
}

static const char *reason_for(int error) {
        switch (abs(error)) {
        case EINVAL:
                return "the file's name is not a UUID";
        case ENOTSUP:
                return "not a regular file";
        case ELOOP:
                return "a symbolic link";
        case EFBIG:
                return "too large";
        case EEXIST:
                return "another file of the same device is there, under the UUID's usual form";
        case ENOTDIR:
                return "not in the directory of a parent";
        default:
                return strerror(abs(error));
        }
}

/* Whether something is there that could not be read, and what that may be. */
static Spares spares_for(int error, const char *parent, const char *name) {
        switch (abs(error)) {
        case EINVAL:
        case ENOTSUP:
        case ELOOP:
        case EFBIG:
        case EEXIST:
        case ENOTDIR:
                return SPARES_NOTHING;
        default:
                return name[0] != '\0' ? SPARES_FILE : parent[0] != '\0' ? SPARES_DIRECTORY : SPARES_ALL;
        }
}

/* One place of the store: a StoreFn. */
static int report_file(const char *parent, const char *name, const Uuid *uuid, const char *text, size_t size,
                int error, void *userdata) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;
        _cleanup_(freep) char *reason = NULL;
        Effect *e = userdata;
        int r;

        if (error < 0)
                return report_invalid(
                                e, parent, name, uuid, reason_for(error), spares_for(error, parent, name));

        r = codec_parse(text, size, uuid, parent, &frame.definition, &reason);
        if (r == -EBADMSG)
                return report_invalid(e, parent, name, uuid, reason, SPARES_NOTHING);
        if (r < 0)
                return r;

        frame.kind = FRAME_DEFINITION;
        frame.op = e->request->op;
        frame.exists = true;
        return e->emit(&frame, e->userdata);
}

/* What the disk says about one definition now. One that cannot be read is reported as such and not as gone.
 */
static void report_definition_as(Effect *e, const char *parent, const Uuid *uuid, const char *name) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        int r;

        r = store_read(e->store, parent, uuid, &text, &size);
        if (r != -ENOENT && streq(name, UUID_TEXT(uuid))) {
                (void) report_file(parent, name, uuid, text, size, r, e);
                return;
        }
        if (r != -ENOENT) {
                (void) store_scan_file(e->store, parent, name, report_file, e);
                return;
        }

        frame.definition.uuid = *uuid;
        frame.definition.parent = strdup(parent);
        if (frame.definition.parent)
                emit(e, &frame, FRAME_DEFINITION);
}

static void report_definition(Effect *e, const char *parent) {
        report_definition_as(
                        e, parent, &e->request->definition.uuid, UUID_TEXT(&e->request->definition.uuid));
}

static void report_types(Effect *e, const char *parent) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;

        frame.parent = strdup(parent);
        if (!frame.parent || e->sys_fd < 0 || driver_read_types(e->sys_fd, parent, &frame.types) < 0)
                return;
        emit(e, &frame, FRAME_TYPES);
}

/* Effects */

/* The driver's own words about a refusal, if it logged any. */
static void add_kernel_line(Effect *e) {
        const Definition *d = &e->request->definition;
        Failure *f = failure_of(e);

        if ((f->kind == FAILURE_KERNEL || f->kind == FAILURE_ATTRIBUTE || f->kind == FAILURE_NO_CAPACITY) &&
                        !f->detail)
                f->detail = kmsg_last_line(e->kmsg_fd, UUID_TEXT(&d->uuid), d->parent);
}

/* Puts @d in its file. @original: the text whose other keys are kept; NULL: there is none. */
static int write_definition(
                Effect *e, const Definition *d, const char *original, size_t original_size, bool replace) {
        _cleanup_(freep) char *text = NULL, *path = NULL;
        size_t size;
        int r;

        r = codec_format(d, original, original_size, &text, &size);
        if (r == -EFBIG) {
                path = store_path(d->parent, UUID_TEXT(&d->uuid));
                return failure_set(failure_of(e), FAILURE_STORE, r, path, NULL);
        }
        if (r < 0)
                return failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);
        return store_write(e->store, d->parent, &d->uuid, text, size, replace, failure_of(e));
}

/* The definition that the request brings along. */
static int write_requested(Effect *e, bool replace) {
        const char *text = e->request->text;

        return write_definition(e, &e->request->definition, text, text ? strlen(text) : 0, replace);
}

/* Changes what the file says now, which may be more than the daemon has heard of. */
static int modify_definition(Effect *e) {
        const Definition *d = &e->request->definition;
        _cleanup_(freep) char *text = NULL, *reason = NULL,
                              *path = store_path(d->parent, UUID_TEXT(&d->uuid));
        _cleanup_(definition_done) Definition changed = {};
        size_t size = 0;
        int r;

        r = store_read(e->store, d->parent, &d->uuid, &text, &size);
        if (r == -ENOENT)
                return failure_set(failure_of(e), FAILURE_NO_SUCH_DEFINITION, 0, path, NULL);
        if (r < 0)
                return failure_set(failure_of(e), FAILURE_STORE, r, path, NULL);
        r = codec_parse(text, size, &d->uuid, d->parent, &changed, &reason);
        if (r == -EBADMSG)
                return failure_set(failure_of(e), FAILURE_INVALID_DEFINITION, 0, path, reason);
        if (r < 0)
                return failure_set(failure_of(e), FAILURE_NO_MEMORY, 0, NULL, NULL);

        r = modification_apply(&e->request->modification, &changed, failure_of(e));
        if (r < 0)
                return r;
        return write_definition(e, &changed, text, size, true);
}

/* Safe here and only here: create has returned. */
static void roll_back_create(Effect *e) {
        const Definition *d = &e->request->definition;
        _cleanup_(failure_done) Failure failure = FAILURE_INIT;
        int r;

        r = driver_remove(e->sys_fd, d->parent, &d->uuid, &failure);
        if (r < 0 && r != -ENODEV)
                failure_of(e)->rollback_error = -r;
}

static void perform_create(Effect *e) {
        const Definition *d = &e->request->definition;
        _cleanup_(closep) int record_fd = record_open_directory(e->root_fd);
        Failure *f = failure_of(e);
        char path[SYSFS_PATH_MAX], last[SYSFS_PATH_MAX + sizeof "/sys/"];
        bool have_path;
        int r;

        /* Before the kernel is asked: should this process be killed, the kernel makes the device all the
         * same. */
        (void) record_write(record_fd, &d->uuid, &(Record){ .whole = false });
        r = driver_create(e->sys_fd, d->parent, d->type, &d->uuid, f);
        if (r >= 0) {
                have_path = sysfs_device_path(e->sys_fd, d->parent, &d->uuid, path) >= 0;
                if (have_path)
                        (void) snprintf(last, sizeof last, "/sys/%s", path);

                r = driver_write_attributes(e->sys_fd, d->parent, &d->uuid, &d->attributes, f);
                if (r >= 0 && e->request->define)
                        r = write_requested(e, false);
                if (r < 0)
                        roll_back_create(e);
        } else
                have_path = false;

        add_kernel_line(e);
        e->result.created = r >= 0 || f->rollback_error > 0;
        if (r >= 0)
                (void) record_write(record_fd, &d->uuid,
                                &(Record){ .whole = true,
                                                .life = have_path ? sysfs_life(e->sys_fd, last) : 0 });
        else if (!e->result.created)
                record_remove(record_fd, &d->uuid);
        (void) report_sighting(e, have_path ? last : NULL);
        if (e->request->define)
                report_definition(e, d->parent);
}

/* Return: whether the device must be left alone, because somebody has it open. @ret: holds others off
 * meanwhile. */
static bool is_in_use(Effect *e, Holder *ret) {
        _cleanup_(sighting_done) Sighting seen = SIGHTING_INIT;
        _cleanup_(freep) char *who = NULL;

        *ret = HOLDER_INIT;
        if (e->request->wait_for_release || e->sys_fd < 0 ||
                        sysfs_probe(e->sys_fd, &e->request->definition.uuid, e->request->path, &seen) < 0 ||
                        seen.presence != PRESENCE_PRESENT || holder_find(e->root_fd, &seen, ret) <= 0)
                return false;

        if (ret->pid > 0 && asprintf(&who, "process %d (%s)", (int) ret->pid, ret->comm) < 0)
                who = NULL;
        (void) failure_set(failure_of(e), FAILURE_IN_USE, 0, NULL, who);
        return true;
}

static void perform_remove(Effect *e) {
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

static void perform_define(Effect *e) {
        (void) write_requested(e, false);
        report_definition(e, e->request->definition.parent);
}

static void perform_modify(Effect *e) {
        if (e->request->text)
                (void) write_requested(e, true);
        else
                (void) modify_definition(e);
        report_definition(e, e->request->definition.parent);
}

static void perform_undefine(Effect *e) {
        (void) store_remove(e->store, e->request->parents, &e->request->definition.uuid, failure_of(e));
        for (char **parent = e->request->parents; *parent; parent++)
                report_definition(e, *parent);
}

static void perform_look(Effect *e) {
        /* Who holds it is at work on the device; what it leaves behind is what there is to see. */
        while (e->lock_fd >= 0 && flock(e->lock_fd, LOCK_EX) < 0 && errno == EINTR)
                ;

        (void) report_sighting(e, e->request->path);
        (void) store_scan(e->store, &e->request->definition.uuid, report_file, e);
}

/* "<parent>/<file>", "<parent>/" or "/<uuid>". */
static int scan_place(Effect *e, const char *place) {
        _cleanup_(freep) char *parent = strdup(place);
        char *slash = parent ? strchr(parent, '/') : NULL;
        Uuid uuid;

        if (!parent)
                return -ENOMEM;
        if (!slash)
                return 0;
        *slash++ = '\0';
        if (parent[0] == '\0')
                return uuid_from_canonical(slash, &uuid) < 0 ? 0
                                                             : store_scan(e->store, &uuid, report_file, e);
        if (slash[0] == '\0')
                return store_scan_parent(e->store, parent, report_file, e);
        if (uuid_from_text(slash, &uuid) < 0)
                return store_scan_file(e->store, parent, slash, report_file, e);
        report_definition_as(e, parent, &uuid, slash);
        return 0;
}

static void perform_scan(Effect *e) {
        int r = 0;

        if (!e->request->parents)
                r = store_scan(e->store, NULL, report_file, e);
        for (char **place = e->request->parents; place && *place && r >= 0; place++)
                r = scan_place(e, *place);
        if (r < 0)
                (void) failure_set(failure_of(e), FAILURE_STORE, r, "/" STORE_DIRECTORY, NULL);
}

static void perform_types(Effect *e) {
        for (char **parent = e->request->parents; *parent; parent++)
                report_types(e, *parent);
}

/* Whether a request has what its kind needs; the daemon's never lack it. */
static bool request_is_valid(const Request *r) {
        const Definition *d = &r->definition;

        switch (r->kind) {
        case REQUEST_CREATE:
        case REQUEST_DEFINE:
                return d->parent && d->type;
        case REQUEST_MODIFY:
                return d->parent && (!r->text || d->type);
        case REQUEST_REMOVE:
                return d->parent;
        case REQUEST_UNDEFINE:
        case REQUEST_TYPES:
                return r->parents;
        case REQUEST_LOOK:
        case REQUEST_SCAN:
                return true;
        case _REQUEST_KIND_MAX:
                break;
        }

        return false;
}

/* A removal, or a creation that is not written down, does not depend on the disk. */
static bool request_needs_store(const Request *r) {
        return r->kind != REQUEST_REMOVE && r->kind != REQUEST_TYPES &&
                        (r->kind != REQUEST_CREATE || r->define);
}

static void perform(Effect *e) {
        int r;

        if (!request_is_valid(e->request)) {
                (void) failure_set(failure_of(e), FAILURE_WORKER, EBADMSG, NULL, "incomplete request");
                return;
        }
        r = request_needs_store(e->request) ? store_open(e->root_fd, &e->store) : 0;
        if (r < 0) {
                (void) failure_set(failure_of(e), FAILURE_STORE, r, "/" STORE_DIRECTORY, NULL);
                return;
        }

        switch (e->request->kind) {
        case REQUEST_CREATE:
                perform_create(e);
                break;
        case REQUEST_REMOVE:
                perform_remove(e);
                break;
        case REQUEST_DEFINE:
                perform_define(e);
                break;
        case REQUEST_MODIFY:
                perform_modify(e);
                break;
        case REQUEST_UNDEFINE:
                perform_undefine(e);
                break;
        case REQUEST_LOOK:
                perform_look(e);
                break;
        case REQUEST_SCAN:
                perform_scan(e);
                break;
        case REQUEST_TYPES:
                perform_types(e);
                break;
        case _REQUEST_KIND_MAX:
                break;
        }
}

void effect_perform(int root_fd, const Request *request, int lock_fd, EffectEmit emit_fn, void *userdata) {
        const Definition *d = &request->definition;
        Effect e = {
                .request = request,
                .root_fd = root_fd,
                .sys_fd = openat(root_fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC),
                .lock_fd = lock_fd,
                .kmsg_fd = request->kind == REQUEST_CREATE || request->kind == REQUEST_REMOVE ? kmsg_open()
                                                                                              : -EBADF,
                .result = FRAME_INIT,
                .emit = emit_fn,
                .userdata = userdata,
        };

        if (request->kind != REQUEST_SCAN && request->kind != REQUEST_TYPES)
                (void) failure_set_device(failure_of(&e), &d->uuid, d->parent, d->type);
        perform(&e);

        /* First the lock, then the word: who hears that it is over may begin the next operation at once. */
        e.lock_fd = safe_close(e.lock_fd);
        emit(&e, &e.result, FRAME_RESULT);

        frame_done(&e.result);
        e.store = store_free(e.store);
        (void) safe_close(e.kmsg_fd);
        (void) safe_close(e.sys_fd);
}

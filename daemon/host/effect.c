/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each effect ends with a look at what is there now, and that look, not the error, is what the daemon
 * believes. An effect in several steps undoes the earlier ones when a later one fails; if undoing fails too,
 * both are told. Scripts are run around it, all by this process: "pre", the effect, the look, "post",
 * notifiers; the result is told when the last of them has ended. */

#include <fcntl.h>
#include <sys/file.h>

#include "host/codec.h"
#include "host/driver.h"
#include "host/effect-private.h"
#include "host/kmsg.h"
#include "host/sysfs.h"
#include "model/name.h"

static void emit(Effect *e, Frame *frame, FrameKind kind) {
        frame->kind = kind;
        frame->op = e->request->op;
        if (e->emit(frame, e->userdata) == -ENOMEM &&
                        (kind == FRAME_SIGHTING || kind == FRAME_DEFINITION || kind == FRAME_ACTION))
                e->untold = true;
}

/* Facts */

Presence report_sighting(Effect *e, const char *path) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;

        if (e->sys_fd >= 0 &&
                        sysfs_probe(e->sys_fd, &e->request->definition.uuid, path, &frame.sighting) ==
                                        -ENOMEM)
                e->untold = true;
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
        /* What lies beside the parents' folders has none. */
        if (parent[0] != '\0')
                frame.definition.parent = strdup(parent);
        if (!frame.path || !frame.reason || (parent[0] != '\0' && !frame.definition.parent))
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
        case EILSEQ:
                return "not a name that a parent can have";
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
        case EILSEQ:
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
void report_definition(Effect *e, const char *parent) {
        const Uuid *uuid = &e->request->definition.uuid;
        _cleanup_(frame_done) Frame frame = FRAME_INIT;
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        int r;

        r = store_read(e->store, parent, uuid, &text, &size);
        if (r != -ENOENT) {
                if (r == -ENOMEM || report_file(parent, UUID_TEXT(uuid), uuid, text, size, r, e) == -ENOMEM)
                        e->untold = true;
                return;
        }

        frame.definition.uuid = *uuid;
        frame.definition.parent = strdup(parent);
        if (frame.definition.parent)
                emit(e, &frame, FRAME_DEFINITION);
        else
                e->untold = true;
}

static void report_types(Effect *e, const char *parent) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;

        frame.parent = strdup(parent);
        if (!frame.parent || e->sys_fd < 0 || driver_read_types(e->sys_fd, parent, &frame.types) < 0)
                return;
        emit(e, &frame, FRAME_TYPES);
}

/* Scripts: see callout.h for when they are called */

static void on_said(const char *script, const char *text, bool failed, void *userdata) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;
        Effect *e = userdata;

        frame.path = strdup(script);
        frame.reason = strdup(text);
        frame.failed = failed;
        if (!frame.path || !frame.reason)
                return;

        (void) text_make_printable(frame.path);
        emit(e, &frame, FRAME_SCRIPT);
}

static void on_learned(uint64_t fingerprint, Capability *capability, void *userdata) {
        _cleanup_(frame_done) Frame frame = FRAME_INIT;
        Effect *e = userdata;

        frame.fingerprint = fingerprint;
        frame.capability = *capability;
        *capability = (Capability){};
        emit(e, &frame, FRAME_CAPABILITY);
}

/* So that the daemon can have an action ended if this process does not come to it. */
static void report_action(const Action *a, bool begun) {
        Frame frame = FRAME_INIT;

        if (!callouts_exist(a->effect->callouts) || isempty(a->definition->type))
                return;
        frame.definition = *a->definition; /* borrowed */
        frame.action = a->kind;
        frame.exists = begun;
        emit(a->effect, &frame, FRAME_ACTION);
}

int action_begin(Effect *e, ScriptAction kind, const Definition *d, bool force, Failure *f, Action *ret) {
        _cleanup_(callout_freep) Callout *c = NULL;
        int r;

        *ret = (Action){ .effect = e, .kind = kind, .definition = d };
        if (callout_new(&c, e->callouts, kind, d) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);

        r = callout_pre(c, force, f);
        if (r < 0) {
                callout_notify(c, CALLOUT_NONE);
                return r;
        }

        ret->callout = TAKE_PTR(c);
        report_action(ret, true);
        return 0;
}

void action_end(Action *a, bool success) {
        if (!a->callout)
                return;

        callout_post(a->callout, success);
        report_action(a, false);
        callout_notify(a->callout, success ? CALLOUT_SUCCESS : CALLOUT_FAILURE);
        a->callout = callout_free(a->callout);
}

/* Ends what another worker began and did not come to end. */
static void finish_action(Effect *e) {
        const Request *request = e->request;
        Callout *c = NULL;

        if (callout_new(&c, e->callouts, request->action, &request->definition) < 0)
                return;
        callout_post(c, false);
        callout_notify(c, CALLOUT_FAILURE);
        (void) callout_free(c);
}

/* Effects */

static void perform_look(Effect *e) {
        int r;

        /* Who holds it is at work on the device; what it leaves behind is what there is to see. */
        while (e->lock_fd >= 0 && flock(e->lock_fd, LOCK_EX) < 0 && errno == EINTR)
                ;

        (void) report_sighting(e, e->request->path);
        r = store_open(e->root_fd, &e->store);
        if (r < 0)
                (void) failure_set(failure_of(e), FAILURE_STORE, r, "/" STORE_DIRECTORY, NULL);
        else if (store_scan(e->store, &e->request->definition.uuid, report_file, e) == -ENOMEM)
                e->untold = true;
        if (e->request->finish)
                finish_action(e);
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
                return store_scan_parent(e->store, parent, NULL, report_file, e);
        if (uuid_from_text(slash, &uuid) < 0)
                return store_scan_file(e->store, parent, slash, report_file, e);
        /* With a file come or gone, another of the same UUID may count, or not count any more. */
        return store_scan_parent(e->store, parent, &uuid, report_file, e);
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
        case REQUEST_ATTRIBUTES:
                return d->parent && d->type;
        case REQUEST_MODIFY:
                return d->parent && ((!r->text && !r->live) || d->type);
        case REQUEST_REMOVE:
                return d->parent;
        case REQUEST_UNDEFINE:
        case REQUEST_TYPES:
                return r->parents;
        case REQUEST_LOOK:
                return !r->finish || (d->parent && d->type);
        case REQUEST_SCAN:
                return true;
        case _REQUEST_KIND_MAX:
                break;
        }

        return false;
}

/* A removal, or a creation that is not written down, does not depend on the disk; and a look not before it
 * has waited, and seen the device. */
static bool request_needs_store(const Request *r) {
        return r->kind != REQUEST_REMOVE && r->kind != REQUEST_LOOK && r->kind != REQUEST_TYPES &&
                        r->kind != REQUEST_ATTRIBUTES && (r->kind != REQUEST_CREATE || r->define) &&
                        (r->kind != REQUEST_MODIFY || !r->live || r->define);
}

static bool request_needs_scripts(const Request *r) {
        return (r->kind != REQUEST_LOOK || r->finish) && r->kind != REQUEST_SCAN && r->kind != REQUEST_TYPES;
}

/* Whether the process is as good as new for another request. To scripts a process is an operation: where
 * there are any, each has its own. Who has read all files has used much memory, and is seldom needed. */
static bool may_stay(const Effect *e) {
        return (e->request->kind != REQUEST_SCAN || e->request->parents) &&
                        (!e->callouts || (!callouts_exist(e->callouts) && !notifiers_exist(e->callouts)));
}

static void perform(Effect *e) {
        const Request *request = e->request;
        const CalloutListener listener = { .said = on_said, .learned = on_learned, .userdata = e };
        int r;

        if (!request_is_valid(request)) {
                (void) failure_set(failure_of(e), FAILURE_WORKER, EBADMSG, NULL, "incomplete request");
                return;
        }
        r = request_needs_store(request) ? store_open(e->root_fd, &e->store) : 0;
        if (r < 0) {
                (void) failure_set(failure_of(e), FAILURE_STORE, r, "/" STORE_DIRECTORY, NULL);
                return;
        }

        if (request_needs_scripts(request) &&
                        callouts_new(&e->callouts, e->root_fd, &request->capabilities,
                                        request->script_timeout_sec, &listener, failure_of(e)) < 0)
                return;

        switch (request->kind) {
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
        case REQUEST_ATTRIBUTES:
                perform_attributes(e);
                break;
        case _REQUEST_KIND_MAX:
                break;
        }
}

void effect_perform(int root_fd, const Request *request, int lock_fd, EffectEmit emit_fn, void *userdata) {
        bool enters_driver = request->kind == REQUEST_CREATE || request->kind == REQUEST_REMOVE ||
                        (request->kind == REQUEST_MODIFY && request->live);
        const Definition *d = &request->definition;
        Effect e = {
                .request = request,
                .root_fd = root_fd,
                .sys_fd = openat(root_fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC),
                .lock_fd = lock_fd,
                .kmsg_fd = enters_driver ? kmsg_open() : -EBADF,
                .result = FRAME_INIT,
                .emit = emit_fn,
                .userdata = userdata,
        };

        /* Without the memory for that nothing is begun: it would be told as a failure of what was done. */
        if (request->kind == REQUEST_SCAN || request->kind == REQUEST_TYPES ||
                        failure_set_device(failure_of(&e), &d->uuid, d->parent, d->type) >= 0)
                perform(&e);

        /* Whoever hears this looks for himself. */
        if (e.untold)
                (void) failure_set(failure_of(&e), FAILURE_WORKER, ENOMEM, NULL,
                                "what it found could not be told");

        /* First the lock, then the word: who hears that it is over may begin the next operation at once. */
        e.lock_fd = safe_close(e.lock_fd);
        e.result.stays = may_stay(&e);
        emit(&e, &e.result, FRAME_RESULT);

        frame_done(&e.result);
        e.callouts = callouts_free(e.callouts);
        e.store = store_free(e.store);
        (void) safe_close(e.kmsg_fd);
        (void) safe_close(e.sys_fd);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A script is "versioned" if it answers the question for its capabilities. The first one that does is
 * responsible for all of a (parent and) type, before any other; only if there is none are the others tried,
 * in their order, until one exits with a status other than 2, "not mine".
 *
 * Whether what an earlier worker learned is still true is decided by a fingerprint of what stat(2) says of
 * the directories and their entries. It is taken before a script is asked, and one that has changed in the
 * same tick of the file system's clock is not told on: it could change again without a trace. */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "host/callout.h"
#include "host/codec.h"
#include "host/script.h"
#include "model/name.h"

#define STATUS_NOT_MINE 2
#define ANSWER_MAX (DEFINITION_TEXT_MAX)
#define SAID_MAX 4096U /* kept of what a script says on its standard error */
#define TICK_NSEC (20 * 1000 * 1000L)

typedef struct ScriptList {
        char **paths; /* as a person sees them, below the root */
        size_t n, n_allocated;
} ScriptList;

struct Callouts {
        char *root; /* "/", or the path of what stands for it, which a script must be able to open */
        unsigned timeout_sec;
        CalloutListener listener;
        ScriptList callouts, notifiers;
        uint64_t fingerprint;
        bool is_fresh; /* the fingerprint may not tell the next change */
        const Capabilities *known;
        Capabilities learned;
};

struct Callout {
        Callouts *all;
        ScriptAction action;
        Definition definition;
        char *config;
        const char *remembered; /* the unversioned script that took the action on; borrowed from the list */
};

/* Which scripts there are */

static void list_done(ScriptList *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->paths[i]);
        free(l->paths);
        *l = (ScriptList){};
}

static int list_add(ScriptList *l, const char *directory, const char *name) {
        if (grow((void **) &l->paths, &l->n_allocated, l->n + 1, sizeof *l->paths) < 0)
                return -ENOMEM;
        if (asprintf(&l->paths[l->n], "/%s/%s", directory, name) < 0)
                return -ENOMEM;
        l->n++;
        return 0;
}

static int path_order(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* FNV-1a; what it is made of only root can choose. */
static void fingerprint_add(Callouts *c, const void *data, size_t size) {
        const unsigned char *p = data;

        for (size_t i = 0; i < size; i++)
                c->fingerprint = (c->fingerprint ^ p[i]) * UINT64_C(0x100000001b3);
}

static bool is_recent(const struct timespec *t, const struct timespec *now) {
        int64_t age = (int64_t) (now->tv_sec - t->tv_sec) * 1000000000 + (now->tv_nsec - t->tv_nsec);

        return age > -TICK_NSEC && age < TICK_NSEC;
}

static void fingerprint_file(Callouts *c, const char *name, const struct stat *st) {
        uint64_t identity[] = {
                st->st_dev,
                st->st_ino,
                st->st_mode,
                (uint64_t) st->st_size,
                (uint64_t) st->st_mtim.tv_sec,
                (uint64_t) st->st_mtim.tv_nsec,
                (uint64_t) st->st_ctim.tv_sec,
                (uint64_t) st->st_ctim.tv_nsec,
        };
        struct timespec now;

        fingerprint_add(c, name, strlen(name) + 1);
        fingerprint_add(c, identity, sizeof identity);

        (void) clock_gettime(CLOCK_REALTIME, &now);
        if (is_recent(&st->st_mtim, &now) || is_recent(&st->st_ctim, &now))
                c->is_fresh = true;
}

/* The entries of one directory, behind what is in the list already; all of them, whatever they are: what
 * cannot be executed is passed over then. @identify: they count for the fingerprint. */
static int read_directory(Callouts *c, int root_fd, const char *directory, bool identify, ScriptList *ret) {
        size_t n_before = ret->n;
        struct stat st;
        struct dirent *e;
        DIR *d;
        int fd, r = 0;

        fd = openat(root_fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        if (identify && fstat(fd, &st) >= 0)
                fingerprint_file(c, directory, &st);
        d = fdopendir(fd);
        if (!d) {
                (void) safe_close(fd);
                return -ENOMEM;
        }

        for (errno = 0; r >= 0 && (e = readdir(d)); errno = 0)
                if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
                        r = list_add(ret, directory, e->d_name);
        if (r >= 0 && errno != 0)
                r = -errno;
        if (ret->n > n_before)
                qsort(ret->paths + n_before, ret->n - n_before, sizeof *ret->paths, path_order);

        for (size_t i = n_before; identify && i < ret->n; i++)
                if (fstatat(dirfd(d), strrchr(ret->paths[i], '/') + 1, &st, 0) >= 0)
                        fingerprint_file(c, ret->paths[i], &st);
        (void) closedir(d);
        return r;
}

static int read_directories(Callouts *c, int root_fd, Failure *f) {
        static const struct {
                const char *path;
                bool notifiers;
        } directories[] = {
                { "usr/lib/mdevctl/" CALLOUT_DIRECTORY, false },
                { "etc/mdevctl.d/" CALLOUT_DIRECTORY, false },
                { "usr/lib/mdevctl/" NOTIFIER_DIRECTORY, true },
                { "etc/mdevctl.d/" NOTIFIER_DIRECTORY, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                bool notifiers = directories[i].notifiers;
                char path[64];
                int r;

                r = read_directory(c, root_fd, directories[i].path, !notifiers,
                                notifiers ? &c->notifiers : &c->callouts);
                if (r >= 0)
                        continue;
                (void) snprintf(path, sizeof path, "/%s", directories[i].path);
                return failure_set(
                                f, r == -ENOMEM ? FAILURE_NO_MEMORY : FAILURE_SCRIPT, 0, path, strerror(-r));
        }

        return 0;
}

/* Where a descriptor's directory is; a script is opened once more, by its interpreter, so it needs a path. */
static int path_of_fd(int fd, char **ret) {
        char link[64], path[PATH_MAX];
        ssize_t n;

        (void) snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof path - 1);
        if (n < 0)
                return -errno;
        path[n] = '\0';
        return free_and_strdup(ret, path);
}

int callouts_new(Callouts **ret, int root_fd, const Capabilities *known, unsigned timeout_sec,
                const CalloutListener *listener, Failure *f) {
        _cleanup_(callouts_freep) Callouts *c = malloc(sizeof *c);
        int r;

        if (!c)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        *c = (Callouts){
                .timeout_sec = timeout_sec,
                .listener = *listener,
                .fingerprint = UINT64_C(0xcbf29ce484222325),
                .known = known,
        };

        r = read_directories(c, root_fd, f);
        if (r < 0)
                return r;
        r = callouts_exist(c) || notifiers_exist(c) ? path_of_fd(root_fd, &c->root) : 0;
        if (r < 0)
                return failure_set(
                                f, r == -ENOMEM ? FAILURE_NO_MEMORY : FAILURE_SCRIPT, 0, "/", strerror(-r));

        *ret = TAKE_PTR(c);
        return 0;
}

Callouts *callouts_free(Callouts *c) {
        if (!c)
                return NULL;

        free(c->root);
        list_done(&c->callouts);
        list_done(&c->notifiers);
        capabilities_done(&c->learned);
        free(c);
        return NULL;
}

bool callouts_exist(const Callouts *c) {
        return c->callouts.n > 0;
}

bool notifiers_exist(const Callouts *c) {
        return c->notifiers.n > 0;
}

/* One call */

static const char *const state_words[] = {
        [CALLOUT_NONE] = "none",
        [CALLOUT_SUCCESS] = "success",
        [CALLOUT_FAILURE] = "failure",
};

/* What keeps a file from being executed is the file's fault, and it is passed over; what is not is ours. */
static bool is_no_program(int error) {
        switch (error) {
        case -EACCES:
        case -EISDIR:
        case -ELIBBAD:
        case -ELOOP:
        case -EINVAL:
        case -ENOENT:
        case -ENOEXEC:
        case -ENOTDIR:
                return true;
        default:
                return false;
        }
}

/* Return: 0; -ENOEXEC if the file is no program; another errno if it could not be started. */
static int run(const Callout *c, const char *script, ScriptAction action, ScriptEvent event,
                CalloutState state, const char *input, size_t output_max, ScriptResult *ret) {
        const char *root = c->all->root;
        char path[PATH_MAX], *argv[14], **a = argv;
        char uuid[UUID_TEXT_SIZE];
        ScriptCall call = {
                .path = path,
                .argv = argv,
                .input = input,
                .output_max = output_max,
                .errors_max = SAID_MAX,
                .timeout_sec = c->all->timeout_sec,
        };
        int r;

        /* No memory is asked for: a script that heard of the begin of an action must hear of its end. */
        if (snprintf(path, sizeof path, "%s%s", streq(root, "/") ? "" : root, script) >= (int) sizeof path)
                return -ENAMETOOLONG;

        *a++ = path;
        *a++ = (char *) "-t";
        *a++ = c->definition.type;
        *a++ = (char *) "-e";
        *a++ = (char *) script_event_to_string(event);
        *a++ = (char *) "-a";
        *a++ = (char *) script_action_to_string(action);
        *a++ = (char *) "-s";
        *a++ = (char *) state_words[state];
        *a++ = (char *) "-u";
        *a++ = uuid_to_text(&c->definition.uuid, uuid);
        *a++ = (char *) "-p";
        *a++ = c->definition.parent;
        *a++ = NULL;

        r = script_run(&call, root, ret);
        return r < 0 && is_no_program(r) ? -ENOEXEC : r;
}

static bool succeeded(const ScriptResult *result) {
        return result->end == SCRIPT_EXITED && result->status == 0;
}

static bool is_not_mine(const ScriptResult *result) {
        return result->end == SCRIPT_EXITED && result->status == STATUS_NOT_MINE;
}

/* "it exited with status 3"; owned by the caller, NULL without memory. */
static char *describe_end(const Callout *c, const ScriptResult *result) {
        char *text = NULL;
        int n = 0;

        switch (result->end) {
        case SCRIPT_EXITED:
                n = asprintf(&text, "it exited with status %d", result->status);
                break;
        case SCRIPT_KILLED:
                n = asprintf(&text, "it was killed by signal %d (%s)", result->status,
                                strsignal(result->status));
                break;
        case SCRIPT_TIMED_OUT:
                n = asprintf(&text, "it had not ended after %u s, and was killed", c->all->timeout_sec);
                break;
        }

        return n < 0 ? NULL : text;
}

static void say(const Callout *c, const char *script, const char *text, bool failed) {
        if (text)
                c->all->listener.said(script, text, failed, c->all->listener.userdata);
}

/* Passes on what a script printed, and that it failed if it printed nothing. @failed: it did. */
static void report(const Callout *c, const char *script, const ScriptResult *result, bool failed) {
        _cleanup_(freep) char *text = script_result_said(result);

        if (!text && failed)
                text = describe_end(c, result);
        say(c, script, text, failed);
}

static int fail(Failure *f, FailureKind kind, const char *script, const char *detail) {
        int r = failure_set(f, kind, 0, script, detail);

        /* Any bytes can be a file's name, but not all of them can be told. */
        if (f->subject)
                (void) text_make_printable(f->subject);
        return r;
}

static int fail_by_start(FailureKind kind, const char *script, int r, Failure *f) {
        if (r == -ENOMEM)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        return fail(f, kind, script, r == -ENOEXEC ? "it cannot be executed" : strerror(-r));
}

/* "it exited with status 1 (event pre, action define), and said: …" */
static int fail_by_end(const Callout *c, FailureKind kind, const char *script, ScriptAction action,
                ScriptEvent event, const ScriptResult *result, Failure *f) {
        _cleanup_(freep) char *end = describe_end(c, result), *said = script_result_said(result),
                              *detail = NULL;

        if (!end ||
                        asprintf(&detail, "%s (event %s, action %s)%s%s", end, script_event_to_string(event),
                                        script_action_to_string(action), said ? ", and said: " : "",
                                        strempty(said)) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        return fail(f, kind, script, detail);
}

/* Capabilities */

/* Whether it ended because of somebody else, and might have answered. One that crashes has answered: it knows
 * nothing of capabilities. */
static bool was_ended(const ScriptResult *result) {
        return result->end == SCRIPT_TIMED_OUT || (result->end == SCRIPT_KILLED && result->status == SIGKILL);
}

/* Asks one script. Return: 1 if it is versioned; 0; a negative errno if that is not known, and @f says why,
 * as a failure of @kind. */
static int probe_script(const Callout *c, const char *script, FailureKind kind, Capability *ret, Failure *f) {
        _cleanup_(script_result_done) ScriptResult result = {};
        _cleanup_(freep) char *unknown = NULL, *text = NULL;
        int r;

        r = run(c, script, SCRIPT_CAPABILITIES, SCRIPT_GET, CALLOUT_NONE, CODEC_PROVIDES, ANSWER_MAX,
                        &result);
        if (r == -ENOEXEC)
                return 0;
        if (r < 0)
                return fail_by_start(kind, script, r, f);
        if (result.end != SCRIPT_EXITED)
                report(c, script, &result, true);
        if (was_ended(&result))
                return fail_by_end(c, kind, script, SCRIPT_CAPABILITIES, SCRIPT_GET, &result, f);
        if (result.end != SCRIPT_EXITED || is_not_mine(&result) || result.output_cut ||
                        result.output_size == 0)
                return 0;

        /* Most of those that are not versioned print a usage and fail: that is no news. */
        r = codec_parse_capabilities(result.output, result.output_size, ret, &unknown);
        if (r == -EBADMSG)
                return 0;
        if (r < 0 || free_and_strdup(&ret->script, script) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        if (unknown &&
                        asprintf(&text, "it supports \"%.*s\", which is not known here",
                                        (int) NAME_LENGTH_MAX, unknown) >= 0)
                say(c, script, text_make_printable(text), false);
        return 1;
}

static int probe(Callout *c, FailureKind kind, const Capability **ret, Failure *f) {
        _cleanup_(capability_done) Capability found = {}, copy = {};
        Callouts *all = c->all;
        int r = 0;

        if (free_and_strdup(&found.type, c->definition.type) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        for (size_t i = 0; i < all->callouts.n && r == 0; i++)
                r = probe_script(c, all->callouts.paths[i], kind, &found, f);
        if (r < 0)
                return r;

        copy = (Capability){ .actions = found.actions, .events = found.events };
        if (free_and_strdup(&copy.type, found.type) < 0 || free_and_strdup(&copy.script, found.script) < 0 ||
                        capabilities_add(&all->learned, all->fingerprint, &found) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        /* What is no text cannot be told, and the next worker asks again. */
        if (!all->is_fresh && (!copy.script || text_is_utf8(copy.script)))
                all->listener.learned(all->fingerprint, &copy, all->listener.userdata);

        *ret = capabilities_find(&all->learned, c->definition.type);
        return 0;
}

/* Who is responsible for the type. While a script has not said whether it is, nobody else is: its refusal may
 * be the one that counts. Return: 1 and the capability of a versioned script; 0 if there is none; a negative
 * errno, and @f says why, as a failure of @kind. */
static int find_versioned(Callout *c, FailureKind kind, const Capability **ret, Failure *f) {
        Callouts *all = c->all;
        int r;

        *ret = capabilities_find(&all->learned, c->definition.type);
        if (!*ret && all->known->fingerprint == all->fingerprint)
                *ret = capabilities_find(all->known, c->definition.type);
        if (!*ret) {
                r = probe(c, kind, ret, f);
                if (r < 0)
                        return r;
        }

        return (*ret)->script ? 1 : 0;
}

static bool supports(const Capability *capability, ScriptAction action, ScriptEvent event) {
        return (capability->actions & (UINT32_C(1) << action)) &&
                        (capability->events & (UINT32_C(1) << event));
}

static int fail_unsupported(FailureKind kind, const Capability *capability, ScriptAction action,
                ScriptEvent event, Failure *f) {
        bool action_lacks = !(capability->actions & (UINT32_C(1) << action));
        char detail[128];

        (void) snprintf(detail, sizeof detail, "it does not support the %s %s",
                        action_lacks ? "action" : "event",
                        action_lacks ? script_action_to_string(action) : script_event_to_string(event));
        return fail(f, kind, capability->script, detail);
}

/* An event */

/* How to have an event handled by whom it concerns. */
typedef struct EventCall {
        ScriptAction action;
        ScriptEvent event;
        CalloutState state;
        const char *input;
        size_t output_max;
        FailureKind failure; /* what it is if a script fails */
} EventCall;

/* One script that may be asked again. Return: 1 if it took the event on and succeeded; 0 if it is not its
 * business; a negative errno, and @f says why. */
static int call_script(const Callout *c, const EventCall *call, const char *script, bool may_decline,
                ScriptResult *ret, Failure *f) {
        _cleanup_(script_result_done) ScriptResult result = {};
        int r;

        r = run(c, script, call->action, call->event, call->state, call->input, call->output_max, &result);
        if (r == -ENOEXEC && may_decline)
                return 0;
        if (r < 0)
                return fail_by_start(call->failure, script, r, f);
        if (may_decline && is_not_mine(&result))
                return 0;

        report(c, script, &result, !succeeded(&result));
        if (!succeeded(&result))
                return fail_by_end(c, call->failure, script, call->action, call->event, &result, f);

        *ret = result;
        result = (ScriptResult){};
        return 1;
}

static int search(Callout *c, const EventCall *call, ScriptResult *ret, const char **ret_script, Failure *f) {
        const ScriptList *list = &c->all->callouts;

        for (size_t i = 0; i < list->n; i++) {
                int r = call_script(c, call, list->paths[i], true, ret, f);

                if (r > 0)
                        *ret_script = c->remembered = list->paths[i];
                if (r != 0)
                        return r;
        }

        return 0;
}

/* Return: as call_script(); @ret and @ret_script are filled in if it is 1. */
static int call_event(
                Callout *c, const EventCall *call, ScriptResult *ret, const char **ret_script, Failure *f) {
        const Capability *capability;
        int r;

        if (c->all->callouts.n == 0 || isempty(c->definition.type))
                return 0;

        r = find_versioned(c, call->failure, &capability, f);
        if (r < 0)
                return r;
        if (r > 0 && !supports(capability, call->action, call->event))
                return fail_unsupported(call->failure, capability, call->action, call->event, f);

        *ret_script = r > 0 ? capability->script : c->remembered;
        if (*ret_script)
                return call_script(c, call, *ret_script, false, ret, f);
        return search(c, call, ret, ret_script, f);
}

int callout_new(Callout **ret, Callouts *callouts, ScriptAction action, const Definition *d) {
        _cleanup_(callout_freep) Callout *c = calloc(1, sizeof *c);

        if (!c)
                return -ENOMEM;
        c->all = callouts;
        c->action = action;
        if (definition_copy(d, &c->definition) < 0)
                return -ENOMEM;
        if (!isempty(d->type) && codec_format_for_script(d, &c->config) < 0)
                return -ENOMEM;

        *ret = TAKE_PTR(c);
        return 0;
}

Callout *callout_free(Callout *c) {
        if (!c)
                return NULL;

        definition_done(&c->definition);
        free(c->config);
        free(c);
        return NULL;
}

int callout_pre(Callout *c, bool force, Failure *f) {
        const EventCall call = {
                .action = c->action,
                .event = SCRIPT_PRE,
                .input = c->config,
                .failure = FAILURE_CALL_OUT,
        };
        _cleanup_(script_result_done) ScriptResult result = {};
        _cleanup_(failure_done) Failure failure = FAILURE_INIT;
        const char *script;

        if (call_event(c, &call, &result, &script, &failure) >= 0)
                return 0;
        if (force && failure.kind == FAILURE_CALL_OUT) {
                say(c, failure.subject, "its refusal is overridden by force", false);
                return 0;
        }

        return failure_set(f, failure.kind, failure.error, failure.subject, failure.detail);
}

void callout_post(Callout *c, bool success) {
        const EventCall call = {
                .action = c->action,
                .event = SCRIPT_POST,
                .state = success ? CALLOUT_SUCCESS : CALLOUT_FAILURE,
                .input = c->config,
                .failure = FAILURE_CALL_OUT,
        };
        _cleanup_(script_result_done) ScriptResult result = {};
        _cleanup_(failure_done) Failure failure = FAILURE_INIT;
        const char *script;

        (void) call_event(c, &call, &result, &script, &failure);
}

void callout_notify(Callout *c, CalloutState state) {
        const ScriptList *list = &c->all->notifiers;

        for (size_t i = 0; i < list->n && !isempty(c->definition.type); i++) {
                _cleanup_(script_result_done) ScriptResult result = {};
                const char *script = list->paths[i];
                int r;

                r = run(c, script, c->action, SCRIPT_NOTIFY, state, c->config, 0, &result);
                if (r >= 0)
                        report(c, script, &result, !succeeded(&result));
                else if (r != -ENOEXEC)
                        say(c, script, strerror(-r), true);
        }
}

int callout_live(Callout *c, Failure *f) {
        const EventCall call = {
                .action = SCRIPT_MODIFY,
                .event = SCRIPT_LIVE,
                .input = c->config,
                .failure = FAILURE_SCRIPT,
        };
        _cleanup_(script_result_done) ScriptResult result = {};
        const Capability *capability;
        int r;

        if (c->all->callouts.n == 0 || isempty(c->definition.type))
                return 0;

        r = find_versioned(c, call.failure, &capability, f);
        if (r < 0)
                return r;
        if (r == 0 || !supports(capability, call.action, call.event))
                return 0;
        return call_script(c, &call, capability->script, false, &result, f);
}

int callout_get_attributes(Callout *c, Attributes *ret, Failure *f) {
        const EventCall call = {
                .action = SCRIPT_ATTRIBUTES,
                .event = SCRIPT_GET,
                .input = "",
                .output_max = ANSWER_MAX,
                .failure = FAILURE_SCRIPT,
        };
        _cleanup_(script_result_done) ScriptResult result = {};
        _cleanup_(freep) char *reason = NULL, *detail = NULL;
        const char *script;
        int r;

        *ret = (Attributes){};
        r = call_event(c, &call, &result, &script, f);
        if (r <= 0)
                return r;

        if (result.output_cut)
                return fail(f, FAILURE_SCRIPT, script, "its answer is too long");
        r = codec_parse_answer(strempty(result.output), result.output_size, ret, &reason);
        if (r == -EBADMSG && asprintf(&detail, "its answer is not a list of attributes: %s", reason) < 0)
                r = -ENOMEM;
        if (r == -EBADMSG)
                return fail(f, FAILURE_SCRIPT, script, detail);
        return r < 0 ? failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL) : 0;
}

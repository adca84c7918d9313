/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Call-outs with scripts that do what scripts do, and what none should. Each notes its calls in the file
 * "log" of the tree, and what is reported of them is kept as text. */

#include "tree.h"

#include <signal.h>

#include "host/callout.h"
#include "host/codec.h"
#include "host/script.h"
#include "model/name.h"

#define LIB "usr/lib/mdevctl/scripts.d/callouts/"
#define ETC "etc/mdevctl.d/scripts.d/callouts/"
#define LIB_NOTIFIERS "usr/lib/mdevctl/scripts.d/notifiers/"
#define ETC_NOTIFIERS "etc/mdevctl.d/scripts.d/notifiers/"

#define PARENT "0000:3b:00.0"
#define TYPE "t-1"

#define VERSIONED(actions, events)                                                         \
        "[ $4 = get ] && [ $6 = capabilities ] && "                                        \
        "echo '{\"supports\":{\"version\":2,\"actions\":[" actions "],\"events\":[" events \
        "]}}' && exit 0\n"
#define ALL_ACTIONS "\"start\",\"stop\",\"define\",\"undefine\",\"modify\",\"attributes\",\"capabilities\""
#define ALL_EVENTS "\"pre\",\"post\",\"notify\",\"get\",\"live\""

static struct {
        char said[16384];
        unsigned n_learned;
        bool remembers; /* what was learned, for the next worker; else all is asked anew */
        Capabilities known;
        unsigned timeout_sec;
} told;

static void on_said(const char *script, const char *text, bool failed, void *userdata) {
        size_t n = strlen(told.said);

        assert_ptr_equal(userdata, &told);
        assert_true(text_is_utf8(text));
        (void) snprintf(told.said + n, sizeof told.said - n, "%s%s: %s\n", failed ? "!" : "",
                        strrchr(script, '/') + 1, text);
}

static void on_learned(uint64_t fingerprint, Capability *capability, void *userdata) {
        assert_ptr_equal(userdata, &told);
        told.n_learned++;
        if (!told.remembers)
                capability_done(capability);
        else
                assert_int_equal(capabilities_add(&told.known, fingerprint, capability), 0);
}

static int setup(void **state) {
        memset(&told, 0, sizeof told);
        told.timeout_sec = 60;
        return tree_setup(state);
}

static int teardown(void **state) {
        capabilities_done(&told.known);
        return tree_teardown(state);
}

/* A script that notes its call as "name event action state" and does @body. */
static void put_script(const char *path, const char *body) {
        tree_put(path, PATH("#!/bin/sh\necho ${0##*/} $4 $6 $8 >>$MDEVCTL_ENV_ROOT/log\n%s\n", body));
        tree_chmod(path, 0755);
}

/* What scripts noted so far, and forgets it. */
static void assert_log(const char *expected) {
        if (tree_has("log")) {
                assert_file("log", expected);
                tree_remove("log");
        } else
                assert_string_equal(expected, "");
}

static void assert_said(const char *expected) {
        assert_string_equal(told.said, expected);
        told.said[0] = '\0';
}

static Callouts *make(void) {
        const CalloutListener listener = { .said = on_said, .learned = on_learned, .userdata = &told };
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Callouts *c;

        assert_int_equal(callouts_new(&c, tree_fd, &told.known, told.timeout_sec, &listener, &f), 0);
        return c;
}

static Callout *begin(Callouts *callouts, ScriptAction action) {
        _cleanup_(definition_done) Definition d = { .uuid = uuid_of(UUID_A) };
        Callout *c;

        assert_int_equal(free_and_strdup(&d.parent, PARENT), 0);
        assert_int_equal(free_and_strdup(&d.type, TYPE), 0);
        assert_int_equal(attributes_append(&d.attributes, "a", "1"), 0);
        assert_int_equal(attributes_append(&d.attributes, "a", "\xc3\xa9/\""), 0);
        assert_int_equal(callout_new(&c, callouts, action, &d), 0);
        return c;
}

/* An action from pre to notify, as the worker has it. Return: what pre said; @f: the failure, or NULL for one
 * that is not looked at. */
static int act(ScriptAction action, bool force, Failure *f) {
        _cleanup_(callouts_freep) Callouts *callouts = make();
        _cleanup_(callout_freep) Callout *c = begin(callouts, action);
        _cleanup_(failure_done) Failure local = FAILURE_INIT;
        int r;

        r = callout_pre(c, force, f ?: &local);
        if (r >= 0)
                callout_post(c, true);
        callout_notify(c, r < 0 ? CALLOUT_NONE : CALLOUT_SUCCESS);
        return r;
}

static void assert_refused(const char *script, const char *detail) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;

        assert_int_equal(act(SCRIPT_START, false, &f), -ECANCELED);
        assert_int_equal(f.kind, FAILURE_CALL_OUT);
        assert_string_equal(f.subject, script);
        assert_string_equal(f.detail, detail);
}

/* Waits until no file is so new that what is learned of it is not told. */
static void wait_until_settled(void) {
        struct timespec at, now;

        (void) clock_gettime(CLOCK_REALTIME, &at);
        WAIT_UNTIL((clock_gettime(CLOCK_REALTIME, &now),
                        (now.tv_sec - at.tv_sec) * 1000000000 + now.tv_nsec - at.tv_nsec > 50 * 1000000));
}

/* Which and how */

static void test_none(void **state) {
        (void) state;

        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        tree_mkdir(LIB);
        tree_mkdir(ETC);
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_said("");
        assert_int_equal(told.n_learned, 0);
}

/* Arguments, standard input, environment, directory, descriptors, group, parent, signals. */
static void test_call(void **state) {
        _cleanup_(closep) int leak = dup(tree_fd); /* not close-on-exec, as a library's might be */

        (void) state;

        assert_true(leak > STDERR_FILENO);
        put_script(LIB "a",
                        "[ $6 = capabilities ] && exit 2\n"
                        "d=$MDEVCTL_ENV_ROOT/$4; mkdir $d; cd $d\n"
                        "printf '%s\\n' \"$@\" >args\n"
                        "cat >input\n"
                        "env | grep -v '^_=\\|^PWD=\\|^OLDPWD=' | sort >env\n"
                        "ls /proc/self/fd >fds\n"
                        "sed -n 's/^Sig[BI].*\\(.......\\)$/\\1/p' /proc/self/status >signals\n" /* 1 to 28: C
                                                                                                  keeps some
                                                                                                  for itself
                                                                                                */
                        "cut -d' ' -f5 /proc/$$/stat >group; echo $$ >pid; echo $PPID >parent\n"
                        "umask >umask\n");
        put_script(LIB_NOTIFIERS "n", "cat >$MDEVCTL_ENV_ROOT/notified");
        assert_int_equal(act(SCRIPT_DEFINE, false, NULL), 0);
        assert_log("a get capabilities none\na pre define none\na post define success\nn notify define success\n");
        for (unsigned i = 0; i < 2; i++) {
                const char *event = i == 0 ? "pre" : "post";
                _cleanup_(freep) char *group = tree_get(PATH("%s/group", event), NULL);

                assert_file(PATH("%s/args", event),
                                PATH("-t\n" TYPE "\n-e\n%s\n-a\ndefine\n-s\n%s\n-u\n" UUID_A "\n-p\n" PARENT
                                     "\n",
                                                event, i == 0 ? "none" : "success"));
                assert_file(PATH("%s/input", event),
                                "{\"mdev_type\":\"" TYPE "\",\"start\":\"manual\",\"attrs\":[{\"a\":\"1\"},"
                                "{\"a\":\"\xc3\xa9/\\\"\"}]}");
                assert_file(PATH("%s/env", event),
                                PATH("LC_ALL=C.UTF-8\nMDEVCTL_ENV_ROOT=%s\n"
                                     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
                                                tree_root));
                /* 3 is ls's own. */
                assert_file(PATH("%s/fds", event), "0\n1\n2\n3\n");
                assert_file(PATH("%s/signals", event), "0000000\n0000000\n");
                assert_file(PATH("%s/pid", event), group);
                assert_file(PATH("%s/parent", event), PATH("%d\n", (int) getpid()));
                assert_file(PATH("%s/umask", event), "0022\n");
        }
        assert_file("notified",
                        "{\"mdev_type\":\"" TYPE "\",\"start\":\"manual\",\"attrs\":[{\"a\":\"1\"},"
                        "{\"a\":\"\xc3\xa9/\\\"\"}]}");
        assert_said("");
}

/* First /usr/lib, then /etc; sorted in each; until one is not "not mine"; what is no program is passed over.
 */
static void test_order(void **state) {
        (void) state;

        put_script(ETC "a", "exit 2");
        put_script(ETC "e", "exit 0");
        put_script(ETC "f", "exit 1");
        put_script(LIB "d", "exit 2");
        put_script(LIB "b~", "exit 2");
        put_script(LIB ".hidden", "exit 2");
        tree_put(LIB "README", "not a program\n");
        tree_put(LIB "odd", "not a program either\n");
        tree_chmod(LIB "odd", 0755);
        tree_mkdir(LIB "directory");
        tree_link("/nowhere", LIB "link");
        put_script(ETC_NOTIFIERS "1", "exit 1");
        put_script(LIB_NOTIFIERS "3", "exit 0");
        put_script(LIB_NOTIFIERS "2", "echo told >&2; exit 2");
        assert_int_equal(act(SCRIPT_STOP, false, NULL), 0);
        assert_log(".hidden get capabilities none\nb~ get capabilities none\nd get capabilities none\n"
                   "a get capabilities none\ne get capabilities none\nf get capabilities none\n"
                   ".hidden pre stop none\nb~ pre stop none\nd pre stop none\na pre stop none\ne pre stop none\n"
                   "e post stop success\n"
                   "2 notify stop success\n3 notify stop success\n1 notify stop success\n");
        assert_said("!2: told\n!1: it exited with status 1\n");
}

/* All say that it is not theirs: then it is nobody's, and post asks them all again. */
static void test_nobodys(void **state) {
        (void) state;

        put_script(LIB "a", "exit 2");
        put_script(LIB "b", "echo ignored >&2; exit 2");
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_log("a get capabilities none\nb get capabilities none\na pre start none\nb pre start none\n"
                   "a post start success\nb post start success\n");
        assert_said("");
}

static void test_refusal(void **state) {
        (void) state;

        put_script(LIB "a",
                        "[ $4 = pre ] && { echo 'no, '; echo \"not today\"; echo; } >&2 && exit 3; exit 2");
        put_script(LIB "b", "exit 0");
        put_script(LIB_NOTIFIERS "n", "");
        assert_refused("/" LIB "a",
                        "it exited with status 3 (event pre, action start), and said: no, \nnot today");
        assert_log("a get capabilities none\nb get capabilities none\na pre start none\nn notify start none\n");
        assert_said("!a: no, \nnot today\n");

        /* With force it goes on; nobody has taken it on, so post asks all. */
        assert_int_equal(act(SCRIPT_START, true, NULL), 0);
        assert_log("a get capabilities none\nb get capabilities none\na pre start none\na post start success\n"
                   "b post start success\nn notify start success\n");
        assert_said("!a: no, \nnot today\na: its refusal is overridden by force\n");
}

static void test_post_is_ignored(void **state) {
        (void) state;

        put_script(LIB "a", "[ $4 = post ] && echo oh >&2 && exit 9; exit 0");
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_said("!a: oh\n");
}

/* Death */

static void test_killed(void **state) {
        (void) state;

        put_script(LIB "a", "[ $6 = capabilities ] || kill -TERM $$");
        put_script(LIB "b", "exit 0");
        assert_refused("/" LIB "a", "it was killed by signal 15 (Terminated) (event pre, action start)");
        assert_said("!a: it was killed by signal 15 (Terminated)\n");

        put_script(LIB "a", "kill -SEGV $$");
        assert_refused("/" LIB "a",
                        "it was killed by signal 11 (Segmentation fault) (event pre, action start)");
        assert_said("!a: it was killed by signal 11 (Segmentation fault)\n"
                    "!a: it was killed by signal 11 (Segmentation fault)\n");
}

static pid_t pid_in(const char *path) {
        _cleanup_(freep) char *text = tree_get(path, NULL);

        assert_true(strtol(text, NULL, 10) > 1);
        return (pid_t) strtol(text, NULL, 10);
}

/* The time-out kills the whole group, and says so. */
static void test_hanging(void **state) {
        double began = seconds_now();

        (void) state;

        told.timeout_sec = 1;
        put_script(LIB "a",
                        "[ $6 = capabilities ] && exit 2\n"
                        "trap '' TERM INT HUP\n"
                        "sleep 1000 & echo $! >$MDEVCTL_ENV_ROOT/child\n"
                        "echo waiting >&2; wait");
        assert_refused("/" LIB "a",
                        "it had not ended after 1 s, and was killed (event pre, action start), and said: waiting");
        assert_true(seconds_now() - began < 30);
        assert_said("!a: waiting\n");
        WAIT_UNTIL(kill(pid_in("child"), 0) < 0 && errno == ESRCH);
}

/* One that leaves a child behind, which holds everything open, has ended when it has ended; and the child
 * goes on. */
static void test_daemonising(void **state) {
        double began = seconds_now();

        (void) state;

        put_script(LIB "a",
                        "[ $6 = capabilities ] && exit 2\n"
                        "sleep 1000 & echo $! >$MDEVCTL_ENV_ROOT/child; echo left one >&2");
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_true(seconds_now() - began < 30);
        assert_said("a: left one\na: left one\n");
        assert_int_equal(kill(pid_in("child"), SIGKILL), 0);
}

/* Input and output */

/* Neither a large input that nobody reads nor a large output that nobody wants stops anything, in whatever
 * order. */
static void test_large(void **state) {
        _cleanup_(callouts_freep) Callouts *callouts = NULL;
        _cleanup_(definition_done) Definition d = { .uuid = uuid_of(UUID_A) };
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        _cleanup_(callout_freep) Callout *c = NULL;
        char value[4001];

        (void) state;

        memset(value, 'x', sizeof value - 1);
        value[sizeof value - 1] = '\0';
        assert_int_equal(free_and_strdup(&d.parent, PARENT), 0);
        assert_int_equal(free_and_strdup(&d.type, TYPE), 0);
        for (unsigned i = 0; i < 16; i++)
                assert_int_equal(attributes_append(&d.attributes, "a", value), 0);

        put_script(LIB "a",
                        "[ $6 = capabilities ] && exit 2\n"
                        "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2\n"
                        "[ $4 = post ] && exit 0\n"
                        "cat | wc -c >$MDEVCTL_ENV_ROOT/size");
        callouts = make();
        assert_int_equal(callout_new(&c, callouts, SCRIPT_START, &d), 0);
        assert_int_equal(callout_pre(c, false, &f), 0);
        assert_file("size", "64190\n");
        callout_post(c, true);
}

/* What is printed is kept within its bound, and made presentable. */
static void test_said(void **state) {
        (void) state;

        put_script(LIB "a", "[ $4 = pre ] && printf 'caf\\351 \\0x\\200\\0\\n' >&2; exit 0");
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_said("a: caf?  x?\n");

        put_script(LIB "a", "[ $4 = pre ] && head -c 100000 /dev/zero | tr '\\0' y >&2; exit 0");
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_int_equal(strlen(told.said), strlen("a: ") + 4096 + strlen(" …\n"));
        assert_non_null(strstr(told.said, "yyy …\n"));
        told.said[0] = '\0';

        /* Nor is a character cut in two; and a name that is no text can be told. */
        tree_remove(LIB "a");
        put_script(LIB "\xe9",
                        "[ $4 = pre ] && { printf x; yes \xc3\xa9 | head -c 30000 | tr -d '\n'; } >&2; exit 1");
        {
                _cleanup_(failure_done) Failure f = FAILURE_INIT;

                assert_int_equal(act(SCRIPT_START, false, &f), -ECANCELED);
                assert_string_equal(f.subject, "/" LIB "?");
                assert_non_null(strstr(f.detail, "and said: x\xc3\xa9\xc3\xa9"));
        }
}

/* Flooding for ever ends with the time-out. */
static void test_flooding(void **state) {
        (void) state;

        told.timeout_sec = 1;
        put_script(LIB "a", "[ $6 = capabilities ] && exit 2\nexec yes no >&2");
        {
                _cleanup_(failure_done) Failure f = FAILURE_INIT;

                assert_int_equal(act(SCRIPT_START, false, &f), -ECANCELED);
                assert_non_null(strstr(f.detail, "it had not ended after 1 s, and was killed"));
                assert_true(strlen(f.detail) < 5000);
        }
}

/* Capabilities */

static void test_versioned_wins(void **state) {
        (void) state;

        put_script(LIB "a", "exit 0");
        put_script(ETC "v", VERSIONED(ALL_ACTIONS, ALL_EVENTS) "exit 0");
        put_script(ETC "w", VERSIONED(ALL_ACTIONS, ALL_EVENTS) "exit 1");
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_log("a get capabilities none\nv get capabilities none\nv pre start none\nv post start success\n");

        /* "not mine" is too late for it. */
        put_script(ETC "v", VERSIONED(ALL_ACTIONS, ALL_EVENTS) "exit 2");
        assert_refused("/" ETC "v", "it exited with status 2 (event pre, action start)");
}

static void test_unsupported(void **state) {
        (void) state;

        put_script(LIB "v", VERSIONED("\"stop\"", ALL_EVENTS) "exit 0");
        assert_refused("/" LIB "v", "it does not support the action start");
        assert_log("v get capabilities none\n");
        assert_int_equal(act(SCRIPT_START, true, NULL), 0);
        assert_log("v get capabilities none\n"); /* and post is nobody's */
        assert_int_equal(act(SCRIPT_STOP, false, NULL), 0);

        put_script(LIB "v", VERSIONED(ALL_ACTIONS, "\"post\"") "exit 0");
        assert_refused("/" LIB "v", "it does not support the event pre");
}

#define ZEROS "000000000000000000000000000000000000000000000000000" /* a fifth of NAME_LENGTH_MAX */

static void test_capabilities(void **state) {
        static const struct {
                const char *answer; /* of a shell's printf, and then the exit status */
                bool versioned;
                const char *said;
        } rows[] = {
                { "printf '{\"supports\":{\"version\":1,\"actions\":[\"start\"],\"events\":[\"pre\"]}}'",
                                true, "" },
                { "printf '{\"supports\":{\"version\":1,\"actions\":[\"start\"],\"events\":[\"pre\"]}}\\0\\n\\0'",
                                true, "" },
                { "printf '{\"x\":1,\"supports\":{\"version\":4294967295,\"y\":[],\"actions\":[\"start\"],\"events\":[\"pre\"]}}'; exit 1",
                                true, "" },
                { "printf '{\"supports\":{\"version\":1,\"actions\":[\"start\",\"fly\"],\"events\":[\"pre\",\"\\303\\251\"]}}'",
                                true, "v: it supports \"fly\", which is not known here\n" },
                { "printf '{\"supports\":{\"version\":1,\"actions\":[\"start\",\"%0600d\"],\"events\":[\"pre\"]}}' 0",
                                true,
                                "v: it supports \"" ZEROS ZEROS ZEROS ZEROS ZEROS
                                "\", which is not known here\n" },
                { "printf '{\"supports\":{\"version\":1,\"actions\":[\"start\"],\"events\":[\"pre\"]}}'; exit 2",
                                false, "" },
                { "printf '{\"supports\":{\"version\":1,\"actions\":[\"start\"],\"events\":[\"pre\"]}}'; kill -SEGV $$",
                                false, "!v: it was killed by signal 11 (Segmentation fault)\n" },
                { "printf '{\"supports\":{\"version\":\"1\",\"actions\":[],\"events\":[]}}'", false, "" },
                { "printf '{\"supports\":{\"version\":-1,\"actions\":[],\"events\":[]}}'", false, "" },
                { "printf '{\"supports\":{\"version\":4294967296,\"actions\":[],\"events\":[]}}'", false,
                                "" },
                { "printf '{\"supports\":{\"version\":1.5,\"actions\":[],\"events\":[]}}'", false, "" },
                { "printf '{\"supports\":{\"actions\":[],\"events\":[]}}'", false, "" },
                { "printf '{\"supports\":{\"version\":1,\"actions\":[]}}'", false, "" },
                { "printf '{\"supports\":{\"version\":1,\"actions\":[1],\"events\":[]}}'", false, "" },
                { "printf '{\"supports\":{\"version\":1,\"actions\":{},\"events\":[]}}'", false, "" },
                { "printf '{\"supports\":null}'", false, "" },
                { "printf '{}'", false, "" },
                { "printf '[]'", false, "" },
                { "printf '{\"supports\":'", false, "" },
                { "printf '\\377\\376{}'", false, "" },
                { "printf '{\"supports\":{\"version\":1,\"actions\":[\"st\\300rt\"],\"events\":[]}}'", false,
                                "" },
                { "printf '{\"supports\":{\"version\":1,\"actions\":[],\"events\":[]}} x'", false, "" },
                { "head -c 2000000 /dev/zero", false, "" },
                { "true", false, "" },
                { "echo 'unknown event' >&2; exit 1", false, "" },
        };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                put_script(LIB "a", "exit 0");
                put_script(LIB "v", PATH("[ $6 = capabilities ] || exit 0\n%s", rows[i].answer));
                assert_int_equal(act(SCRIPT_START, false, NULL), 0);
                assert_log(rows[i].versioned ? "a get capabilities none\nv get capabilities none\nv pre start none\n"
                                             : "a get capabilities none\nv get capabilities none\na pre start none\n"
                                               "a post start success\n");
                assert_said(rows[i].said);
        }
}

/* Whoever was kept from saying whether it is responsible may be the one that would have refused. */
static void test_capabilities_not_told(void **state) {
        (void) state;

        told.remembers = true;
        told.timeout_sec = 1;
        put_script(LIB "a", "exit 0");
        put_script(LIB "v",
                        "if [ $6 = capabilities ]; then\n"
                        "  case $(cat $MDEVCTL_ENV_ROOT/how) in kill) kill -KILL $$;; hang) sleep 1000;; esac\n"
                        "  echo '{\"supports\":{\"version\":1,\"actions\":[\"start\"],\"events\":[\"pre\"]}}'\n"
                        "  exit 0\n"
                        "fi\n"
                        "exit 2");

        tree_put("how", "kill");
        assert_refused("/" LIB "v", "it was killed by signal 9 (Killed) (event get, action capabilities)");
        assert_log("a get capabilities none\nv get capabilities none\n");
        assert_said("!v: it was killed by signal 9 (Killed)\n");
        tree_put("how", "hang");
        assert_refused("/" LIB "v",
                        "it had not ended after 1 s, and was killed (event get, action capabilities)");
        assert_log("a get capabilities none\nv get capabilities none\n");
        assert_said("!v: it had not ended after 1 s, and was killed\n");
        assert_int_equal(told.n_learned, 0);

        told.timeout_sec = 60;
        tree_put("how", "answer");
        assert_refused("/" LIB "v", "it exited with status 2 (event pre, action start)");
        assert_log("a get capabilities none\nv get capabilities none\nv pre start none\n");
        assert_said("!v: it exited with status 2\n");
        assert_int_equal(told.n_learned, 1);
}

/* Any bytes can be a file's name; what is no text is asked, and heard, but cannot be told to others. */
static void test_capabilities_of_no_text(void **state) {
        (void) state;

        told.remembers = true;
        put_script(LIB "v\xff",
                        "[ $6 = capabilities ] &&\n"
                        "  echo '{\"supports\":{\"version\":1,\"actions\":[\"start\"],\"events\":[\"pre\"]}}' &&\n"
                        "  exit 0\n"
                        "exit 2");
        for (unsigned i = 0; i < 2; i++) {
                assert_refused("/" LIB "v?", "it exited with status 2 (event pre, action start)");
                assert_log("v\xff get capabilities none\nv\xff pre start none\n");
        }
        assert_int_equal(told.n_learned, 0);
}

static void test_question(void **state) {
        (void) state;

        put_script(LIB "a", "[ $6 = capabilities ] && cat >$MDEVCTL_ENV_ROOT/question; exit 2");
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_file("question",
                        "{\"provides\":{\"version\":2,\"actions\":[\"start\",\"stop\",\"define\",\"undefine\","
                        "\"modify\",\"attributes\",\"capabilities\"],\"events\":[\"pre\",\"post\",\"notify\","
                        "\"get\",\"live\"]}}");
}

/* Asked once, in whatever number of workers; and again when a script is changed, added, or removed. */
static void test_cache(void **state) {
        struct stat st;

        (void) state;

        told.remembers = true;
        put_script(LIB "a", "exit 0");
        wait_until_settled();
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_log("a get capabilities none\na pre start none\na post start success\n");
        assert_int_equal(told.n_learned, 1);
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_log("a pre start none\na post start success\n");

        put_script(ETC "v", VERSIONED(ALL_ACTIONS, ALL_EVENTS) "exit 0");
        wait_until_settled();
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_log("a get capabilities none\nv get capabilities none\nv pre start none\nv post start success\n");
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_log("v pre start none\nv post start success\n");

        put_script(ETC "v", VERSIONED(ALL_ACTIONS, "\"pre\"") "exit 0");
        wait_until_settled();
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_log("a get capabilities none\nv get capabilities none\nv pre start none\n");

        /* Of the same size and, as "cp --preserve" has it, the same age. */
        assert_int_equal(fstatat(tree_fd, ETC "v", &st, 0), 0);
        put_script(ETC "v", VERSIONED(ALL_ACTIONS, "\"get\"") "exit 0");
        assert_int_equal(utimensat(tree_fd, ETC "v", (struct timespec[]){ st.st_atim, st.st_mtim }, 0), 0);
        wait_until_settled();
        assert_refused("/" ETC "v", "it does not support the event pre");
        assert_log("a get capabilities none\nv get capabilities none\n");

        tree_chmod(ETC "v", 0644);
        wait_until_settled();
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_log("a get capabilities none\na pre start none\na post start success\n");

        tree_remove(ETC "v");
        wait_until_settled();
        assert_int_equal(act(SCRIPT_START, false, NULL), 0);
        assert_log("a get capabilities none\na pre start none\na post start success\n");
        assert_int_equal(told.n_learned, 6);
        assert_int_equal(told.known.n, 1);
}

/* A script as new as its fingerprint may change again and have the same one. */
static void test_cache_of_what_is_new(void **state) {
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, {} };

        (void) state;

        put_script(LIB "a", "exit 0");
        wait_until_settled();
        (void) clock_gettime(CLOCK_REALTIME, &times[1]);
        times[1].tv_nsec /= 1000000;
        times[1].tv_nsec *= 1000000;
        for (unsigned i = 0; i < 3 && told.n_learned == 0; i++) {
                _cleanup_(callouts_freep) Callouts *callouts = NULL;
                _cleanup_(callout_freep) Callout *c = NULL;
                _cleanup_(failure_done) Failure f = FAILURE_INIT;

                assert_int_equal(utimensat(tree_fd, LIB "a", times, 0), 0);
                callouts = make();
                c = begin(callouts, SCRIPT_START);
                assert_int_equal(callout_pre(c, false, &f), 0);
        }
        assert_int_equal(told.n_learned, 0);
}

/* Live, and attributes */

static int live(Failure *f) {
        _cleanup_(callouts_freep) Callouts *callouts = make();
        _cleanup_(callout_freep) Callout *c = begin(callouts, SCRIPT_MODIFY);

        return callout_live(c, f);
}

static void test_live(void **state) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;

        (void) state;

        assert_int_equal(live(&f), 0);
        put_script(LIB "a", "exit 0");
        assert_int_equal(live(&f), 0); /* it does not say that it can */
        assert_log("a get capabilities none\n");
        put_script(LIB "v", VERSIONED(ALL_ACTIONS, "\"pre\"") "exit 0");
        assert_int_equal(live(&f), 0);
        put_script(LIB "v", VERSIONED("\"start\"", ALL_EVENTS) "exit 0");
        assert_int_equal(live(&f), 0);
        tree_remove("log");

        put_script(LIB "v", VERSIONED(ALL_ACTIONS, ALL_EVENTS) "cat >$MDEVCTL_ENV_ROOT/input");
        assert_int_equal(live(&f), 1);
        assert_log("a get capabilities none\nv get capabilities none\nv live modify none\n");
        assert_file("input",
                        "{\"mdev_type\":\"" TYPE "\",\"start\":\"manual\",\"attrs\":[{\"a\":\"1\"},"
                        "{\"a\":\"\xc3\xa9/\\\"\"}]}");

        put_script(LIB "v", VERSIONED(ALL_ACTIONS, ALL_EVENTS) "echo no >&2; exit 2");
        assert_int_equal(live(&f), -ECANCELED);
        assert_int_equal(f.kind, FAILURE_SCRIPT);
        assert_string_equal(f.detail, "it exited with status 2 (event live, action modify), and said: no");
        put_script(LIB "v", VERSIONED(ALL_ACTIONS, ALL_EVENTS) "kill -9 $$");
        assert_int_equal(live(&f), -ECANCELED);
}

static void test_attributes(void **state) {
        static const struct {
                const char *answer;
                int r;
                const char *attributes; /* or what the detail has in it */
        } rows[] = {
                { "true", 0, "" },
                { "printf '[]'", 0, "" },
                { "printf '[{}]'", 0, "" },
                { "printf '[{}]\\n'", 0, "" },
                { "printf '[{}]\\0'", 0, "" },
                { "printf '[{}] \\0\\n\\0'", 0, "" },
                { "printf '[{\"a\":\"1\"},{\"b\":\"2\"},{\"a\":\"\"}]\\n'", 0, "a=1 b=2 a= " },
                { "exit 2", 0, "" }, /* nobody's */
                { "printf '[{},{}]'", -ECANCELED, "attribute 0 has 0 names" },
                { "printf '[{\"a\":\"1\",\"b\":\"2\"}]'", -ECANCELED, "attribute 0 has 2 names" },
                { "printf '[{\"a\":1}]'", -ECANCELED, "is not a string" },
                { "printf '[\"a\"]'", -ECANCELED, "is not an object" },
                { "printf '[null]'", -ECANCELED, "is not an object" },
                { "printf '{}'", -ECANCELED, "not a JSON array" },
                { "printf '[{\"../x\":\"1\"}]'", -ECANCELED, "not a valid name" },
                { "printf '[{\"remove\":\"1\"}]'", -ECANCELED, "not a valid name" },
                { "printf '[{\"a\":\"\\300\"}]'", -ECANCELED, "not a list of attributes" },
                { "printf '\\377'", -ECANCELED, "not a list of attributes" },
                { "printf '[{\"a\":\"1\"}] x'", -ECANCELED, "unexpected character" },
                { "printf '[{\"a\":'", -ECANCELED, "ends too early" },
                { "head -c 10000000 /dev/zero | tr '\\0' ' '", -ECANCELED, "its answer is too long" },
                { "printf '[{\"a\":\"1\"}]'; exit 1", -ECANCELED,
                                "it exited with status 1 (event get, action attributes)" },
                { "printf '[{\"a\":\"1\"}]'; kill -9 $$", -ECANCELED, "killed by signal 9" },
        };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(attributes_done) Attributes attributes = {};
                _cleanup_(failure_done) Failure f = FAILURE_INIT;
                _cleanup_(callouts_freep) Callouts *callouts = NULL;
                _cleanup_(callout_freep) Callout *c = NULL;
                char text[256] = "";

                put_script(LIB "a",
                                PATH("[ $6 = capabilities ] && exit 2\ncat >$MDEVCTL_ENV_ROOT/input\n%s",
                                                rows[i].answer));
                callouts = make();
                c = begin(callouts, SCRIPT_DEFINE);
                assert_int_equal(callout_get_attributes(c, &attributes, &f), rows[i].r);
                assert_file("input", "");
                if (rows[i].r < 0) {
                        assert_int_equal(f.kind, FAILURE_SCRIPT);
                        assert_string_equal(f.subject, "/" LIB "a");
                        if (!strstr(f.detail, rows[i].attributes))
                                assert_string_equal(f.detail, rows[i].attributes);
                        continue;
                }
                FOREACH_ATTRIBUTE(name, value, &attributes)
                        (void) sprintf(strchr(text, '\0'), "%s=%s ", name, value);
                assert_string_equal(text, rows[i].attributes);
        }
}

/* A device of which not even the type is known is nobody's. */
static void test_without_type(void **state) {
        const Definition d = { .uuid = uuid_of(UUID_A), .parent = (char *) PARENT };
        _cleanup_(callouts_freep) Callouts *callouts = NULL;
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        _cleanup_(callout_freep) Callout *c = NULL;
        Attributes attributes;

        (void) state;

        put_script(LIB "a", "exit 1");
        put_script(LIB_NOTIFIERS "a", "exit 1");
        callouts = make();
        assert_int_equal(callout_new(&c, callouts, SCRIPT_STOP, &d), 0);
        assert_int_equal(callout_pre(c, false, &f), 0);
        assert_int_equal(callout_live(c, &f), 0);
        assert_int_equal(callout_get_attributes(c, &attributes, &f), 0);
        callout_post(c, true);
        callout_notify(c, CALLOUT_SUCCESS);
        assert_log("");
}

/* A directory that cannot be read may have a script that would refuse. */
static void test_unreadable(void **state) {
        const CalloutListener listener = {};
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Callouts *c;

        (void) state;

        tree_link("callouts", "usr/lib/mdevctl/scripts.d/callouts");
        assert_true(callouts_new(&c, tree_fd, &told.known, 1, &listener, &f) < 0);
        assert_int_equal(f.kind, FAILURE_SCRIPT);
        assert_string_equal(f.subject, "/usr/lib/mdevctl/scripts.d/callouts");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_none),
                TEST(test_call),
                TEST(test_order),
                TEST(test_nobodys),
                TEST(test_refusal),
                TEST(test_post_is_ignored),
                TEST(test_killed),
                TEST(test_hanging),
                TEST(test_daemonising),
                TEST(test_large),
                TEST(test_said),
                TEST(test_flooding),
                TEST(test_versioned_wins),
                TEST(test_unsupported),
                TEST(test_capabilities),
                TEST(test_capabilities_not_told),
                TEST(test_capabilities_of_no_text),
                TEST(test_question),
                TEST(test_cache),
                TEST(test_cache_of_what_is_new),
                TEST(test_live),
                TEST(test_attributes),
                TEST(test_without_type),
                TEST(test_unreadable),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

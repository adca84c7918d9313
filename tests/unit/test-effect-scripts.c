/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Effects with scripts around them: who is called when, and what becomes of what. Scripts note in the file
 * "log" of the tree their name, event, action and state, and what is there of the device and of its file. */

#include "effect-fixture.h"

#define CALLOUTS "usr/lib/mdevctl/scripts.d/callouts/"
#define NOTIFIERS "usr/lib/mdevctl/scripts.d/notifiers/"
#define FILE_A2 TOP P2 "/" UUID_A

#define VERSIONED                                                                                                 \
        "[ $6 = capabilities ] && echo '{\"supports\":{\"version\":2,\"actions\":[\"start\",\"stop\",\"define\"," \
        "\"undefine\",\"modify\",\"attributes\"],\"events\":[\"pre\",\"post\",\"get\",\"live\"]}}' && exit 0\n"

static void put_script(const char *path, const char *body) {
        tree_put(path,
                        PATH("#!/bin/sh\n"
                             "[ $6 = capabilities ] && hush=1\n"
                             "cd $MDEVCTL_ENV_ROOT; there=\n"
                             "[ -e sys/bus/mdev/devices/" UUID_A " ] && there=\" device\"\n"
                             "[ -e etc/mdevctl.d/${12}/" UUID_A " ] && there=\"$there file\"\n"
                             "[ $hush ] || echo \"${0##*/} $4 $6 $8$there\" >>log\n"
                             "%s\n",
                                        body));
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

static void assert_call_out(const char *name) {
        assert_int_equal(told.failure.kind, FAILURE_CALL_OUT);
        assert_string_equal(told.failure.subject, PATH("/" CALLOUTS "%s", name));
}

/* A definition that is there already. */
static void put_definition(const char *parent, const char *attributes) {
        tree_put(PATH(TOP "%s/" UUID_A, parent),
                        PATH("{\"mdev_type\":\"" TYPE "\",\"start\":\"auto\",\"attrs\":%s}", attributes));
}

static Request request_with_scripts(RequestKind kind, const char *const *attributes) {
        Request r = request_for(kind, attributes);

        r.script_timeout_sec = 60;
        return r;
}

/* Creating */

static void test_create(void **state) {
        Request r = request_with_scripts(REQUEST_CREATE, NULL);

        (void) state;

        put_script(CALLOUTS "c", "exit 0");
        put_script(NOTIFIERS "n", "exit 0");
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, true);
        assert_log("c pre start none\nc post start success device\nn notify start success device\n");
}

static void test_create_fails(void **state) {
        Request r;

        (void) state;

        r = request_with_scripts(REQUEST_CREATE, LIST("missing", "1"));
        put_script(CALLOUTS "c", "exit 0");
        put_script(NOTIFIERS "n", "exit 0");
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_ATTRIBUTE, ENOENT, false);
        assert_log("c pre start none\nc post start failure\nn notify start failure\n");
        assert_string_equal(kernel.log, "create " P1 " " TYPE " " UUID_A ";remove " P1 " " UUID_A ";");
}

static void test_create_refused(void **state) {
        Request r = request_with_scripts(REQUEST_CREATE, NULL);

        (void) state;

        put_script(CALLOUTS "c", "[ $4 = pre ] && echo no >&2 && exit 1; exit 0");
        put_script(NOTIFIERS "n", "exit 0");
        perform(&r, -EBADF, "script c failed: no\nsighting absent  \nresult\n");
        assert_result(FAILURE_CALL_OUT, 0, false);
        assert_call_out("c");
        assert_log("c pre start none\nn notify start none\n");
        assert_string_equal(kernel.log, "");

        r = request_with_scripts(REQUEST_CREATE, NULL);
        r.force = true;
        perform(&r, -EBADF,
                        "script c failed: no\nscript c: its refusal is overridden by force\n"
                        "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, true);
        assert_log("c pre start none\nc post start success device\nn notify start success device\n");
}

/* All of an operation have one parent, which is the process that does it. */
static void test_parent(void **state) {
        Request r = request_with_scripts(REQUEST_CREATE, NULL);

        (void) state;

        r.define = true;
        put_script(CALLOUTS "c", "echo $PPID >>parents");
        put_script(NOTIFIERS "n", "echo $PPID >>parents");
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\ndefinition 00 " P1 " " TYPE "\nresult\n");
        {
                char expected[256] = "";

                for (unsigned i = 0; i < 7; i++) /* one question, two actions of three */
                        (void) sprintf(strchr(expected, '\0'), "%d\n", (int) getpid());
                assert_file("parents", expected);
        }
}

static void test_create_and_define(void **state) {
        Request r = request_with_scripts(REQUEST_CREATE, NULL);

        (void) state;

        r.define = true;
        put_script(CALLOUTS "c",
                        "[ $4 = pre ] && { [ ! -e locked ] || exit 1; touch locked; }\n"
                        "[ $4 = post ] && rm locked; exit 0");
        put_script(NOTIFIERS "n", "exit 0");
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\ndefinition 00 " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, true);
        assert_log("c pre start none\nc post start success device\nn notify start success device\n"
                   "c pre define none device\nc post define success device file\n"
                   "n notify define success device file\n");
}

/* What was started is stopped again, whatever the script thinks of that. */
static void test_create_and_define_refused(void **state) {
        Request r = request_with_scripts(REQUEST_CREATE, NULL);

        (void) state;

        r.define = true;
        put_script(CALLOUTS "c", "[ $4 = pre ] && [ $6 != start ] && { echo not $6 >&2; exit 1; }; exit 0");
        put_script(NOTIFIERS "n", "exit 0");
        perform(&r, -EBADF,
                        "sighting present " P1 " " TYPE "\nscript c failed: not define\n"
                        "definition 00 " P1 " (none)\nscript c failed: not stop\n"
                        "script c: its refusal is overridden by force\nsighting absent  \nresult\n");
        assert_result(FAILURE_CALL_OUT, 0, false);
        assert_call_out("c");
        assert_log("c pre start none\nc post start success device\nn notify start success device\n"
                   "c pre define none device\nn notify define none device\n"
                   "c pre stop none device\nc post stop success\nn notify stop success\n");
        assert_string_equal(kernel.log, "create " P1 " " TYPE " " UUID_A ";remove " P1 " " UUID_A ";");

        /* The script's failure and that of taking it back are both told. */
        r = request_with_scripts(REQUEST_CREATE, NULL);
        r.define = true;
        kernel.remove_error = EBUSY;
        perform(&r, -EBADF,
                        "sighting present " P1 " " TYPE "\nscript c failed: not define\n"
                        "definition 00 " P1 " (none)\nscript c failed: not stop\n"
                        "script c: its refusal is overridden by force\nsighting present " P1 " " TYPE
                        "\nresult\n");
        assert_call_out("c");
        assert_int_equal(told.failure.rollback_error, EBUSY);
        assert_true(told.created);
        assert_log("c pre start none\nc post start success device\nn notify start success device\n"
                   "c pre define none device\nn notify define none device\n"
                   "c pre stop none device\nc post stop failure device\nn notify stop failure device\n");
}

/* What another worker began, and died over: it is ended as a failure, after the look. */
static void test_finish(void **state) {
        Request r = request_with_scripts(REQUEST_LOOK, LIST("a", "1"));

        (void) state;

        host_device(P1, UUID_A, TYPE);
        r.finish = true;
        r.action = SCRIPT_START;
        put_script(CALLOUTS "c", "cat >input-$4");
        put_script(NOTIFIERS "n", "exit 0");
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_log("c post start failure device\nn notify start failure device\n");
        assert_file("input-post",
                        "{\"mdev_type\":\"" TYPE "\",\"start\":\"manual\",\"attrs\":[{\"a\":\"1\"}]}");

        r = request_with_scripts(REQUEST_LOOK, NULL);
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_log("");
}

/* The time-out of "post" is nobody's failure. */
static void test_hanging_post(void **state) {
        Request r = request_with_scripts(REQUEST_CREATE, NULL);

        (void) state;

        r.script_timeout_sec = 1;
        put_script(CALLOUTS "c", "[ $4 = post ] && sleep 1000; exit 0");
        put_script(NOTIFIERS "n", "sleep 1000");
        perform(&r, -EBADF,
                        "sighting present " P1 " " TYPE "\n"
                        "script c failed: it had not ended after 1 s, and was killed\n"
                        "script n failed: it had not ended after 1 s, and was killed\nresult\n");
        assert_result(FAILURE_NONE, 0, true);
}

/* Removing */

static void test_remove(void **state) {
        Request r = request_with_scripts(REQUEST_REMOVE, LIST("a", "1"));

        (void) state;

        host_device(P1, UUID_A, TYPE);
        put_definition(P1, "[]");
        put_script(CALLOUTS "c", "cat >input-$4");
        put_script(NOTIFIERS "n", "exit 0");
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_log("c pre stop none device file\nc post stop success file\nn notify stop success file\n");
        assert_file("input-pre", "{\"mdev_type\":\"" TYPE "\",\"start\":\"manual\",\"attrs\":[]}");
}

static void test_remove_fails(void **state) {
        Request r = request_with_scripts(REQUEST_REMOVE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        kernel.remove_error = EBUSY;
        put_script(CALLOUTS "c", "exit 0");
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_IN_USE, EBUSY, false);
        assert_log("c pre stop none device\nc post stop failure device\n");
}

static void test_remove_refused(void **state) {
        Request r = request_with_scripts(REQUEST_REMOVE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        put_script(CALLOUTS "c", "[ $4 = pre ] && exit 7; exit 0");
        perform(&r, -EBADF,
                        "script c failed: it exited with status 7\nsighting present " P1 " " TYPE
                        "\nresult\n");
        assert_call_out("c");
        assert_string_equal(told.failure.detail, "it exited with status 7 (event pre, action stop)");
        assert_string_equal(kernel.log, "");
}

/* Definitions */

static void test_define(void **state) {
        Request r = request_with_scripts(REQUEST_DEFINE, NULL);

        (void) state;

        put_script(CALLOUTS "c", "exit 0");
        put_script(NOTIFIERS "n", "exit 0");
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nresult\n");
        assert_log("c pre define none\nc post define success file\nn notify define success file\n");

        /* It is there now. */
        r = request_with_scripts(REQUEST_DEFINE, NULL);
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_EXISTS_ON_DISK, 0, false);
        assert_log("c pre define none file\nc post define failure file\nn notify define failure file\n");
}

static void test_define_refused(void **state) {
        Request r = request_with_scripts(REQUEST_DEFINE, NULL);

        (void) state;

        put_script(CALLOUTS "c", "exit 1");
        perform(&r, -EBADF,
                        "script c failed: it exited with status 1\ndefinition 00 " P1 " (none)\nresult\n");
        assert_call_out("c");
        assert_false(tree_has(FILE_A));
}

/* An active device has the attributes that a script can tell; "post" is given what "pre" was. */
static void test_define_active(void **state) {
        static const char *const given[] = { "b", "2", NULL };
        Request r = request_with_scripts(REQUEST_DEFINE, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        put_script(CALLOUTS "c", "[ $4 = get ] && echo '[{\"a\":\"1\"}]'; cat >input-$4");
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_log("c pre define none device\nc get attributes none device\n"
                   "c post define success device file\n");
        assert_file("input-post", "{\"mdev_type\":\"" TYPE "\",\"start\":\"manual\",\"attrs\":[]}");
        assert_file(FILE_A,
                        "{\n  \"mdev_type\": \"" TYPE
                        "\",\n  \"start\": \"manual\",\n  \"attrs\": [\n    {\n      \"a\": \"1\"\n    }\n  ]\n}");

        /* Not if they are given, nor from a text, nor of another type. */
        for (unsigned i = 0; i < 3; i++) {
                tree_remove(FILE_A);
                r = request_with_scripts(REQUEST_DEFINE, i == 0 ? given : NULL);
                if (i == 1)
                        assert_int_equal(free_and_strdup(&r.text, "{}"), 0);
                if (i == 2)
                        assert_int_equal(free_and_strdup(&r.definition.type, "t-2"), 0);
                perform(&r, -EBADF, PATH("definition 00 " P1 " %s\nresult\n", i == 2 ? "t-2" : TYPE));
                assert_log("c pre define none device\nc post define success device file\n");
        }
}

/* Attributes that cannot be had are a failure, with force too. */
static void test_define_active_fails(void **state) {
        (void) state;

        host_device(P1, UUID_A, TYPE);
        put_script(CALLOUTS "c", "[ $4 = get ] && echo '[{\"../a\":\"1\"}]'; exit 0");
        for (unsigned force = 0; force < 2; force++) {
                Request r = request_with_scripts(REQUEST_DEFINE, NULL);

                r.force = force;
                perform(&r, -EBADF, "definition 00 " P1 " (none)\nresult\n");
                assert_result(FAILURE_SCRIPT, 0, false);
                assert_log("c pre define none device\nc get attributes none device\n"
                           "c post define failure device\n");
        }
}

static void test_modify(void **state) {
        Request r = request_with_scripts(REQUEST_MODIFY, NULL);

        (void) state;

        put_definition(P1, "[{\"a\":\"1\"}]");
        put_script(CALLOUTS "c", "echo $2 >type; cat >input-$4");
        put_script(NOTIFIERS "n", "exit 0");
        assert_int_equal(free_and_strdup(&r.modification.type, "t-2"), 0);
        r.modification.autostart = AUTOSTART_MANUAL;
        perform(&r, -EBADF, "definition 00 " P1 " t-2\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_log("c pre modify none file\nc post modify success file\nn notify modify success file\n");
        assert_file("type", "t-2\n");
        assert_file("input-pre", "{\"mdev_type\":\"t-2\",\"start\":\"manual\",\"attrs\":[{\"a\":\"1\"}]}");
}

static void test_modify_refused(void **state) {
        Request r = request_with_scripts(REQUEST_MODIFY, NULL);
        _cleanup_(freep) char *before = NULL;

        (void) state;

        put_definition(P1, "[]");
        before = tree_snapshot("etc");
        put_script(CALLOUTS "c", "exit 1");
        r.modification.autostart = AUTOSTART_MANUAL;
        perform(&r, -EBADF,
                        "script c failed: it exited with status 1\ndefinition 00 " P1 " " TYPE "\nresult\n");
        assert_call_out("c");
        assert_unchanged("etc", before);
        assert_log("c pre modify none file\n");

        /* What cannot be done is not asked about. */
        r = request_with_scripts(REQUEST_MODIFY, NULL);
        r.modification.remove_attribute = true;
        r.modification.remove_index = 3;
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nresult\n");
        assert_int_equal(told.failure.kind, FAILURE_BAD_INDEX);
        assert_log("");
}

static void test_undefine(void **state) {
        Request r = request_with_scripts(REQUEST_UNDEFINE, NULL);

        (void) state;

        put_definition(P1, "[{\"a\":\"1\"}]");
        put_script(CALLOUTS "c", "cat >input-$4");
        put_script(NOTIFIERS "n", "exit 0");
        set_parents(&r, LIST(P1));
        perform(&r, -EBADF, "definition 00 " P1 " (none)\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_log("c pre undefine none file\nc post undefine success\nn notify undefine success\n");
        assert_file("input-post",
                        "{\"mdev_type\":\"" TYPE "\",\"start\":\"auto\",\"attrs\":[{\"a\":\"1\"}]}");
}

/* All or none: who had agreed is told that it failed. */
static void test_undefine_several(void **state) {
        Request r = request_with_scripts(REQUEST_UNDEFINE, NULL);

        (void) state;

        put_definition(P1, "[]");
        put_definition(P2, "[]");
        put_script(CALLOUTS "c", "[ ${12} = " P2 " ] && [ $4 = pre ] && exit 1; echo ${12} >>log; exit 0");
        put_script(NOTIFIERS "n", "exit 0");
        set_parents(&r, LIST(P1, P2));
        perform(&r, -EBADF,
                        "script c failed: it exited with status 1\ndefinition 00 " P1 " " TYPE
                        "\ndefinition 00 " P2 " " TYPE "\nresult\n");
        assert_int_equal(told.failure.kind, FAILURE_CALL_OUT);
        assert_string_equal(told.failure.parent, P2);
        assert_log(P1 "\nc pre undefine none file\n" P1 "\nc pre undefine none file\n"
                      "n notify undefine none file\nc post undefine failure file\n" P1 "\n"
                      "n notify undefine failure file\n");

        r = request_with_scripts(REQUEST_UNDEFINE, NULL);
        r.force = true;
        set_parents(&r, LIST(P1, P2));
        perform(&r, -EBADF,
                        "script c failed: it exited with status 1\nscript c: its refusal is overridden by force\n"
                        "definition 00 " P1 " (none)\ndefinition 00 " P2 " (none)\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
}

/* A file that is no definition is nobody's business, but it can go. */
static void test_undefine_what_cannot_be_read(void **state) {
        Request r = request_with_scripts(REQUEST_UNDEFINE, NULL);

        (void) state;

        tree_put(FILE_A, "{");
        put_script(CALLOUTS "c", "exit 1");
        put_script(NOTIFIERS "n", "exit 1");
        set_parents(&r, LIST(P1));
        perform(&r, -EBADF, "definition 00 " P1 " (none)\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_log("");
}

/* Live */

static Request live_request(bool defined, bool direct, const char *const *attributes) {
        Request r = request_with_scripts(REQUEST_MODIFY, NULL);

        r.live = true;
        r.define = defined;
        r.direct = direct;
        r.modification.set_attributes = true;
        for (; *attributes; attributes += 2)
                assert_int_equal(attributes_append(&r.modification.attributes, attributes[0], attributes[1]),
                                0);
        return r;
}

static void test_live(void **state) {
        Request r = live_request(false, false, LIST("a", "1"));

        (void) state;

        host_device(P1, UUID_A, TYPE);
        put_definition(P1, "[]");
        put_script(CALLOUTS "c", VERSIONED "cat >input-$4");
        put_script(NOTIFIERS "n", "exit 0");
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_log("c live modify none device file\nn notify modify none device file\n");
        assert_file("input-live",
                        "{\"mdev_type\":\"" TYPE "\",\"start\":\"manual\",\"attrs\":[{\"a\":\"1\"}]}");
        assert_string_equal(kernel.log, ""); /* a script that can is asked, and nothing is written */

        r = live_request(true, true, LIST("a", "2"));
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nsighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_log("c live modify none device file\nn notify modify none device file\n"
                   "c pre modify none device file\nc post modify success device file\n"
                   "n notify modify success device file\n");
        assert_file("input-pre", "{\"mdev_type\":\"" TYPE "\",\"start\":\"auto\",\"attrs\":[{\"a\":\"2\"}]}");
        assert_string_equal(kernel.log, "");
}

/* Whole, from a text. */
static void test_live_from_text(void **state) {
        Request r = live_request(true, false, LIST(NULL));

        (void) state;

        host_device(P1, UUID_A, TYPE);
        put_definition(P1, "[]");
        put_script(CALLOUTS "c", VERSIONED "cat >input-$4");
        r.modification.set_attributes = false;
        r.definition.autostart = true;
        assert_int_equal(attributes_append(&r.definition.attributes, "a", "3"), 0);
        assert_int_equal(free_and_strdup(&r.text,
                                         "{\"mdev_type\":\"" TYPE
                                         "\",\"start\":\"auto\",\"attrs\":[{\"a\":\"3\"}]}"),
                        0);
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nsighting present " P1 " " TYPE "\nresult\n");
        assert_file("input-live",
                        "{\"mdev_type\":\"" TYPE "\",\"start\":\"auto\",\"attrs\":[{\"a\":\"3\"}]}");
        assert_file("input-pre", "{\"mdev_type\":\"" TYPE "\",\"start\":\"auto\",\"attrs\":[{\"a\":\"3\"}]}");
}

/* What fails comes before the file; force does not help. */
static void test_live_fails(void **state) {
        _cleanup_(freep) char *before = NULL;

        (void) state;

        host_device(P1, UUID_A, TYPE);
        put_definition(P1, "[]");
        before = tree_snapshot("etc");
        put_script(CALLOUTS "c", VERSIONED "[ $4 = live ] && exit 2; exit 0");
        for (unsigned i = 0; i < 2; i++) {
                Request r = live_request(true, true, LIST("a", "1"));

                r.force = i;
                perform(&r, -EBADF,
                                "script c failed: it exited with status 2\nsighting present " P1 " " TYPE
                                "\nresult\n");
                assert_result(FAILURE_SCRIPT, 0, false);
                assert_false(told.failure.changed_live);
                assert_log("c live modify none device file\n");
        }
        assert_unchanged("etc", before);
        assert_string_equal(kernel.log, "");
}

static void test_live_and_then_refused(void **state) {
        Request r = live_request(true, false, LIST("a", "1"));

        (void) state;

        host_device(P1, UUID_A, TYPE);
        put_definition(P1, "[]");
        put_script(CALLOUTS "c", VERSIONED "[ $4 = pre ] && exit 1; exit 0");
        perform(&r, -EBADF,
                        "script c failed: it exited with status 1\ndefinition 00 " P1 " " TYPE
                        "\nsighting present " P1 " " TYPE "\nresult\n");
        assert_call_out("c");
        assert_true(told.failure.changed_live);
}

static void test_not_live(void **state) {
        Request r = live_request(true, false, LIST("a", "1"));
        _cleanup_(freep) char *before = NULL;

        (void) state;

        host_device(P1, UUID_A, TYPE);
        put_definition(P1, "[]");
        before = tree_snapshot("etc");
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NOT_LIVE, 0, false);
        put_script(CALLOUTS "c", "exit 0");
        r = live_request(true, false, LIST("a", "1"));
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NOT_LIVE, 0, false);
        assert_unchanged("etc", before);
        assert_log("");
}

static void test_direct(void **state) {
        Request r;

        (void) state;

        host_device(P1, UUID_A, TYPE);
        tree_put(DEVICE "/b", "");
        tree_put(DEVICE "/group/a", "");
        put_definition(P1, "[]");
        put_script(NOTIFIERS "n", "exit 0");
        r = live_request(true, true, LIST("b", "1", "group/a", "2", "b", "3"));
        perform(&r, -EBADF, "definition 00 " P1 " " TYPE "\nsighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        assert_string_equal(kernel.log, "attribute b=1;attribute group/a=2;attribute b=3;");
        assert_log("n notify modify none device file\nn notify modify success device file\n");
}

/* It stops at what is refused, what was written stays, and the file is not touched. */
static void test_direct_refused(void **state) {
        _cleanup_(freep) char *before = NULL;
        Request r;

        (void) state;

        host_device(P1, UUID_A, TYPE);
        tree_put(DEVICE "/a", "");
        tree_put(DEVICE "/b", "");
        put_definition(P1, "[]");
        before = tree_snapshot("etc");
        kernel.bad_attribute = "b";
        kernel.attribute_error = EADDRINUSE;
        r = live_request(true, true, LIST("a", "1", "b", "2", "a", "3"));
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_LIVE_ATTRIBUTE, EADDRINUSE, false);
        assert_int_equal(told.failure.index, 1);
        assert_string_equal(told.failure.subject, "b");
        assert_string_equal(kernel.log, "attribute a=1;attribute b=2;"); /* no removal above all */
        assert_unchanged("etc", before);

        /* The same of one that does not exist, or is a link out. */
        tree_link("../../../../class", DEVICE "/out");
        r = live_request(false, true, LIST("a", "1", "out/x", "2"));
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_LIVE_ATTRIBUTE, ENOTDIR, false);
        r = live_request(false, true, LIST("nothing", "1"));
        perform(&r, -EBADF, "sighting present " P1 " " TYPE "\nresult\n");
        assert_result(FAILURE_LIVE_ATTRIBUTE, ENOENT, false);

        /* The device has gone meanwhile. */
        host_remove_device(P1, UUID_A);
        r = live_request(false, true, LIST("a", "1"));
        perform(&r, -EBADF, "sighting absent  \nresult\n");
        assert_result(FAILURE_KERNEL, ENODEV, false);
}

/* Attributes */

static void test_attributes(void **state) {
        Request r = request_with_scripts(REQUEST_ATTRIBUTES, NULL);

        (void) state;

        host_device(P1, UUID_A, TYPE);
        perform(&r, -EBADF, "attributes\nresult\n");
        put_script(CALLOUTS "c",
                        "[ $4 = get ] && [ $6 = attributes ] && echo '[{\"a\":\"1\"},{\"a\":\"2\"}]'");
        r = request_with_scripts(REQUEST_ATTRIBUTES, NULL);
        perform(&r, -EBADF, "attributes a=1 a=2\nresult\n");
        assert_result(FAILURE_NONE, 0, false);
        put_script(CALLOUTS "c", "[ $6 = capabilities ] && exit 2; exit 1");
        r = request_with_scripts(REQUEST_ATTRIBUTES, NULL);
        perform(&r, -EBADF, "script c failed: it exited with status 1\nresult\n");
        assert_result(FAILURE_SCRIPT, 0, false);
}

#undef TEST
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_create),
                TEST(test_create_fails),
                TEST(test_create_refused),
                TEST(test_parent),
                TEST(test_create_and_define),
                TEST(test_create_and_define_refused),
                TEST(test_finish),
                TEST(test_hanging_post),
                TEST(test_remove),
                TEST(test_remove_fails),
                TEST(test_remove_refused),
                TEST(test_define),
                TEST(test_define_refused),
                TEST(test_define_active),
                TEST(test_define_active_fails),
                TEST(test_modify),
                TEST(test_modify_refused),
                TEST(test_undefine),
                TEST(test_undefine_several),
                TEST(test_undefine_what_cannot_be_read),
                TEST(test_live),
                TEST(test_live_from_text),
                TEST(test_live_fails),
                TEST(test_live_and_then_refused),
                TEST(test_not_live),
                TEST(test_direct),
                TEST(test_direct_refused),
                TEST(test_attributes),
        };

        return cmocka_run_group_tests_name("effect-scripts", tests, NULL, NULL);
}

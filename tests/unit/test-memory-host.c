/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory that cannot be had, in what reads and writes files: as in test-memory.c each step is made with its
 * first allocation failing, then its second, until it gets through. Before that it must say -ENOMEM, and
 * leave what it was given as it was. (What json-c does without memory inside of itself is its own affair;
 * that it says so is what is tried.) */

#include "tree.h"

#include <json-c/json.h>
#include <libudev.h>

#include "host/codec.h"
#include "host/config.h"
#include "host/memo.h"
#include "host/monitor.h"
#include "host/store.h"
#include "host/sysfs.h"
#include "host/watch.h"
#include "host/wire.h"
#include "memory.h"

/* Hooks */

MEMORY_HOOK(json_tokener *, json_tokener_new_ex, NULL, (int depth), depth);
MEMORY_HOOK(json_object *, json_object_new_string, NULL, (const char *s), s);
MEMORY_HOOK(json_object *, json_tokener_parse_ex, NULL, (json_tokener * t, const char *s, int n), t, s, n);
MEMORY_HOOK(const char *, json_object_to_json_string_ext, NULL, (json_object * o, int flags), o, flags);

MEMORY_HOOK(struct udev *, udev_new, NULL, (void), );
MEMORY_HOOK(struct udev_monitor *, udev_monitor_new_from_netlink, NULL,
                (struct udev * udev, const char *name), udev, name);
MEMORY_HOOK(int, udev_monitor_filter_add_match_tag, -ENOMEM, (struct udev_monitor * m, const char *tag), m,
                tag);

/* Steps */

/* What a step leaves behind when it fails is looked at by itself; what it returns, here. */
static void run(int (*step)(void), int expected) {
        unsigned n = 0;
        int r;

        for (;; n++) {
                assert_true(n < 10000);
                failed = false;
                allocations_left = n;
                r = step();
                allocations_left = -1;
                if (r != -ENOMEM)
                        break;
        }

        assert_int_equal(r, expected);
        assert_false(failed);
        /* A step that had nothing to fail would prove nothing. */
        assert_true(n > 0);
}

static const char text[] =
                "{\"mdev_type\":\"t\",\"start\":\"auto\",\"attrs\":[{\"a\":\"1\"},{\"b\":\"2\"}],\"x\":[1]}";
static const char bad_text[] = "{\"mdev_type\":\"t\",\"start\":\"auto\",\"attrs\":[{\"a\":1}]}";
static const Uuid uuid = { { 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
                0xee, 0xff } };
static Definition definition;

static int parse(void) {
        _cleanup_(definition_done) Definition d = {};
        int r = codec_parse(text, strlen(text), &uuid, "p", &d, NULL);

        if (r < 0)
                assert_null(d.type);
        else
                assert_int_equal(d.attributes.n, 2);
        return r;
}

static int parse_what_is_wrong(void) {
        _cleanup_(definition_done) Definition d = {};
        _cleanup_(freep) char *reason = NULL;
        int r = codec_parse(bad_text, strlen(bad_text), &uuid, "p", &d, &reason);

        assert_null(d.type);
        if (r == -EBADMSG)
                assert_non_null(reason);
        return r;
}

static int format(void) {
        _cleanup_(freep) char *written = NULL;
        size_t size;
        int r = codec_format(&definition, text, strlen(text), &written, &size);

        if (r < 0)
                assert_null(written);
        else
                assert_non_null(strstr(written, "\"x\": [1]"));
        return r;
}

static int format_for_script(void) {
        _cleanup_(freep) char *written = NULL;
        int r = codec_format_for_script(&definition, &written);

        if (r < 0)
                assert_null(written);
        return r;
}

static int parse_answer(void) {
        static const char answer[] = "[{\"a\":\"1\"},{\"b\":\"2\"}]";
        Attributes attributes = {};
        int r = codec_parse_answer(answer, strlen(answer), &attributes, NULL);

        assert_int_equal(attributes.n, r < 0 ? 0 : 2);
        attributes_done(&attributes);
        return r;
}

static int parse_capabilities(void) {
        static const char answer[] =
                        "{\"supports\":{\"version\":2,\"actions\":[\"start\",\"odd\"],\"events\":[\"pre\"]}}";
        Capability capability = {};
        char *unknown = NULL;
        int r = codec_parse_capabilities(answer, strlen(answer), &capability, &unknown);

        if (r < 0)
                assert_int_equal(capability.actions, 0);
        else
                assert_string_equal(unknown, "odd");
        free(unknown);
        return r;
}

static void test_codec(void **state) {
        (void) state;

        assert_int_equal(codec_parse(text, strlen(text), &uuid, "p", &definition, NULL), 0);
        run(parse, 0);
        run(parse_what_is_wrong, -EBADMSG);
        run(format, 0);
        run(format_for_script, 0);
        run(parse_answer, 0);
        run(parse_capabilities, 0);
        definition_done(&definition);
}

/* Wire */

static Buffer buffer;

static int encode(void) {
        char *parents[] = { (char *) "p", (char *) "q", NULL };
        const Request request = {
                .kind = REQUEST_UNDEFINE, .op = 7, .definition = definition, .parents = parents
        };
        Buffer b = {};
        int r = request_encode(&request, &b);

        if (r < 0)
                assert_int_equal(b.size, 0);
        else
                assert_true(b.size > 0);
        buffer_done(&b);
        return r;
}

static int decode(void) {
        Request request = {};
        size_t used;
        int r = request_decode(buffer.data, buffer.size, &request, &used);

        if (r < 0) {
                assert_null(request.definition.type);
                assert_null(request.parents);
        }
        request_done(&request);
        return r;
}

static int encode_frame(void) {
        const Frame frame = { .kind = FRAME_DEFINITION, .op = 7, .definition = definition, .exists = true };
        Buffer b = {};
        int r = frame_encode(&frame, &b);

        if (r < 0)
                assert_int_equal(b.size, 0);
        buffer_done(&b);
        return r;
}

static int decode_frame(void) {
        Frame frame = FRAME_INIT;
        size_t used;
        int r = frame_decode(buffer.data, buffer.size, &frame, &used);

        if (r < 0) {
                assert_null(frame.definition.type);
        }
        frame_done(&frame);
        return r;
}

static void test_wire(void **state) {
        char *parents[] = { (char *) "p", (char *) "q", NULL };

        (void) state;

        assert_int_equal(codec_parse(text, strlen(text), &uuid, "p", &definition, NULL), 0);
        run(encode, 0);
        assert_int_equal(request_encode(&(Request){ .kind = REQUEST_UNDEFINE,
                                                        .op = 7,
                                                        .definition = definition,
                                                        .parents = parents },
                                         &buffer),
                        0);
        run(decode, 1);
        buffer_done(&buffer);

        run(encode_frame, 0);
        assert_int_equal(frame_encode(&(Frame){ .kind = FRAME_DEFINITION,
                                                      .op = 7,
                                                      .definition = definition,
                                                      .exists = true },
                                         &buffer),
                        0);
        run(decode_frame, 1);
        buffer_done(&buffer);
        definition_done(&definition);
}

/* Files */

#define FOLDER "etc/mdevctl.d/p"

static Store *store;

static int open_store(void) {
        Store *s = NULL;
        int r = store_open(tree_fd, &s);

        (void) store_free(s);
        return r;
}

static int read_file(void) {
        char *content = NULL;
        size_t size;
        int r = store_read(store, "p", &uuid, &content, &size);

        if (r < 0)
                assert_null(content);
        free(content);
        return r;
}

static unsigned n_seen;

static int see(const char *parent _unused_, const char *name _unused_, const Uuid *u _unused_,
                const char *content, size_t size _unused_, int error, void *userdata _unused_) {
        if (!content)
                return error;
        n_seen++;
        return 0;
}

static int scan(void) {
        int r;

        n_seen = 0;
        r = store_scan(store, NULL, see, NULL);
        if (r >= 0)
                assert_int_equal(n_seen, 2);
        return r;
}

static int remove_files(void) {
        char *parents[] = { (char *) "p", (char *) "q", NULL };
        Failure f = FAILURE_INIT;
        int r = store_remove(store, parents, &uuid, &f);

        /* All or none. */
        assert_int_equal(tree_has(FOLDER "/" UUID_A), r < 0);
        assert_int_equal(tree_has("etc/mdevctl.d/q/" UUID_A), r < 0);
        failure_done(&f);
        return r;
}

static void test_store(void **state) {
        (void) state;

        run(open_store, 0);
        assert_int_equal(store_open(tree_fd, &store), 0);
        tree_put(FOLDER "/" UUID_A, "{}");
        tree_put("etc/mdevctl.d/q/" UUID_A, "{}");
        run(read_file, 0);
        run(scan, 0);
        run(remove_files, 0);
        assert_int_equal(tree_count(FOLDER), 0);
        store = store_free(store);
}

static int probe(void) {
        _cleanup_(sighting_done) Sighting seen = SIGHTING_INIT;
        int r = sysfs_probe(sys_fd, &uuid, NULL, &seen);

        assert_int_equal(seen.presence, r < 0 ? PRESENCE_UNKNOWN : PRESENCE_PRESENT);
        return r;
}

static int probe_parent(void) {
        _cleanup_(parent_sighting_done) ParentSighting seen = { .numa_node = -1 };
        int r = sysfs_probe_parent(sys_fd, "p", &seen);

        if (r >= 0)
                assert_true(seen.present);
        return r;
}

static int list_devices(void) {
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n = 4711;
        int r = sysfs_list_devices(sys_fd, &uuids, &n);

        assert_int_equal(n, r < 0 ? 4711 : 1);
        return r;
}

static int list_parents(void) {
        _cleanup_(strv_freep) char **names = NULL;
        int r = sysfs_list_parents(sys_fd, &names);

        assert_true(!names == (r < 0));
        return r;
}

static int list_types(void) {
        _cleanup_(strv_freep) char **names = NULL;
        int r = sysfs_list_types(sys_fd, "p", &names);

        assert_true(!names == (r < 0));
        return r;
}

static void test_sysfs(void **state) {
        (void) state;

        host_parent("p");
        host_type("p", "t", "1");
        host_device("p", UUID_A, "t");
        run(probe, 0);
        run(probe_parent, 0);
        run(list_devices, 0);
        run(list_parents, 0);
        run(list_types, 0);
}

static int memo_fd;

static int write_memo(void) {
        return memo_write(memo_fd, "p", 1, &uuid, 1);
}

static int read_memo(void) {
        _cleanup_(freep) Uuid *uuids = NULL;
        uint64_t life;
        size_t n;

        return memo_read(memo_fd, "p", &life, &uuids, &n);
}

static int new_watch(void) {
        Watch *w = NULL;
        int r = watch_new(tree_fd, &w);

        if (r >= 0)
                r = watch_update(w);
        (void) watch_free(w);
        return r;
}

static int new_monitor(void) {
        Monitor *m = NULL;
        int r = monitor_new(&m);

        assert_true(!m == (r < 0));
        (void) monitor_free(m);
        return r;
}

static int load_configuration(void) {
        Config config = CONFIG_DEFAULT;
        int r = config_load(tree_fd, &config, NULL, NULL);

        if (r >= 0)
                assert_int_equal(config.devices_max, 7);
        return r;
}

static void test_the_rest(void **state) {
        (void) state;

        memo_fd = memo_open_directory(tree_fd);
        assert_true(memo_fd >= 0);
        run(write_memo, 0);
        run(read_memo, 0);
        memo_fd = safe_close(memo_fd);

        tree_mkdir(FOLDER);
        run(new_watch, 0);
        run(new_monitor, 0);

        tree_put("etc/mdevd/mdevd.conf", "[Limits]\nDevicesMax=5\n");
        tree_put("etc/mdevd/mdevd.conf.d/x.conf", "[Limits]\nDevicesMax=7\n");
        run(load_configuration, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_codec, tree_setup, tree_teardown),
                cmocka_unit_test_setup_teardown(test_wire, tree_setup, tree_teardown),
                cmocka_unit_test_setup_teardown(test_store, tree_setup, tree_teardown),
                cmocka_unit_test_setup_teardown(test_sysfs, tree_setup, tree_teardown),
                cmocka_unit_test_setup_teardown(test_the_rest, tree_setup, tree_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

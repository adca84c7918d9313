/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory that cannot be had, in what does the work: as in test-memory.c each step is made with its first
 * allocation failing, then its second, until it gets through. A whole effect may get through before that, or
 * say that it failed: but what it says is what is there, and every action that scripts heard of has ended. */

#define __wrap_write kernel_write_hook
#include "effect-fixture.h"
#undef __wrap_write

#include <json-c/json.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

#include "host/driver.h"
#include "host/holder.h"
#include "host/kmsg.h"
#include "host/lock.h"
#include "host/record.h"
#include "host/script.h"
#include "memory.h"

/* Hooks: not in what stands for the kernel and for the daemon */

ssize_t __wrap_write(int fd, const void *data, size_t size);
int __wrap_fsync(int fd);
int __wrap_asprintf(char **ret, const char *format, ...) __attribute__((format(printf, 2, 3)));

MEMORY_HOOK(json_tokener *, json_tokener_new_ex, NULL, (int depth), depth);
MEMORY_HOOK(json_object *, json_object_new_string, NULL, (const char *s), s);
MEMORY_HOOK(json_object *, json_tokener_parse_ex, NULL, (json_tokener * t, const char *s, int n), t, s, n);
MEMORY_HOOK(const char *, json_object_to_json_string_ext, NULL, (json_object * o, int flags), o, flags);

ssize_t __wrap_write(int fd, const void *data, size_t size) {
        long left = allocations_left;
        ssize_t n;

        allocations_left = -1;
        n = kernel_write_hook(fd, data, size);
        allocations_left = left;
        return n;
}

/* Hundreds of effects need not wait for the disk. */
int __wrap_fsync(int fd _unused_) {
        return 0;
}

int __wrap_asprintf(char **ret, const char *format, ...) {
        va_list ap;
        int n;

        if (fails())
                return -1;
        va_start(ap, format);
        n = __real_vasprintf(ret, format, ap);
        va_end(ap);
        return n;
}

/* A frame that there is no memory for cannot be told; without its result a worker counts as dead. */
static int emit_frame(const Frame *frame, void *userdata) {
        long left;
        int r;

        if (frame->kind != FRAME_RESULT && fails())
                return -ENOMEM;
        left = allocations_left;
        allocations_left = -1;
        r = on_emit(frame, userdata);
        allocations_left = left;
        return r;
}

/* Effects */

#define CALLOUTS "usr/lib/mdevctl/scripts.d/callouts/"
#define NOTIFIERS "usr/lib/mdevctl/scripts.d/notifiers/"
#define VERSIONED                                                                                           \
        "[ $6 = capabilities ] && echo '{\"supports\":{\"version\":2,\"actions\":[\"start\",\"stop\","      \
        "\"define\",\"undefine\",\"modify\",\"attributes\"],\"events\":[\"pre\",\"post\",\"get\",\"live\"]" \
        "}}' && exit 0\n"

static void put_script(const char *path, const char *body) {
        tree_put(path,
                        PATH("#!/bin/sh\n[ $6 = capabilities ] || echo $4 >>$MDEVCTL_ENV_ROOT/log\n%s\n",
                                        body));
        tree_chmod(path, 0755);
}

typedef struct Play {
        const char *name;
        void (*prepare)(void);
        Request (*request)(void);
        unsigned at_least; /* allocations that it has */
        bool with_scripts;
} Play;

/* What there is, in one line. */
static void look_around(char ret[static 1024]) {
        static const char *const files[] = { FILE_A, TOP P2 "/" UUID_A, DEVICE "/a" };
        size_t n;

        (void) snprintf(ret, 1024, "device %d", tree_has(DEVICE));
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                char *text = NULL;
                size_t size;

                if (tree_has(files[i]))
                        text = tree_get(files[i], &size);
                n = strlen(ret);
                (void) snprintf(ret + n, 1024 - n, "; %s", text ?: "-");
                free(text);
        }
}

/* How often scripts were called for an event. */
static unsigned count_events(const char *event) {
        _cleanup_(freep) char *log = NULL;
        unsigned n = 0;
        size_t size;

        if (!tree_has("log"))
                return 0;
        log = tree_get("log", &size);
        for (const char *p = log; (p = strstr(p, event)); p++)
                n++;
        return n;
}

/* What scripts say is told if it can be. */
static void drop_script_lines(char *text) {
        for (char *line = text; *line;) {
                char *end = strchr(line, '\n') + 1;

                if (startswith(line, "script "))
                        memmove(line, end, strlen(end) + 1);
                else
                        line = end;
        }
}

/* What was seen of the device must be what is there. */
static void assert_sighting_is_true(const Play *p, unsigned n) {
        const char *line = told.text, *last = NULL;

        for (; (line = strstr(line, "sighting ")); line++)
                last = line;
        if (last && startswith(last, "sighting unknown"))
                fail_msg("%s, allocation %u: nobody knows what became of the device", p->name, n);
        if (last && !startswith(last, "sighting absent") != tree_has(DEVICE))
                fail_msg("%s, allocation %u: told %s", p->name, n, last);
}

static void begin_play(const Play *p) {
        void *state = NULL;

        assert_int_equal(setup(&state), 0);
        kernel.attributes[0] = "a";
        p->prepare();
        if (p->with_scripts) {
                put_script(CALLOUTS "c", VERSIONED "[ $4 = get ] && echo '[{\"a\":\"7\"}]'; exit 0");
                put_script(NOTIFIERS "n", "exit 0");
        }
}

static void end_play(void) {
        void *state = NULL;

        assert_int_equal(teardown(&state), 0);
}

static void do_play(const Play *p, long left) {
        Request r = p->request();

        r.script_timeout_sec = 60;
        told.text[0] = '\0';
        told.n_results = 0;
        failed = false;
        allocations_left = left;
        effect_perform(tree_fd, &r, -EBADF, emit_frame, &told);
        allocations_left = -1;
        request_done(&r);
        assert_int_equal(told.n_results, 1);
        /* What could not be told the daemon finds out, and ends. */
        if ((told.n_actions != 0 && told.failure.kind != FAILURE_WORKER) ||
                        count_events("pre") != count_events("post"))
                fail_msg("%s, allocation %ld: an action without an end", p->name, left);
        drop_script_lines(told.text);
}

static void run_play(const Play *p) {
        char before[1024], after[1024], now[1024];
        _cleanup_(freep) char *expected = NULL;
        unsigned n, n_asked;

        begin_play(p);
        look_around(before);
        do_play(p, -1);
        assert_int_equal(told.failure.kind, FAILURE_NONE);
        look_around(after);
        expected = strdup(told.text);
        n_asked = count_events("pre");
        end_play();

        for (n = 0;; n++) {
                const Failure *f = &told.failure;

                begin_play(p);
                do_play(p, (long) n);
                look_around(now);
                if (!streq(now, before) && !streq(now, after))
                        fail_msg("%s, allocation %u: %s", p->name, n, now);

                if (f->kind == FAILURE_NONE) {
                        if (!streq(now, after) || !streq(told.text, expected))
                                fail_msg("%s, allocation %u: done, but told %sand there is %s", p->name, n,
                                                told.text, now);
                        if (count_events("pre") != n_asked)
                                fail_msg("%s, allocation %u: done, with a script not asked", p->name, n);
                } else if (f->kind == FAILURE_WORKER && f->error == ENOMEM)
                        ; /* the daemon looks for itself */
                else if (failure_errno(f) == ENOMEM &&
                                (f->kind == FAILURE_NO_MEMORY || f->kind == FAILURE_STORE)) {
                        assert_false(f->changed_live || f->changed_store || f->rollback_error);
                        if (!streq(now, before))
                                fail_msg("%s, allocation %u: told that nothing changed, but %s", p->name, n,
                                                now);
                        assert_sighting_is_true(p, n);
                } else
                        fail_msg("%s, allocation %u: failure %d (%d)", p->name, n, f->kind, f->error);

                end_play();
                if (!failed)
                        break;
        }
        if (n < p->at_least)
                fail_msg("%s: only %u allocations", p->name, n);
}

static void nothing(void) {}

static void have_device(void) {
        host_device(P1, UUID_A, TYPE);
        tree_put(DEVICE "/a", "old");
        tree_link("../../../../kernel/iommu_groups/17", DEVICE "/iommu_group");
        tree_link("nothing", "dev/vfio/17");
        tree_put("proc/1/comm", "init\n");
        tree_link("/sbin/init", "proc/1/exe");
}

static void have_definitions(void) {
        tree_put(FILE_A, EMPTY);
        tree_put(TOP P2 "/" UUID_A, EMPTY);
        tree_put(TOP P2 "/odd", "");
}

static void have_device_and_definition(void) {
        have_device();
        tree_put(FILE_A, EMPTY);
}

static Request to_create(void) {
        return request_for(REQUEST_CREATE, LIST("a", "1"));
}

static Request to_create_and_define(void) {
        Request r = request_for(REQUEST_CREATE, LIST("a", "1"));

        r.define = true;
        return r;
}

static Request to_remove(void) {
        Request r = request_for(REQUEST_REMOVE, NULL);

        r.path = strdup("/" DEVICE);
        return r;
}

static Request to_define(void) {
        return request_for(REQUEST_DEFINE, LIST("a", "1", "b", "2"));
}

static Request to_define_as_it_is(void) {
        return request_for(REQUEST_DEFINE, NULL);
}

static Request to_modify(void) {
        Request r = request_for(REQUEST_MODIFY, NULL);

        r.modification.set_attributes = true;
        assert_int_equal(attributes_append(&r.modification.attributes, "a", "2"), 0);
        return r;
}

static Request to_modify_live(void) {
        Request r = request_for(REQUEST_MODIFY, NULL);

        r.live = r.direct = true;
        assert_int_equal(attributes_append(&r.modification.attributes, "a", "2"), 0);
        return r;
}

static Request to_undefine(void) {
        Request r = request_for(REQUEST_UNDEFINE, NULL);

        set_parents(&r, LIST(P1, P2));
        return r;
}

static Request to_look(void) {
        return request_for(REQUEST_LOOK, NULL);
}

static Request to_scan(void) {
        return (Request){ .kind = REQUEST_SCAN, .op = 4711 };
}

static Request to_read_attributes(void) {
        return request_for(REQUEST_ATTRIBUTES, NULL);
}

static void test_effects(void **state) {
        static const Play plays[] = {
                { "create", nothing, to_create, 5, false },
                { "create and define", nothing, to_create_and_define, 10, false },
                { "remove", have_device, to_remove, 5, false },
                { "define", nothing, to_define, 10, false },
                { "modify", have_definitions, to_modify, 10, false },
                { "modify live", have_device, to_modify_live, 5, false },
                { "undefine", have_definitions, to_undefine, 10, false },
                { "look", have_device_and_definition, to_look, 5, false },
                { "scan", have_definitions, to_scan, 10, false },
                { "create, with scripts", nothing, to_create, 20, true },
                { "create and define, with scripts", nothing, to_create_and_define, 30, true },
                { "remove, with scripts", have_device, to_remove, 15, true },
                { "define as it is, with scripts", have_device, to_define_as_it_is, 20, true },
                { "modify, with scripts", have_definitions, to_modify, 20, true },
                { "undefine, with scripts", have_definitions, to_undefine, 20, true },
                { "attributes, with scripts", have_device, to_read_attributes, 15, true },
        };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(plays); i++)
                run_play(&plays[i]);
}

/* Somebody has it open: want of memory is no reason to ask the kernel. */
static void test_remove_in_use(void **state) {
        unsigned n = 0;

        (void) state;

        for (failed = true; failed; n++) {
                const Play p = { "remove what is in use", have_device, to_remove, 0, false };

                begin_play(&p);
                tree_link("/dev/vfio/17", "proc/4242/fd/3");
                tree_link("anon_inode:[vfio-device]", "proc/4242/fd/4");
                tree_put("proc/4242/comm", "qemu\n");
                do_play(&p, (long) n);
                if (kernel.log[0] != '\0')
                        fail_msg("allocation %u: %s", n, kernel.log);
                assert_true(told.failure.kind == FAILURE_IN_USE || failure_errno(&told.failure) == ENOMEM);
                end_play();
        }
        assert_true(n > 10);
}

/* What reads for itself */

/* As in test-memory-host.c. */
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
        assert_false(failed); /* and got through in spite of it */
        assert_true(n > 0);
}

static int read_types(void) {
        _cleanup_(types_done) Types types = {};
        int r = driver_read_types(sys_fd, P1, &types);

        assert_int_equal(types.n, r < 0 ? 0 : 2);
        if (r >= 0) {
                assert_string_equal(types.types[0].device_api, "vfio-pci");
                assert_int_equal(types.types[0].available_instances, 4);
        }
        return r;
}

static void test_driver(void **state) {
        (void) state;

        host_type(P1, "t-2", "4\n");
        run(read_types, 0);
}

static Sighting seen;

static int find_holder(void) {
        _cleanup_(holder_done) Holder holder = HOLDER_INIT;
        int r = holder_find(tree_fd, &seen, &holder);

        if (r > 0)
                assert_int_equal(holder.pid, 4242);
        return r > 0 && failed ? -ENOMEM : r; /* without its name */
}

/* However the user shows: nobody is said to have it open for want of memory only. */
static void test_holder(void **state) {
        static const char *const targets[] = { "/dev/vfio/devices/vfio3", "anon_inode:[vfio-device]" };

        (void) state;

        have_device();
        tree_mkdir(DEVICE "/vfio-dev/vfio3");
        tree_put("proc/4242/comm", "qemu\n");
        tree_put("proc/4242/fdinfo/3", "pos: 0\nvfio-device-syspath: /" DEVICE "\n");
        seen = (Sighting){ .path = (char *) "/" DEVICE, .iommu_group = 17 };
        for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
                tree_link(targets[i], "proc/4242/fd/3");
                run(find_holder, 1);
                tree_remove("proc/4242/fd/3");
        }
}

static int directory_fd;
static const Uuid uuid = { { 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
                0xee, 0xff } };

static int read_record(void) {
        Record record = { .life = 4711 };
        int r = record_read(directory_fd, &uuid, &record);

        assert_int_equal(record.life, r < 0 ? 4711 : 7);
        return r;
}

static int list_locks(void) {
        _cleanup_(freep) Uuid *uuids = NULL;
        size_t n = 4711;
        int r = lock_list(directory_fd, &uuids, &n);

        assert_int_equal(n, r < 0 ? 4711 : 1);
        return r;
}

/* Whoever holds it holds it, whatever can be told of him. */
static void inspect_lock(void) {
        for (long n = 0; n < 4; n++) {
                LockNote note = {};
                int fd = -EBADF;

                allocations_left = n;
                assert_int_equal(lock_inspect(directory_fd, &uuid, &fd, &note), 1);
                allocations_left = -1;
                assert_true(fd >= 0);
                assert_int_equal(note.kind, n == 0 ? OPERATION_NONE : OPERATION_DEFINE);
                assert_streq_ptr(note.parent, n == 1 ? NULL : "p");
                assert_streq_ptr(note.type, n == 2 ? NULL : "t");
                lock_note_done(&note);
                (void) close(fd);
        }
}

static void test_files(void **state) {
        LockNote note = { .kind = OPERATION_DEFINE, .parent = (char *) "p", .type = (char *) "t" };
        int fd;

        (void) state;

        directory_fd = record_open_directory(tree_fd);
        assert_int_equal(record_write(directory_fd, &uuid, &(Record){ .whole = true, .life = 7 }), 0);
        run(read_record, 0);
        (void) close(directory_fd);

        directory_fd = lock_open_directory(tree_fd);
        fd = lock_acquire(directory_fd, &uuid, &note);
        assert_true(fd >= 0);
        run(list_locks, 0);
        inspect_lock();
        (void) close(fd);
        (void) close(directory_fd);
}

static int run_script(void) {
        char *argv[] = { (char *) "/bin/sh", (char *) "-c",
                (char *) "cat; echo bad >&2; touch $MDEVCTL_ENV_ROOT/done", NULL };
        const ScriptCall call = {
                .path = argv[0],
                .argv = argv,
                .input = "good",
                .output_max = 100,
                .errors_max = 100,
                .timeout_sec = 60,
        };
        ScriptResult result = {};
        int r;

        r = script_run(&call, tree_root, &result);
        if (r < 0) {
                assert_null(result.output);
                assert_null(result.errors);
        } else {
                _cleanup_(freep) char *said = script_result_said(&result);

                assert_string_equal(result.output, "good");
                assert_int_equal(result.status, 0);
                /* What it says is shown to people only. */
                if (!failed)
                        assert_string_equal(said, "bad");
                /* No want of memory ends it before its time. */
                assert_true(tree_has("done"));
        }
        script_result_done(&result);
        return r >= 0 && failed ? -ENOMEM : r; /* without what it said */
}

static void test_script(void **state) {
        (void) state;

        run(run_script, 0);
}

static void test_kmsg(void **state) {
        int fds[2];

        (void) state;

        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        for (long n = 0; n < 2; n++) {
                _cleanup_(freep) char *line = NULL;

                assert_true(send(fds[1], "6,1,1,-;about p", 15, 0) == 15);
                allocations_left = n;
                line = kmsg_last_line(fds[0], "u", "p");
                allocations_left = -1;
                assert_streq_ptr(line, n == 0 ? NULL : "about p");
        }
        (void) close(fds[0]);
        (void) close(fds[1]);
}

int main(void) {
        struct statvfs st;
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_effects),
                cmocka_unit_test(test_remove_in_use),
                cmocka_unit_test_setup_teardown(test_driver, setup, teardown),
                cmocka_unit_test_setup_teardown(test_holder, setup, teardown),
                cmocka_unit_test_setup_teardown(test_files, setup, teardown),
                cmocka_unit_test_setup_teardown(test_script, setup, teardown),
                cmocka_unit_test(test_kmsg),
        };

        /* Hundreds of trees are made and removed. */
        if (statvfs("/dev/shm", &st) >= 0 && !(st.f_flag & (ST_NOEXEC | ST_RDONLY)))
                (void) setenv("TMPDIR", "/dev/shm", false);

        return cmocka_run_group_tests_name("memory-effect", tests, NULL, NULL);
}

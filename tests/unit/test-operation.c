/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Operations with real processes: the worker itself on a tree whose "create" is a FIFO, so that it takes as
 * long as a test likes, and the bad one. */

#include "tree.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <systemd/sd-event.h>

#include "base/log.h"
#include "core/operation.h"

#define P1 "0000:3b:00.0"
#define TYPES DEVICES P1 "/mdev_supported_types/"
#define BUSY "run/mdevd/busy/"

static sd_event *event;
static WorkerProgram program = WORKER_PROGRAM_INIT;
static Operations *operations;
static char told[4096]; /* types that were told, and the order in which operations ended */

/* One operation's owner. */
typedef struct Owner {
        const char *name;
        unsigned n_facts, n_done;
        Failure failure;
        bool created;
        bool in_submit; /* nothing may be told now */
        void (*when_done)(struct Owner *owner);
} Owner;

/* They outlive a test that fails: what is under way then ends in its teardown. */
static Owner owners[32];
static size_t n_owners;

static Owner *new_owner(const char *name) {
        assert_true(n_owners < ELEMENTSOF(owners));
        owners[n_owners] = (Owner){ .name = name, .failure = FAILURE_INIT };
        return &owners[n_owners++];
}

static void note(const char *what, const char *name) {
        size_t n = strlen(told);

        assert_true(snprintf(told + n, sizeof told - n, "%s %s;", what, name) < (int) (sizeof told - n));
}

static void on_fact(const Frame *fact, void *userdata) {
        Owner *owner = userdata;

        assert_false(owner->in_submit);
        assert_int_equal(owner->n_done, 0); /* facts come first */
        assert_int_not_equal(fact->kind, FRAME_RESULT);
        assert_int_not_equal(fact->kind, FRAME_TYPES);
        owner->n_facts++;
}

static void on_done(Frame *result, void *userdata) {
        Owner *owner = userdata;

        assert_false(owner->in_submit);
        assert_int_equal(result->kind, FRAME_RESULT);
        owner->n_done++;
        owner->created = result->created;
        failure_move(&owner->failure, &result->failure); /* its parts may be taken */
        note("done", owner->name);
        if (owner->when_done)
                owner->when_done(owner);
}

static void on_types(Frame *types, void *userdata) {
        assert_ptr_equal(userdata, told);
        assert_int_equal(types->kind, FRAME_TYPES);
        note("types", types->parent);
}

static const OperationHandler handler = { .fact = on_fact, .done = on_done };

/* Fixture */

#define SPARES 4U /* as core/operation.c has it */

static unsigned lane_max;
static const char *lane_name; /* of what is submitted next */

/* As verbs have them: what may wait for ever is in none. */
static Lane *lane_of(RequestKind kind) {
        Lane *lane;

        if (kind == REQUEST_REMOVE || kind == REQUEST_LOOK)
                return NULL;
        lane = operations_lane(operations, lane_name, lane_max);
        assert_non_null(lane);
        assert_ptr_equal(operations_lane(operations, lane_name, lane_max), lane);
        return lane;
}

static void start(const char *how, unsigned running_max, unsigned queued_max) {
        const char *path = getenv(how ? "BAD_WORKER" : "MDEVD_WORKER");

        assert_non_null(path);
        assert_int_equal(worker_program_open(path, how ?: tree_root, &program), 0);
        assert_int_equal(
                        operations_new(&operations, event, tree_fd, &program, queued_max, on_types, told), 0);
        lane_max = running_max;
}

static int setup(void **state) {
        told[0] = '\0';
        lane_name = "one";
        n_owners = 0;
        assert_int_equal(tree_setup(state), 0);
        assert_int_equal(sd_event_new(&event), 0);
        host_parent(P1);
        return 0;
}

/* The processes that this one has started, zombies too. */
static unsigned list_children(pid_t ret[static 64]) {
        DIR *d = opendir("/proc");
        unsigned n = 0;
        char line[512];

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));) {
                int pid = atoi(e->d_name), parent;
                char state;
                FILE *f;

                if (pid <= 0)
                        continue;
                f = fopen(PATH("/proc/%d/stat", pid), "re");
                if (!f)
                        continue;
                if (fgets(line, sizeof line, f) && strrchr(line, ')') &&
                                sscanf(strrchr(line, ')'), ") %c %d", &state, &parent) == 2 &&
                                parent == getpid()) {
                        assert_true(n < 64);
                        ret[n++] = pid;
                }
                (void) fclose(f);
        }
        (void) closedir(d);
        return n;
}

static unsigned count_children(void) {
        pid_t pids[64];

        return list_children(pids);
}

/* What goes on alone ends, because what it waits for is taken away. */
static void reap_all(void) {
        double end = seconds_now() + WAIT_SECONDS;

        for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) >= 0;)
                if (pid == 0) {
                        assert_true(seconds_now() < end);
                        (void) poll(NULL, 0, 1);
                }
        assert_int_equal(errno, ECHILD);
}

static int teardown(void **state) {
        pid_t pids[64];

        operations = operations_free(operations);
        while (n_owners > 0)
                failure_done(&owners[--n_owners].failure);
        event = sd_event_unref(event);
        worker_program_done(&program);

        /* Of a test that failed there may be some that wait for ever. */
        for (unsigned n = list_children(pids); n > 0; n--)
                (void) kill(pids[n - 1], SIGKILL);
        reap_all();
        return tree_teardown(state);
}

/* Turns the loop until something is so. */
#define RUN_UNTIL(condition)                                                                    \
        do {                                                                                    \
                double _end = seconds_now() + WAIT_SECONDS;                                     \
                while (!(condition)) {                                                          \
                        if (seconds_now() > _end)                                               \
                                fail_msg("waited in vain for: %s; told: %s", #condition, told); \
                        assert_true(sd_event_run(event, 20 * 1000) >= 0);                       \
                }                                                                               \
        } while (0)

/* Turns it as long as there is something to do at once. */
static void run_idle(void) {
        for (unsigned i = 0; i < 20; i++)
                assert_true(sd_event_run(event, 0) >= 0);
}

static int submit_on(const char *uuid, Owner *owner, RequestKind kind, OperationKind operation,
                const char *type, int lock_fd) {
        Request r = {
                .kind = kind, .op = operations_next_id(operations), .definition = { .uuid = uuid_of(uuid) }
        };
        Failure f = FAILURE_INIT;
        int result;

        r.definition.parent = strdup(P1);
        r.definition.type = strdup(type);
        failure_done(&owner->failure);
        owner->in_submit = true;
        result = operations_submit(operations, &r, operation, lock_fd, lane_of(kind), &handler, owner, &f);
        owner->in_submit = false;

        /* Moved, whatever comes of it. */
        assert_null(r.definition.parent);
        assert_true(r.op == 0);
        if (result < 0) {
                assert_int_equal(result, -failure_errno(&f));
                failure_move(&owner->failure, &f);
        } else
                assert_int_equal(f.kind, FAILURE_NONE);
        return result;
}

static void submit(
                const char *uuid, Owner *owner, RequestKind kind, OperationKind operation, const char *type) {
        assert_int_equal(submit_on(uuid, owner, kind, operation, type, -EBADF), 0);
        assert_int_equal(owner->n_done, 0);
}

/* A type whose driver is slow. */
static void slow_type(const char *type) {
        host_type(P1, type, "4");
        tree_remove(PATH(TYPES "%s/create", type));
        tree_fifo(PATH(TYPES "%s/create", type));
}

/* Lets the create on a slow type go: waits for it to come, with the loop turning, and takes what it writes.
 */
static void release(const char *type, char ret_uuid[static 37]) {
        int fd = openat(tree_fd, PATH(TYPES "%s/create", type), O_RDONLY | O_CLOEXEC | O_NONBLOCK);

        assert_true(fd >= 0);
        RUN_UNTIL((read(fd, ret_uuid, 36) == 36));
        ret_uuid[36] = '\0';
        (void) close(fd);
}

static void assert_failed(const Owner *o, FailureKind kind, const char *detail) {
        assert_int_equal(o->n_done, 1);
        assert_int_equal(o->failure.kind, kind);
        assert_streq_ptr(o->failure.detail, detail);
        assert_true(o->failure.has_uuid);
}

/* The ordinary course */

static void test_define(void **state) {
        Owner *o = new_owner("a");

        (void) state;

        start(NULL, 4, 4);
        submit(UUID_A, o, REQUEST_DEFINE, OPERATION_DEFINE, "t");
        assert_true(tree_has(BUSY UUID_A));
        RUN_UNTIL(o->n_done > 0);
        assert_int_equal(o->failure.kind, FAILURE_NONE);
        assert_int_equal(o->n_facts, 1);
        assert_false(tree_has(BUSY UUID_A));
        assert_true(tree_has("etc/mdevctl.d/" P1 "/" UUID_A));
        RUN_UNTIL(count_children() == SPARES);
        assert_int_equal(o->n_done, 1);
}

static void test_ids(void **state) {
        OpId last = 0;

        (void) state;

        start(NULL, 4, 4);
        for (unsigned i = 0; i < 100; i++) {
                OpId id = operations_next_id(operations);

                assert_true(id > last);
                last = id;
        }
        assert_true(operations_lock_fd(operations) >= 0);
}

/* Some processes wait ready, and never more than these; who is at work comes back. */
static void test_spare(void **state) {
        Owner *o = new_owner("a");

        (void) state;

        start(NULL, 4, 4);
        assert_int_equal(count_children(), 0);
        RUN_UNTIL(count_children() == SPARES);
        run_idle();
        assert_int_equal(count_children(), SPARES);

        slow_type("slow");
        submit(UUID_A, o, REQUEST_CREATE, OPERATION_CREATE, "slow");
        assert_int_equal(count_children(), SPARES); /* one was taken */
        run_idle();
        assert_int_equal(count_children(), SPARES);
        release("slow", (char[37]){});
        RUN_UNTIL(o->n_done > 0);
        run_idle();
        assert_int_equal(count_children(), SPARES);
}

/* Whether the processes are those in @before. */
static bool are_the_same(pid_t *before) {
        pid_t now[64];
        unsigned n = list_children(now), found = 0;

        for (unsigned i = 0; i < n; i++)
                for (unsigned k = 0; k < SPARES; k++)
                        found += now[i] == before[k];
        return n == SPARES && found == SPARES;
}

/* A process is used again, unless there are scripts, to which it is an operation. */
static void test_again(void **state) {
        Owner *a = new_owner("a"), *b = new_owner("b"), *c = new_owner("c");
        pid_t before[64];

        (void) state;

        start(NULL, 4, 4);
        RUN_UNTIL(count_children() == SPARES);
        assert_int_equal(list_children(before), SPARES);
        submit(UUID_A, a, REQUEST_DEFINE, OPERATION_DEFINE, "t");
        RUN_UNTIL(a->n_done);
        submit(UUID_B, b, REQUEST_DEFINE, OPERATION_DEFINE, "t");
        RUN_UNTIL(b->n_done);
        assert_true(tree_has("etc/mdevctl.d/" P1 "/" UUID_B));
        run_idle();
        assert_true(are_the_same(before));

        tree_put("etc/mdevctl.d/scripts.d/notifiers/n", "#!/bin/sh\n");
        submit(UUID_C, c, REQUEST_DEFINE, OPERATION_DEFINE, "t");
        RUN_UNTIL(c->n_done);
        RUN_UNTIL(count_children() == SPARES && !are_the_same(before));
}

/* Whether all of @then are still there. */
static bool are_still_there(const pid_t *then, unsigned n_then) {
        pid_t now[64];
        unsigned n = list_children(now), found = 0;

        for (unsigned i = 0; i < n; i++)
                for (unsigned k = 0; k < n_then; k++)
                        found += now[i] == then[k];
        return found == n_then;
}

/* Many at once are there for the next that come, and not for ever. */
static void test_many(void **state) {
        enum {
                N = 12
        };
        pid_t first[64];
        unsigned n = 0;

        (void) state;

        start(NULL, N, N);
        for (unsigned round = 0; round < 2; round++) {
                Owner *last = NULL;
                char uuids[N][37];

                for (unsigned i = 0; i < N; i++) {
                        const char *type = PATH("slow-%u-%u", round, i);

                        slow_type(type);
                        (void) snprintf(uuids[i], sizeof uuids[i], "%08u-4455-6677-8899-aabbccddee%02u", i,
                                        round);
                        last = new_owner("a");
                        submit(uuids[i], last, REQUEST_CREATE, OPERATION_CREATE, type);
                }
                run_idle();
                if (round == 0) {
                        n = list_children(first);
                        assert_true(n >= N); /* and perhaps a spare one */
                } else
                        assert_true(are_still_there(first, n));
                for (unsigned i = 0; i < N; i++)
                        release(PATH("slow-%u-%u", round, i), (char[37]){});
                RUN_UNTIL(last->n_done);
                run_idle();
                assert_true(are_still_there(first, n));
        }
        RUN_UNTIL(count_children() == SPARES);
}

/* Types that change are told after the result, whoever the operation's owner is. */
static void test_types_after(void **state) {
        Owner *o = new_owner("a");

        (void) state;

        start(NULL, 4, 4);
        host_type(P1, "t", "4");
        host_device(P1, UUID_A, "t"); /* what "create" would make */
        submit(UUID_A, o, REQUEST_CREATE, OPERATION_CREATE, "t");
        RUN_UNTIL(o->n_done);
        assert_string_equal(told, "done a;");
        assert_true(o->created);

        told[0] = '\0';
        operations = operations_free(operations);
        worker_program_done(&program);
        start("types-after", 4, 4);
        o = new_owner("b");
        submit(UUID_A, o, REQUEST_SCAN, OPERATION_NONE, "t");
        RUN_UNTIL(streq(told, "types x;done b;types x;types x;"));
}

/* One that takes long delays no other, on the same parent and type or not. */
static void test_blocked(void **state) {
        Owner *slow = new_owner("slow"), *quick = new_owner("quick"), *define = new_owner("define");
        char uuid[37];

        (void) state;

        start(NULL, 8, 8);
        slow_type("slow");
        host_type(P1, "quick", "4");
        submit(UUID_A, slow, REQUEST_CREATE, OPERATION_CREATE, "slow");
        submit(UUID_B, quick, REQUEST_CREATE, OPERATION_CREATE, "quick");
        submit(UUID_C, define, REQUEST_DEFINE, OPERATION_DEFINE, "slow");
        RUN_UNTIL(quick->n_done && define->n_done);
        run_idle();
        assert_int_equal(slow->n_done, 0);
        assert_int_equal(slow->n_facts, 0);
        assert_true(tree_has(BUSY UUID_A));
        host_device(P1, UUID_A, "slow");
        release("slow", uuid);
        assert_string_equal(uuid, UUID_A);
        RUN_UNTIL(slow->n_done);
        assert_true(slow->created);
        assert_false(tree_has(BUSY UUID_A));
}

/* Two at the same time on one type are both in the driver, and end in the order in which it lets them go. */
static void test_order(void **state) {
        Owner *a = new_owner("a"), *b = new_owner("b");

        (void) state;

        start(NULL, 8, 8);
        slow_type("one");
        slow_type("two");
        submit(UUID_A, a, REQUEST_CREATE, OPERATION_CREATE, "one");
        submit(UUID_B, b, REQUEST_CREATE, OPERATION_CREATE, "two");
        release("two", (char[37]){});
        RUN_UNTIL(b->n_done);
        assert_int_equal(a->n_done, 0);
        release("one", (char[37]){});
        RUN_UNTIL(a->n_done);
        assert_ptr_equal(strstr(told, "done b"), told);
}

/* Limits */

/* As many at a time as may be, then a queue in order, then no more. */
static void test_limits(void **state) {
        Owner *o[] = { new_owner("0"), new_owner("1"), new_owner("2"), new_owner("3"), new_owner("4"),
                new_owner("5") };
        char uuid[37];

        (void) state;

        start(NULL, 2, 2);
        for (unsigned i = 0; i < 4; i++) {
                slow_type(PATH("slow-%u", i));
                submit(PATH("%08u-4455-6677-8899-aabbccddeeff", i), o[i], REQUEST_CREATE, OPERATION_CREATE,
                                PATH("slow-%u", i));
        }
        assert_int_equal(submit_on("00000004-4455-6677-8899-aabbccddeeff", o[4], REQUEST_CREATE,
                                         OPERATION_CREATE, "slow-0", -EBADF),
                        -EUSERS);
        assert_int_equal(o[4]->failure.kind, FAILURE_TOO_MANY);
        assert_string_equal(o[4]->failure.subject, "operations under way");
        assert_int_equal(o[4]->failure.index, 2);
        assert_false(tree_has(BUSY "00000004-4455-6677-8899-aabbccddeeff")); /* nothing is kept of it */
        assert_int_equal(o[4]->n_done, 0);
        assert_true(tree_has(BUSY "00000003-4455-6677-8899-aabbccddeeff")); /* but of what waits */

        /* Two processes and spare ones, and no more; the next goes when one has ended, in order. */
        RUN_UNTIL(count_children() == SPARES);
        run_idle();
        assert_int_equal(count_children(), SPARES);
        for (unsigned i = 0; i < 4; i++) {
                unsigned which = (unsigned[]){ 1, 2, 0, 3 }[i];

                release(PATH("slow-%u", which), uuid);
                assert_int_equal(uuid[7] - '0', which);
                RUN_UNTIL(o[which]->n_done);
                run_idle();
                assert_int_equal(count_children(), SPARES);
        }
        assert_string_equal(told, "done 1;done 2;done 0;done 3;");

        /* There is room again. */
        RUN_UNTIL(count_children() == SPARES);
        submit("00000004-4455-6677-8899-aabbccddeeff", o[4], REQUEST_DEFINE, OPERATION_DEFINE, "slow-0");
        RUN_UNTIL(o[4]->n_done);
        for (unsigned i = 0; i < ELEMENTSOF(o); i++)
                assert_int_equal(o[i]->n_done, i < 5);
}

/* What waits in one lane holds up nobody in another; each has its own room, the queue is of all. */
static void test_lanes(void **state) {
        Owner *a = new_owner("a"), *b = new_owner("b"), *c = new_owner("c"), *d = new_owner("d");
        char uuid[37];

        (void) state;

        start(NULL, 1, 1);
        slow_type("slow");
        host_type(P1, "quick", "4");
        host_device(P1, UUID_C, "quick");
        submit(UUID_A, a, REQUEST_CREATE, OPERATION_CREATE, "slow");
        submit(UUID_B, b, REQUEST_CREATE, OPERATION_CREATE, "quick"); /* waits for a */
        lane_name = "two";
        submit(UUID_C, c, REQUEST_CREATE, OPERATION_CREATE, "quick");
        RUN_UNTIL(c->n_done);
        run_idle();
        assert_int_equal(a->n_done + b->n_done, 0);

        lane_name = "one";
        assert_int_equal(submit_on("40112233-4455-6677-8899-aabbccddeeff", d, REQUEST_CREATE,
                                         OPERATION_CREATE, "quick", -EBADF),
                        -EUSERS);
        host_device(P1, UUID_A, "slow");
        host_device(P1, UUID_B, "quick");
        release("slow", uuid);
        RUN_UNTIL(a->n_done && b->n_done);
        assert_true(a->created && b->created);
}

/* A removal may wait for a VM for ever: it takes nobody's room, and waits for none. So does a look. */
static void test_removals_are_not_counted(void **state) {
        Owner *removal = new_owner("removal"), *removal2 = new_owner("removal2"),
              *create = new_owner("create"), *look = new_owner("look");
        int fd;

        (void) state;

        start(NULL, 1, 0);
        slow_type("slow");
        for (unsigned i = 0; i < 2; i++) {
                host_device(P1, i ? UUID_B : UUID_A, "slow");
                tree_remove(PATH(DEVICES P1 "/%s/remove", i ? UUID_B : UUID_A));
                tree_fifo(PATH(DEVICES P1 "/%s/remove", i ? UUID_B : UUID_A));
        }
        submit(UUID_A, removal, REQUEST_REMOVE, OPERATION_REMOVE, "slow");
        submit(UUID_B, removal2, REQUEST_REMOVE, OPERATION_REMOVE, "slow");
        submit(UUID_C, create, REQUEST_CREATE, OPERATION_CREATE, "slow");
        submit(UUID_A, look, REQUEST_LOOK, OPERATION_NONE, "slow");
        RUN_UNTIL(look->n_done);
        release("slow", (char[37]){});
        RUN_UNTIL(create->n_done);
        assert_int_equal(removal->n_done + removal2->n_done, 0);

        for (unsigned i = 0; i < 2; i++) {
                char c;

                fd = openat(tree_fd, PATH(DEVICES P1 "/%s/remove", i ? UUID_B : UUID_A),
                                O_RDONLY | O_CLOEXEC);
                assert_int_equal(read(fd, &c, 1), 1);
                assert_int_equal(c, '1');
                (void) close(fd);
        }
        RUN_UNTIL(removal->n_done && removal2->n_done);
}

static Owner *again;

static void submit_again(Owner *owner) {
        (void) owner;

        submit(UUID_A, again, REQUEST_DEFINE, OPERATION_DEFINE, "t");
}

/* From within the end of one the next on the same UUID can begin: its lock is free. */
static void test_next_from_done(void **state) {
        Owner *o = new_owner("first");

        (void) state;

        again = new_owner("second");
        o->when_done = submit_again;
        start(NULL, 4, 4);
        host_type(P1, "t", "4");
        submit(UUID_A, o, REQUEST_CREATE, OPERATION_CREATE, "t");
        RUN_UNTIL(again->n_done);
        assert_int_equal(again->failure.kind, FAILURE_NONE);
        assert_int_equal(o->n_done, 1);
}

/* Locks */

static void test_lock_is_taken(void **state) {
        Owner *o = new_owner("a");
        LockNote own_note = { .kind = OPERATION_CREATE };
        Uuid u = uuid_of(UUID_A);
        int fd;

        (void) state;

        start(NULL, 4, 4);
        fd = lock_acquire(operations_lock_fd(operations), &u, &own_note);
        assert_true(fd >= 0);
        assert_int_equal(submit_on(UUID_A, o, REQUEST_DEFINE, OPERATION_DEFINE, "t", -EBADF), -EAGAIN);
        assert_int_equal(o->failure.kind, FAILURE_BUSY);
        assert_true(tree_has(BUSY UUID_A)); /* it is the other's */

        /* Without a lock it goes. */
        submit(UUID_A, o, REQUEST_DEFINE, OPERATION_NONE, "t");
        RUN_UNTIL(o->n_done);
        assert_true(tree_has(BUSY UUID_A));
        (void) close(fd);
}

static void test_lock_note(void **state) {
        Owner *o = new_owner("a");
        LockNote seen;
        Uuid u = uuid_of(UUID_A);
        int fd = -EBADF;

        (void) state;

        start(NULL, 4, 4);
        slow_type("slow");
        submit(UUID_A, o, REQUEST_CREATE, OPERATION_CREATE, "slow");
        assert_int_equal(lock_inspect(operations_lock_fd(operations), &u, &fd, &seen), 1);
        assert_int_equal(seen.kind, OPERATION_CREATE);
        assert_string_equal(seen.parent, P1);
        assert_string_equal(seen.type, "slow");
        lock_note_done(&seen);
        (void) close(fd);
        release("slow", (char[37]){});
        RUN_UNTIL(o->n_done);
        assert_int_equal(lock_inspect(operations_lock_fd(operations), &u, &fd, &seen), 0);
}

/* Once it has been sent it is the worker's alone: it goes with the effect, and not when the daemon has time.
 */
static void test_lock_is_sent(void **state) {
        Owner *o = new_owner("a");
        char uuid[37];
        int fd, probe;

        (void) state;

        start(NULL, 4, 4);
        slow_type("slow");
        submit(UUID_A, o, REQUEST_CREATE, OPERATION_CREATE, "slow");
        probe = openat(tree_fd, BUSY UUID_A, O_RDONLY | O_CLOEXEC);
        assert_int_equal(flock(probe, LOCK_EX | LOCK_NB), -1);
        fd = openat(tree_fd, TYPES "slow/create", O_RDONLY | O_CLOEXEC);
        assert_int_equal(read(fd, uuid, 36), 36);
        (void) close(fd);
        WAIT_UNTIL(flock(probe, LOCK_EX | LOCK_NB) == 0); /* the loop stands still */
        (void) close(probe);
        assert_int_equal(o->n_done, 0);
        RUN_UNTIL(o->n_done);
}

/* Somebody else's lock: the operation ends when it is free. */
static void test_foreign_lock(void **state) {
        Owner *o = new_owner("a");
        int held, waiting;

        (void) state;

        start(NULL, 4, 4);
        tree_put("lock", "");
        held = openat(tree_fd, "lock", O_RDWR | O_CLOEXEC);
        waiting = openat(tree_fd, "lock", O_RDONLY | O_CLOEXEC);
        assert_int_equal(flock(held, LOCK_EX | LOCK_NB), 0);
        assert_int_equal(submit_on(UUID_A, o, REQUEST_LOOK, OPERATION_NONE, "t", waiting), 0);
        run_idle();
        assert_int_equal(o->n_done, 0);
        (void) close(held);
        RUN_UNTIL(o->n_done);
        assert_int_equal(o->failure.kind, FAILURE_NONE);
}

/* Workers that fail */

static void assert_ends(const char *how, FailureKind kind, const char *detail, unsigned n_facts) {
        Owner *o = new_owner("a");

        told[0] = '\0';
        start(how, 4, 4);
        submit(UUID_A, o, REQUEST_CREATE, OPERATION_CREATE, "t");
        RUN_UNTIL(o->n_done);
        RUN_UNTIL(count_children() <= SPARES);
        run_idle();
        assert_int_equal(o->n_done, 1);
        assert_int_equal(o->n_facts, n_facts);
        assert_int_equal(o->failure.kind, kind);
        assert_streq_ptr(o->failure.detail, detail);
        if (kind == FAILURE_WORKER) {
                assert_true(o->failure.has_uuid);
                assert_string_equal(o->failure.parent, P1);
                assert_string_equal(o->failure.type, "t");
        }
        assert_false(tree_has(BUSY UUID_A));

        /* And there is room for the next. */
        o = new_owner("b");
        submit(UUID_A, o, REQUEST_CREATE, OPERATION_CREATE, "t");
        RUN_UNTIL(o->n_done);
        operations = operations_free(operations);
        worker_program_done(&program);
        reap_all();
}

static void test_bad_workers(void **state) {
        (void) state;

        assert_ends("die", FAILURE_WORKER, "it exited with status 3", 0);
        assert_ends("kill", FAILURE_WORKER, "it was killed by signal 9", 0);
        assert_ends("half", FAILURE_WORKER, "it exited with status 0", 0);
        assert_ends("garbage", FAILURE_WORKER, "it exited with status 0", 0);
        assert_ends("too-much", FAILURE_WORKER, "it exited with status 0", 0);
        assert_ends("foreign-only", FAILURE_WORKER, "it exited with status 0", 0);
        assert_ends("foreign", FAILURE_NONE, NULL, 1);
        assert_ends("two-results", FAILURE_NONE, NULL, 0);
        assert_ends("result-then-die", FAILURE_NONE, NULL, 0);
        assert_ends("child-keeps-socket", FAILURE_WORKER, "it exited with status 5", 0);
}

/* One that is killed while a driver works: its owner hears of it, and of nothing else. */
static void test_killed(void **state) {
        Owner *o = new_owner("a");
        pid_t pids[64];

        (void) state;

        start("hang", 4, 4);
        submit(UUID_A, o, REQUEST_CREATE, OPERATION_CREATE, "t");
        assert_int_equal(list_children(pids), 1); /* spare ones come later */
        run_idle();
        assert_int_equal(o->n_done, 0);
        assert_int_equal(kill(pids[0], SIGKILL), 0);
        RUN_UNTIL(o->n_done);
        assert_failed(o, FAILURE_WORKER, "it was killed by signal 9");
        run_idle();
        assert_int_equal(o->n_done, 1);
}

/* A spare one dies before it is needed: another takes its place, and the operation does not notice. */
static void test_spare_dies(void **state) {
        Owner *o = new_owner("a");
        pid_t pids[64];
        siginfo_t info;

        (void) state;

        start(NULL, 4, 4);
        RUN_UNTIL(count_children() == 1);
        assert_int_equal(list_children(pids), 1);
        assert_int_equal(kill(pids[0], SIGKILL), 0);
        assert_int_equal(waitid(P_PID, (id_t) pids[0], &info, WEXITED | WNOWAIT), 0);
        submit(UUID_A, o, REQUEST_DEFINE, OPERATION_DEFINE, "t");
        RUN_UNTIL(o->n_done);
        assert_int_equal(o->failure.kind, FAILURE_NONE);
        assert_true(tree_has("etc/mdevctl.d/" P1 "/" UUID_A));
}

static void test_cannot_start(void **state) {
        Owner *o = new_owner("a");

        (void) state;

        tree_put("no-program", "");
        assert_int_equal(worker_program_open(PATH("%s/no-program", tree_root), NULL, &program), 0);
        assert_int_equal(operations_new(&operations, event, tree_fd, &program, 4, on_types, told), 0);
        lane_max = 4;
        submit(UUID_A, o, REQUEST_DEFINE, OPERATION_DEFINE, "t");
        RUN_UNTIL(o->n_done);
        if (streq_ptr(o->failure.detail, "it exited with status 127"))
                skip(); /* where vfork(2) is but a fork(2), as under valgrind */
        assert_failed(o, FAILURE_WORKER, "it could not be started");
        assert_int_equal(o->failure.error, EACCES);
        assert_false(tree_has(BUSY UUID_A));
}

/* The end */

/* Each is answered once, running or queued; what runs goes on, with its lock for the next daemon to see. */
static void test_end(void **state) {
        Owner *o[] = { new_owner("0"), new_owner("1"), new_owner("2"), new_owner("3") };
        static const char *const uuids[] = { UUID_A, UUID_B, UUID_C, "30112233-4455-6677-8899-aabbccddeeff" };
        LockNote seen;
        Uuid u = uuid_of(UUID_A);
        int busy_fd, fd = -EBADF;

        (void) state;

        start(NULL, 2, 4);
        for (unsigned i = 0; i < 4; i++) {
                slow_type(PATH("slow-%u", i));
                submit(uuids[i], o[i], REQUEST_CREATE, OPERATION_CREATE, PATH("slow-%u", i));
        }
        run_idle();
        operations = operations_free(operations);
        for (unsigned i = 0; i < 4; i++) {
                assert_failed(o[i], FAILURE_CANCELLED, NULL);
                assert_string_equal(UUID_TEXT(&o[i]->failure.uuid), uuids[i]);
                assert_int_equal(tree_has(PATH(BUSY "%s", uuids[i])), i < 2);
        }
        busy_fd = lock_open_directory(tree_fd);
        assert_int_equal(lock_inspect(busy_fd, &u, &fd, &seen), 1);
        assert_int_equal(seen.kind, OPERATION_CREATE);
        lock_note_done(&seen);

        /* They end by themselves, and then the lock is free. */
        release("slow-0", (char[37]){});
        release("slow-1", (char[37]){});
        assert_int_equal(flock(fd, LOCK_EX), 0);
        (void) close(fd);
        reap_all();
        assert_int_equal(lock_inspect(busy_fd, &u, &fd, &seen), 0);
        (void) close(busy_fd);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(o[i]->n_done, 1);
        assert_null(operations_free(NULL));
}

static void test_end_idle(void **state) {
        (void) state;

        start(NULL, 4, 4);
        operations = operations_free(operations);
        worker_program_done(&program);
        start(NULL, 4, 4);
        RUN_UNTIL(count_children() == 1);
        operations = operations_free(operations);
        reap_all(); /* spare ones see that they are not needed */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_define),
                TEST(test_ids),
                TEST(test_spare),
                TEST(test_again),
                TEST(test_many),
                TEST(test_types_after),
                TEST(test_blocked),
                TEST(test_order),
                TEST(test_limits),
                TEST(test_lanes),
                TEST(test_removals_are_not_counted),
                TEST(test_next_from_done),
                TEST(test_lock_is_taken),
                TEST(test_lock_note),
                TEST(test_lock_is_sent),
                TEST(test_foreign_lock),
                TEST(test_bad_workers),
                TEST(test_killed),
                TEST(test_spare_dies),
                TEST(test_cannot_start),
                TEST(test_end),
                TEST(test_end_idle),
        };
        sigset_t child;

        (void) sigemptyset(&child);
        (void) sigaddset(&child, SIGCHLD);
        (void) sigprocmask(SIG_BLOCK, &child, NULL);
        for (int fd = 3; fd < 256; fd++)
                (void) fcntl(fd, F_SETFD, FD_CLOEXEC);
        log_open(LOG_CRIT); /* what workers do wrong here is what they are to do */
        return cmocka_run_group_tests_name("operation", tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory that cannot be had. Each call is made with its first allocation failing, then its second, and so on:
 * until one gets through, each must say -ENOMEM and leave everything as it was. */

#include "unit.h"

#include <fcntl.h>
#include <search.h>
#include <sys/stat.h>

#define MEMORY_OWN_REALLOCARRAY

#include "base/file.h"
#include "memory.h"
#include "registry-fixture.h"

/* Hooks */

static bool queue_is_full; /* the vector of changes, and only that, cannot be made larger */
static size_t queue_size;  /* what it has room for */
static unsigned n_failures, n_queue_failures;

void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

void *__wrap_reallocarray(void *p, size_t n, size_t size) {
        if (queue_is_full && size == sizeof(Change)) {
                failed = true;
                n_queue_failures++;
                errno = ENOMEM;
                return NULL;
        }
        if (fails())
                return NULL;
        if (size == sizeof(Change))
                queue_size = n;

        return __real_reallocarray(p, n, size);
}

/* Steps */

static struct Picture {
        Listener listing;
        RegistryCounts counts;
        struct {
                OpId op;
                bool hints;
        } operations[2];
} before, after;

static bool commits; /* after each failure */

static void take_picture(struct Picture *p) {
        memset(p, 0, sizeof *p);
        if (!r)
                return;

        listener_list(&p->listing, r);
        p->counts = registry_count(r);
        for (size_t i = 0; i < 2; i++) {
                const Device *d = device(i == 0 ? &uuid : &uuid2);

                if (d) {
                        p->operations[i].op = d->op;
                        p->operations[i].hints = d->look_again || d->read_again;
                }
        }
}

static void arm(unsigned n) {
        take_picture(&before);
        failed = false;
        allocations_left = (long) n;
}

static size_t queue_room(void) {
        size_t n;

        (void) registry_changes(r, &n);
        return queue_size - n - 2 * (registry_count(r).n_operations + 1);
}

/* Queues changes that come to nothing, until there is room for none but those of the operations under way. */
static void fill_queue(void) {
        static const char *const there[] = { P, Q, Z };

        while (queue_room() > 1) {
                char name[32];
                ParentSighting parent = { .name = name, .present = true, .numa_node = -1 };

                (void) snprintf(name, sizeof name, "filler-%zu", queue_room());
                assert_int_equal(registry_observe_parent(r, &parent), 0);
                parent.present = false;
                assert_int_equal(registry_observe_parent(r, &parent), 0);
        }

        /* What comes and goes takes one place, but asks for a second; what is as it was asks for one. */
        for (size_t i = 0; i < ELEMENTSOF(there) && queue_room() > 0; i++) {
                ParentSighting parent = { .name = (char *) there[i],
                        .present = true,
                        .path = (char *) "/sys/devices/parent",
                        .numa_node = -1 };

                assert_int_equal(registry_observe_parent(r, &parent), 0);
        }
        assert_int_equal(queue_room(), 0);
}

static void arm_queue(void) {
        fill_queue();
        take_picture(&before);
        failed = false;
        queue_is_full = true;
}

/* Whether the call got through. */
static bool done(int result, int expected) {
        bool of_queue = queue_is_full;

        allocations_left = -1;
        queue_is_full = false;
        if (!failed) {
                assert_int_equal(result, expected);
                assert_int_equal(failure_is_set(&f), f.has_uuid && result < 0);
                failure_done(&f);
                return true;
        }

        n_failures += !of_queue;
        assert_int_equal(result, -ENOMEM);
        assert_true(!failure_is_set(&f) || f.kind == FAILURE_NO_MEMORY);
        assert_true(!failure_is_set(&f) || failure_errno(&f) == ENOMEM);
        failure_done(&f);
        if (commits)
                listener_check(&listener, r);
        take_picture(&after);
        listener_compare(&before.listing, &after.listing);
        assert_memory_equal(&before.counts, &after.counts, sizeof after.counts);
        for (size_t i = 0; i < 2; i++)
                assert_true(before.operations[i].op == after.operations[i].op &&
                                before.operations[i].hints == after.operations[i].hints);
        return false;
}

/* First where the queue of changes is full; what does not queue anything gets through that, and then again.
 */
#define STEP(expected, call)                       \
        do {                                       \
                unsigned _n = 0;                   \
                                                   \
                arm_queue();                       \
                (void) done((call), (expected));   \
                listener_check(&listener, r);      \
                do                                 \
                        arm(_n++);                 \
                while (!done((call), (expected))); \
        } while (0)

/* Of a call that needs no memory at all. */
#define STEP_WITHOUT(expected, call)                   \
        do {                                           \
                arm(0);                                \
                assert_true(done((call), (expected))); \
        } while (0)

static int drop(void) {
        registry_drop_changes(r);
        return 0;
}

static int drop_after_listening(void) {
        listener_check(&listener, r);
        return 0;
}

/* Registry */

static int define_as(const char *parent, const char *type, OpId op) {
        Definition d = { .uuid = uuid, .parent = (char *) parent, .type = (char *) type };

        d.attributes = (Attributes){ .data = (char *) "a\0b", .size = 4, .n = 1 };
        return registry_observe_definition(r, &uuid, parent, &d, op);
}

static int see_parent(const char *name, bool is_present, const char *path, const char *driver) {
        return registry_observe_parent(r,
                        &(ParentSighting){ .name = (char *) name,
                                        .present = is_present,
                                        .path = (char *) path,
                                        .driver = (char *) driver,
                                        .numa_node = -1 });
}

static void script(void) {
        Types types = { .types = calloc(1, sizeof *types.types), .n = 1 };

        assert_non_null(types.types);
        types.types[0] = (Type){ strdup("t"), strdup(""), strdup("a"), strdup(""), 1 };

        STEP(0, see_parent("new", true, "/sys/devices/new", "driver"));
        STEP(0, see_parent("new", true, "/sys/devices/newer", NULL));
        STEP(0, registry_observe_types(r, "new", &types));
        assert_int_equal(types.n, 0);
        STEP(0, see_parent("new", false, NULL, NULL));
        (void) drop_after_listening();

        /* Refusals: the sentence needs memory, the refusal does not. */
        STEP(-ENODEV, registry_begin_remove(r, &uuid, 1, &f));
        STEP(-ENODEV, registry_begin_modify(r, &uuid, P, 1, &f));
        STEP(-ENODEV, registry_begin_undefine(r, &uuid, NULL, 1, &f));
        STEP(-ENXIO, registry_begin_create(r, &uuid, GONE, "type", 1, &f));
        STEP_WITHOUT(-ESTALE, registry_end(r, &uuid, 1));
        STEP_WITHOUT(-ESTALE, see(PRESENCE_PRESENT, 1));
        STEP_WITHOUT(-ESTALE, read_definition(&uuid, P, "t", 1));

        /* A definition, its first and another. */
        STEP(0, registry_begin_define(r, &uuid, P, false, 2, &f));
        STEP(-EAGAIN, registry_begin_create(r, &uuid, P, "type", 3, &f));
        STEP(0, define_as(P, "t", 2));
        STEP_WITHOUT(0, registry_end(r, &uuid, 2));
        STEP(-EEXIST, registry_begin_define(r, &uuid, P, false, 3, &f));
        STEP(-EEXIST, registry_begin_define(r, &uuid, "other", false, 3, &f));
        STEP(0, registry_begin_define(r, &uuid, "other", true, 3, &f));
        STEP(0, define_as("other", "t", 3));
        STEP_WITHOUT(0, registry_end(r, &uuid, 3));
        STEP_WITHOUT(0, drop());
        listener_list(&listener, r);
        STEP(0, registry_begin_modify(r, &uuid, P, 4, &f));
        STEP(0, define_as(P, "u", 4));
        STEP_WITHOUT(0, define_as(P, "u", 4));
        STEP_WITHOUT(0, registry_end(r, &uuid, 4));

        /* Its life. */
        STEP(0, registry_begin_create(r, &uuid, P, "type", 5, &f));
        STEP_WITHOUT(0, see(PRESENCE_ARRIVING, 0));
        STEP(-EEXIST, registry_begin_create(r, &uuid, P, "type", 6, &f));
        STEP(-EAGAIN, registry_begin_remove(r, &uuid, 6, &f));
        STEP(0, see(PRESENCE_ARRIVING, 5));
        STEP(0, see(PRESENCE_PRESENT, 5));
        STEP_WITHOUT(0, see(PRESENCE_PRESENT, 5));
        STEP_WITHOUT(1, registry_end(r, &uuid, 5));
        STEP(0, registry_begin_modify(r, &uuid, NULL, 7, &f));
        STEP(-EAGAIN, registry_begin_remove(r, &uuid, 8, &f));
        STEP_WITHOUT(0, registry_end(r, &uuid, 7));
        (void) drop_after_listening();
        STEP(0, registry_begin_remove(r, &uuid, 9, &f));
        STEP(0, look_at(&uuid, PRESENCE_LEAVING, "third", NULL, 9));
        STEP(0, look_at(&uuid, PRESENCE_ABSENT, NULL, NULL, 9));
        STEP_WITHOUT(0, registry_end(r, &uuid, 9));

        /* What is taken over, and what appears by itself. */
        STEP(0, registry_adopt(r, &uuid2, OPERATION_REMOVE, "fourth", "t", 10));
        STEP_WITHOUT(-EBUSY, registry_adopt(r, &uuid2, OPERATION_REMOVE, "fourth", "t", 11));
        STEP_WITHOUT(0, registry_end(r, &uuid2, 10));
        STEP(0, look_at(&uuid2, PRESENCE_ORPHAN, "fifth", "t", 0));
        STEP(-ENOTRECOVERABLE, registry_begin_remove(r, &uuid2, 12, &f));

        /* And the end of it all. */
        STEP(0, registry_begin_undefine(r, &uuid, NULL, 13, &f));
        STEP(0, read_definition(&uuid, P, NULL, 13));
        STEP(0, read_definition(&uuid, "other", NULL, 13));
        STEP_WITHOUT(0, registry_end(r, &uuid, 13));
        STEP(0, look_at(&uuid2, PRESENCE_ABSENT, NULL, NULL, 0));
        listener_check(&listener, r);
        assert_counts(0, 0, 0, 0);
        assert_int_equal(listener.n, 3); /* the parents that were there from the beginning */
}

static void test_script(void **state) {
        (void) state;

        n_failures = n_queue_failures = 0;
        script();
        assert_true(n_failures > 60);
        assert_true(n_queue_failures > 20);
}

static void test_script_with_commits(void **state) {
        (void) state;

        commits = true;
        n_failures = n_queue_failures = 0;
        script();
        assert_true(n_failures > 60);
        assert_true(n_queue_failures > 20);
}

/* Operations end whatever happens, however many there are. */
static void test_end_needs_nothing(void **state) {
        (void) state;

        for (unsigned i = 0; i < 90; i++) {
                Uuid u = { { (uint8_t) i, 1 } };
                char parent[16];

                (void) snprintf(parent, sizeof parent, "parent-%u", i);
                assert_int_equal(see_parent(parent, true, "/sys", NULL), 0);
                assert_int_equal(registry_begin_create(r, &u, parent, "t", i + 1, &f), 0);
                failure_done(&f);
                registry_drop_changes(r); /* so that there never was need of room for many */
        }

        allocations_left = 0;
        failed = false;
        for (unsigned i = 0; i < 90; i++)
                if (registry_end(r, &(Uuid){ { (uint8_t) i, 1 } }, i + 1) != 0)
                        break;
        registry_drop_changes(r);
        allocations_left = -1;
        assert_false(failed);
        assert_counts(0, 0, 0, 0);
}

static void test_new_and_list(void **state) {
        Registry *none = NULL;
        Device **devices = NULL;
        Parent **list = NULL;
        size_t n = 4711;

        (void) state;

        for (int i = 0; i < 2; i++) {
                allocations_left = i;
                assert_int_equal(registry_new(&none, 1), -ENOMEM);
                assert_null(none);
        }

        present();
        for (int i = 0; i < 2; i++) {
                allocations_left = i;
                assert_int_equal(registry_list(r, &devices, &n), -ENOMEM);
        }
        allocations_left = 0;
        assert_int_equal(registry_list_parents(r, &list, &n), -ENOMEM);
        assert_null(devices);
        assert_null(list);
        assert_int_equal(n, 4711);
        allocations_left = -1;
}

/* They have no way to say it: nothing happens, or the error is that there was no memory. */
static void test_set_error_and_origin(void **state) {
        Failure failure = FAILURE_INIT;

        (void) state;

        present();
        listener_check(&listener, r);
        (void) failure_set(&failure, FAILURE_KERNEL, EIO, "create", "detail");
        (void) failure_set_device(&failure, &uuid, P, "type");
        arm_queue();
        registry_set_error(r, &uuid, &failure);
        registry_set_origin(r, &uuid, ORIGIN_MDEVD);
        queue_is_full = false;
        assert_true(failed);
        assert_null(device(&uuid)->error);
        assert_int_equal(device(&uuid)->origin, ORIGIN_EXTERNAL);
        listener_check(&listener, r);

        for (unsigned n = 0;; n++) {
                const Failure *error;

                allocations_left = (long) n;
                failed = false;
                registry_set_error(r, &uuid, &failure);
                allocations_left = -1;
                error = device(&uuid)->error;
                if (!failed) {
                        assert_int_equal(error->kind, FAILURE_KERNEL);
                        assert_string_equal(error->detail, "detail");
                        assert_true(n > 4);
                        break;
                }
                assert_true(!error || error->kind == FAILURE_NO_MEMORY);
                listener_check(&listener, r);
        }
        failure_done(&failure);

        registry_set_origin(r, &uuid, ORIGIN_MDEVD);
        assert_int_equal(device(&uuid)->origin, ORIGIN_MDEVD);
        listener_check(&listener, r);
}

/* Values */

static void test_attributes(void **state) {
        Attributes a = {}, copy = { .n = 4711 };

        (void) state;

        for (unsigned i = 0; i < 3; i++) {
                allocations_left = 0;
                assert_int_equal(attributes_insert(&a, 0, "a", "1"), -ENOMEM);
                assert_int_equal(a.n, i);
                assert_int_equal(a.size, 4 * i);
                allocations_left = -1;
                assert_int_equal(attributes_insert(&a, 0, "a", "1"), 0);
        }

        allocations_left = 0;
        assert_int_equal(attributes_copy(&a, &copy), -ENOMEM);
        allocations_left = -1;
        assert_int_equal(copy.n, 4711);

        allocations_left = 0;
        while (a.n > 0)
                assert_int_equal(attributes_remove(&a, 0), 0);
        assert_int_equal(attributes_copy(&a, &copy), 0); /* of nothing */
        allocations_left = -1;
        attributes_done(&a);
}

static void test_definition(void **state) {
        const Definition d = {
                .uuid = uuid,
                .parent = (char *) P,
                .type = (char *) "t",
                .attributes = { .data = (char *) "a\0b", .size = 4, .n = 1 },
        };
        Definition copy = {};

        (void) state;

        for (unsigned n = 0; n < 3; n++) {
                allocations_left = (long) n;
                assert_int_equal(definition_copy(&d, &copy), -ENOMEM);
                assert_null(copy.parent);
        }
        allocations_left = 3;
        assert_int_equal(definition_copy(&d, &copy), 0);
        allocations_left = -1;
        definition_done(&copy);
}

static void test_failure(void **state) {
        (void) state;

        for (unsigned n = 0; n < 2; n++) {
                allocations_left = (long) n;
                assert_int_equal(failure_set(&f, FAILURE_KERNEL, EBUSY, "create", "detail"), -ENOMEM);
                allocations_left = -1;
                assert_int_equal(f.kind, FAILURE_NO_MEMORY);
                assert_int_equal(failure_errno(&f), ENOMEM);
                failure_done(&f);

                assert_int_equal(failure_set(&f, FAILURE_EXISTS, 0, NULL, NULL), -EEXIST);
                allocations_left = (long) n;
                assert_int_equal(failure_set_device(&f, &uuid, P, "t"), -ENOMEM);
                allocations_left = -1;
                assert_int_equal(f.kind, FAILURE_NO_MEMORY);
                assert_true(f.has_uuid);
                failure_done(&f);
        }

        failed = false;
        allocations_left = 0;
        assert_int_equal(failure_set(&f, FAILURE_NO_MEMORY, 0, NULL, NULL), -ENOMEM);
        assert_int_equal(failure_set_device(&f, &uuid, NULL, NULL), -ENOMEM);
        assert_false(failed);
        allocations_left = -1;
}

static void test_util(void **state) {
        char *s = strdup("old");
        int *v = NULL;
        size_t n = 0;

        (void) state;

        allocations_left = 0;
        assert_int_equal(free_and_strdup(&s, "new"), -ENOMEM);
        assert_string_equal(s, "old");
        allocations_left = 0;
        assert_int_equal(grow((void **) &v, &n, 1, sizeof *v), -ENOMEM);
        assert_null(v);
        assert_int_equal(n, 0);
        allocations_left = -1;
        assert_int_equal(grow((void **) &v, &n, 1, sizeof *v), 0);
        allocations_left = 0;
        assert_int_equal(grow((void **) &v, &n, n, sizeof *v), 0);
        assert_int_equal(grow((void **) &v, &n, n + 1, sizeof *v), -ENOMEM);
        assert_int_equal(free_and_strdup(&s, NULL), 0);
        allocations_left = -1;
        free(v);
}

/* The first block by the size of the file, more for one that says that it is empty. */
static void test_file_read(void **state) {
        static const char name[] = "/proc/self/mountinfo";
        char untouched[] = "", *text = untouched;
        size_t size = 4711;
        int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC), n_open = fd;

        (void) state;

        if (fd < 0)
                skip();
        (void) close(fd);
        for (unsigned n = 0;; n++) {
                int result;

                allocations_left = (long) n;
                failed = false;
                result = file_read_at(AT_FDCWD, name, 1 << 20, &text, &size);
                allocations_left = -1;
                if (!failed) {
                        assert_int_equal(result, 0);
                        assert_true(n > 1);
                        free(text);
                        break;
                }
                assert_int_equal(result, -ENOMEM);
                assert_ptr_equal(text, untouched);
                assert_int_equal(size, 4711);
        }

        fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        assert_int_equal(fd, n_open); /* none was left open */
        (void) close(fd);
}

static int disarm(void **state) {
        allocations_left = -1;
        queue_is_full = failed = commits = false;
        queue_size = 0;
        return setup(state);
}

static int disarm_and_stop(void **state) {
        allocations_left = -1;
        queue_is_full = false;
        return teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, disarm, disarm_and_stop)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_script),
                TEST(test_script_with_commits),
                TEST(test_end_needs_nothing),
                TEST(test_new_and_list),
                TEST(test_set_error_and_origin),
                TEST(test_attributes),
                TEST(test_definition),
                TEST(test_failure),
                TEST(test_util),
                TEST(test_file_read),
        };

        return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}

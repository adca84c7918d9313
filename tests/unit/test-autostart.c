/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "registry-fixture.h"

#include "model/autostart.h"

/* One device, marked on Q and on Z and not on P, and what its autostart is told to do. */

static AutostartDevice a;

static int setup_marked(void **state) {
        int result = setup(state);

        a = (AutostartDevice){ .uuid = uuid };
        return result;
}

static int teardown_marked(void **state) {
        autostart_done(&a);
        return teardown(state);
}

static void define_on(const char *parent, bool autostart) {
        const Definition d = {
                .uuid = uuid, .parent = (char *) parent, .type = (char *) "t", .autostart = autostart
        };

        assert_int_equal(registry_observe_definition(r, &uuid, parent, &d, 0), 0);
}

static void parent_lives(const char *name, uint64_t life) {
        const ParentSighting s = {
                .name = (char *) name, .present = life != 0, .life = life, .numa_node = -1
        };

        assert_int_equal(registry_observe_parent(r, &s), 0);
}

static void offer(const char *parent, const char *type, uint32_t available) {
        Types types = { .types = calloc(1, sizeof *types.types), .n = 1 };

        types.types[0] = (Type){ strdup(type), strdup(""), strdup(""), strdup(""), available };
        assert_int_equal(registry_observe_types(r, parent, &types), 0);
}

static AutostartDecision decide(void) {
        return autostart_decide(r, registry_find(r, &uuid), &a);
}

static void assert_waits(Waiting waiting) {
        AutostartDecision d = decide();

        assert_int_equal(d.verdict, AUTOSTART_WAIT);
        assert_int_equal(d.waiting, waiting);
        assert_null(d.definition);
}

static void assert_starts_on(const char *parent) {
        AutostartDecision d = decide();

        assert_int_equal(d.verdict, AUTOSTART_START);
        assert_string_equal(d.definition->parent, parent);
}

static void attempt(const char *parent, AttemptResult result) {
        assert_int_equal(autostart_remember(&a, registry_find_parent(r, parent), result), 0);
}

static void test_step_by_step(void **state) {
        (void) state;

        define_on(Q, true);
        parent_lives(Q, 0);
        assert_waits(WAITING_PARENT);
        parent_lives(Q, 5);
        assert_int_equal(decide().verdict, AUTOSTART_UNDECIDED);
        offer(Q, "another", 9);
        assert_waits(WAITING_TYPE);
        offer(Q, "t", 0);
        assert_waits(WAITING_CAPACITY);
        offer(Q, "t", 1);
        assert_starts_on(Q);
}

static void test_over(void **state) {
        (void) state;

        define_on(P, false);
        offer(P, "t", 1);
        assert_int_equal(decide().verdict, AUTOSTART_OVER);

        define_on(P, true);
        assert_starts_on(P);
        (void) begin_modify();
        assert_int_equal(decide().verdict, AUTOSTART_BUSY);
        end(last_op);
        (void) begin_create();
        assert_int_equal(decide().verdict, AUTOSTART_BUSY);
        end_with(last_op, PRESENCE_PRESENT);
        assert_int_equal(decide().verdict, AUTOSTART_OVER);
        (void) begin_remove();
        assert_int_equal(decide().verdict, AUTOSTART_BUSY);
        end_with(last_op, PRESENCE_ORPHAN);
        assert_int_equal(decide().verdict, AUTOSTART_OVER);
        seen(PRESENCE_ARRIVING);
        assert_int_equal(decide().verdict, AUTOSTART_BUSY);
}

/* In order, the first that can; what is not marked is not tried, and what is not known yet is waited for. */
static void test_alternates(void **state) {
        (void) state;

        define_on(P, false);
        define_on(Q, true);
        define_on(Z, true);
        offer(P, "t", 1);
        offer(Z, "t", 1);
        assert_int_equal(decide().verdict, AUTOSTART_UNDECIDED);
        offer(Q, "t", 0);
        assert_starts_on(Z);
        offer(Q, "t", 1);
        assert_starts_on(Q);
        parent_lives(Q, 0);
        assert_starts_on(Z);

        /* Of two reasons, the one of a parent that is there. */
        offer(Z, "t", 0);
        assert_waits(WAITING_CAPACITY);
        parent_lives(Z, 0);
        assert_waits(WAITING_PARENT);
        parent_lives(Q, 7);
        offer(Q, "another", 1);
        assert_waits(WAITING_TYPE);
}

static void test_full(void **state) {
        (void) state;

        define_on(Q, true);
        offer(Q, "t", 2);
        attempt(Q, ATTEMPT_FULL); /* whatever it had said */
        assert_waits(WAITING_CAPACITY);
        offer(Q, "t", 1);
        assert_starts_on(Q);
        attempt(Q, ATTEMPT_FULL);
        parent_lives(Q, 0);
        parent_lives(Q, 3);
        offer(Q, "t", 1);
        assert_starts_on(Q);
}

/* One that says the same after it was full is believed once more, and no more often. */
static void test_full_for_a_moment(void **state) {
        (void) state;

        define_on(Q, true);
        offer(Q, "t", 1);
        attempt(Q, ATTEMPT_FULL);
        assert_waits(WAITING_CAPACITY);
        offer(Q, "t", 1);
        assert_starts_on(Q);
        attempt(Q, ATTEMPT_FULL);
        for (int i = 0; i < 3; i++) {
                offer(Q, "t", 1);
                assert_waits(WAITING_CAPACITY);
        }

        /* With other numbers it is another question, and it does not matter what is said in between. */
        offer(Q, "t", 2);
        assert_starts_on(Q);
        attempt(Q, ATTEMPT_FULL);
        offer(Q, "t", 2);
        attempt(Q, ATTEMPT_NOT_YET);
        attempt(Q, ATTEMPT_FULL);
        offer(Q, "t", 2);
        assert_waits(WAITING_CAPACITY);
}

static void test_failed(void **state) {
        (void) state;

        define_on(Q, true);
        define_on(Z, true);
        offer(Q, "t", 2);
        offer(Z, "t", 2);
        attempt(Q, ATTEMPT_FAILED);
        assert_starts_on(Z);
        attempt(Z, ATTEMPT_FAILED);
        assert_waits(WAITING_FAILED);
        offer(Q, "t", 1); /* is no change of circumstances */
        assert_waits(WAITING_FAILED);
        autostart_forget(&a);
        assert_starts_on(Q);

        attempt(Q, ATTEMPT_FAILED);
        attempt(Z, ATTEMPT_FAILED);
        parent_lives(Z, 0);
        parent_lives(Z, 9);
        offer(Z, "t", 2);
        assert_starts_on(Z);
}

static void test_not_yet(void **state) {
        (void) state;

        define_on(Q, true);
        offer(Q, "t", 2);
        assert_null(autostart_find(&a, Q));
        for (unsigned n = 1; n < 4; n++) {
                attempt(Q, ATTEMPT_NOT_YET);
                assert_int_equal(decide().verdict, AUTOSTART_UNDECIDED);
                assert_int_equal(autostart_find(&a, Q)->n_not_yet, n);
                autostart_find(&a, Q)->again = true;
                assert_starts_on(Q);
        }

        /* What it says of its types counts then as well. */
        offer(Q, "t", 0);
        assert_waits(WAITING_CAPACITY);
        offer(Q, "another", 1);
        assert_waits(WAITING_TYPE);
        offer(Q, "t", 1);
        assert_starts_on(Q);

        /* A new life, a new count. */
        parent_lives(Q, 0);
        parent_lives(Q, 2);
        offer(Q, "t", 2);
        assert_int_equal(autostart_find(&a, Q)->n_not_yet, 3);
        assert_int_equal(autostart_count_not_yet(&a, registry_find_parent(r, Q)), 0);
        attempt(Q, ATTEMPT_NOT_YET);
        assert_int_equal(autostart_find(&a, Q)->n_not_yet, 1);
        assert_int_equal(autostart_count_not_yet(&a, registry_find_parent(r, Q)), 1);
        attempt(Q, ATTEMPT_FAILED);
        assert_int_equal(autostart_find(&a, Q)->n_not_yet, 0);
}

static void test_outlook(void **state) {
        const Device *d;

        (void) state;

        define_on(Q, false);
        d = registry_find(r, &uuid);
        parent_lives(Q, 0);
        assert_int_equal(autostart_outlook(r, d), WAITING_NOT);
        define_on(Q, true);
        assert_int_equal(autostart_outlook(r, d), WAITING_PARENT);
        define_on(GONE, true);
        assert_int_equal(autostart_outlook(r, d), WAITING_PARENT);
        parent_lives(Q, 4);
        assert_int_equal(autostart_outlook(r, d), WAITING_NOT);
        parent_lives(Q, 0);
        seen(PRESENCE_PRESENT);
        assert_int_equal(autostart_outlook(r, d), WAITING_NOT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_marked, teardown_marked)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_step_by_step),
                TEST(test_over),
                TEST(test_alternates),
                TEST(test_full),
                TEST(test_full_for_a_moment),
                TEST(test_failed),
                TEST(test_not_yet),
                TEST(test_outlook),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

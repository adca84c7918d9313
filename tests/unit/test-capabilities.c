/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit.h"

#include "model/capabilities.h"

static void add(Capabilities *c, uint64_t fingerprint, const char *type, const char *script,
                uint32_t actions) {
        Capability item = { .actions = actions, .events = 1 };

        assert_int_equal(free_and_strdup(&item.type, type), 0);
        assert_int_equal(free_and_strdup(&item.script, script), 0);
        assert_int_equal(capabilities_add(c, fingerprint, &item), 0);
        assert_null(item.type);
        assert_null(item.script);
}

static void test_add_and_find(void **state) {
        _cleanup_(capabilities_done) Capabilities c = {};

        (void) state;

        assert_null(capabilities_find(&c, "t"));
        add(&c, 7, "t", "/s", 1);
        add(&c, 7, "u", NULL, 0);
        assert_string_equal(capabilities_find(&c, "t")->script, "/s");
        assert_null(capabilities_find(&c, "u")->script);
        assert_null(capabilities_find(&c, "v"));

        /* Found out twice: what came last holds. */
        add(&c, 7, "t", "/r", 3);
        assert_int_equal(c.n, 2);
        assert_string_equal(capabilities_find(&c, "t")->script, "/r");
        assert_int_equal(capabilities_find(&c, "t")->actions, 3);
}

static void test_another_fingerprint(void **state) {
        _cleanup_(capabilities_done) Capabilities c = {};

        (void) state;

        add(&c, 7, "t", "/s", 1);
        add(&c, 8, "u", NULL, 0);
        assert_null(capabilities_find(&c, "t"));
        assert_int_equal(c.n, 1);
        assert_true(c.fingerprint == 8);
}

static void test_bound(void **state) {
        _cleanup_(capabilities_done) Capabilities c = {};
        char type[16];

        (void) state;

        for (unsigned i = 0; i < 3 * CAPABILITIES_MAX; i++) {
                (void) snprintf(type, sizeof type, "t-%u", i);
                add(&c, 7, type, NULL, 0);
                assert_true(c.n <= CAPABILITIES_MAX);
                assert_non_null(capabilities_find(&c, type));
        }
}

static void test_copy(void **state) {
        _cleanup_(capabilities_done) Capabilities c = {}, copy = {};

        (void) state;

        assert_int_equal(capabilities_copy(&c, &copy), 0);
        assert_int_equal(copy.n, 0);
        add(&c, 7, "t", "/s", 5);
        add(&c, 7, "u", NULL, 0);
        assert_int_equal(capabilities_copy(&c, &copy), 0);
        assert_true(copy.fingerprint == 7);
        assert_int_equal(copy.n, 2);
        assert_string_equal(capabilities_find(&copy, "t")->script, "/s");
        assert_int_equal(capabilities_find(&copy, "t")->actions, 5);
        assert_null(capabilities_find(&copy, "u")->script);
}

static void test_words(void **state) {
        static const char *const actions[] = { "start", "stop", "define", "undefine", "modify", "attributes",
                "capabilities" };
        static const char *const events[] = { "pre", "post", "notify", "get", "live" };

        (void) state;

        assert_int_equal(ELEMENTSOF(actions), _SCRIPT_ACTION_MAX);
        assert_int_equal(ELEMENTSOF(events), _SCRIPT_EVENT_MAX);
        for (unsigned i = 0; i < ELEMENTSOF(actions); i++)
                assert_string_equal(script_action_to_string((ScriptAction) i), actions[i]);
        for (unsigned i = 0; i < ELEMENTSOF(events); i++)
                assert_string_equal(script_event_to_string((ScriptEvent) i), events[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_add_and_find),
                cmocka_unit_test(test_another_fingerprint),
                cmocka_unit_test(test_bound),
                cmocka_unit_test(test_copy),
                cmocka_unit_test(test_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

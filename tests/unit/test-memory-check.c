/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How long it is told that memory is short: with clocks of our own. */

#include "unit.h"

#include <time.h>

#include "base/memory.h"

#define SECOND (UINT64_C(1000) * 1000)
#define REAL (UINT64_C(1000) * SECOND) /* when the other clock began */

static uint64_t now = 100 * SECOND;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret) {
        uint64_t t = clock == CLOCK_REALTIME ? REAL + now : now;

        *ret = (struct timespec){ .tv_sec = (time_t) (t / SECOND), .tv_nsec = (long) (t % SECOND) * 1000 };
        return 0;
}

static void assert_short(uint64_t since, uint64_t ago) {
        uint64_t told_since, told_ago;

        assert_true(memory_is_short(&told_since, &told_ago));
        assert_int_equal(told_since, REAL + since);
        assert_int_equal(told_ago, ago);
}

static void assert_enough(void) {
        uint64_t since, ago;

        assert_false(memory_is_short(&since, &ago));
}

static void test_how_long(void **state _unused_) {
        uint64_t first, began;

        /* Nothing else is about memory. */
        assert_int_equal(memory_check(0), 0);
        assert_int_equal(memory_check(3), 3);
        assert_int_equal(memory_check(-EIO), -EIO);
        assert_enough();

        /* As long as nothing shows that there is some, even for ever; since the first time. */
        first = began = now;
        assert_int_equal(memory_check(-ENOMEM), -ENOMEM);
        now += 1000 * SECOND;
        assert_short(first, 1000 * SECOND);
        assert_int_equal(memory_check(-ENOMEM), -ENOMEM);
        now += 1;
        assert_short(first, 1);

        /* What had begun before needed none any more. */
        now += 100 * SECOND;
        memory_sufficed(began);
        assert_short(first, 100 * SECOND + 1);
        memory_sufficed(now);
        assert_enough();

        /* What comes and goes goes on. */
        first = now += SECOND;
        for (int i = 0; i < 10; i++) {
                (void) memory_check(-ENOMEM);
                now += 5 * SECOND;
                memory_sufficed(now);
                now += 5 * SECOND - 1;
                assert_short(first, 10 * SECOND - 1);
        }
        now += 1;
        assert_enough();

        /* Another time is another trouble. */
        first = now += SECOND;
        (void) memory_check(-ENOMEM);
        assert_short(first, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_how_long) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

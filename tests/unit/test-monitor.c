/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unit.h"

#include "host/monitor.h"
#include "model/name.h"

#define UUID "00112233-4455-6677-8899-aabbccddeeff"

static void test_classify(void **state) {
        static const struct {
                const char *subsystem, *sysname;
                MonitorEventKind kind;
        } cases[] = {
                { "mdev", UUID, MONITOR_DEVICE },
                { "mdev", "00112233-4455-6677-8899-AABBCCDDEEFF", MONITOR_NOTHING },
                { "mdev", "00112233445566778899aabbccddeeff", MONITOR_NOTHING },
                { "mdev", "no-uuid", MONITOR_NOTHING },
                { "mdev", "", MONITOR_NOTHING },
                { "mdev", NULL, MONITOR_NOTHING },
                { "pci", "0000:3b:00.0", MONITOR_PARENT },
                { "css", "0.0.0123", MONITOR_PARENT },
                { "matrix", "matrix", MONITOR_PARENT },
                { "mtty", "mtty", MONITOR_PARENT },
                { NULL, "mtty", MONITOR_PARENT },
                { "mdev_bus", UUID, MONITOR_PARENT },
                { "", UUID, MONITOR_PARENT },
                { "pci", NULL, MONITOR_NOTHING },
                { "pci", "", MONITOR_NOTHING },
                { "pci", "..", MONITOR_NOTHING },
                { "pci", "a/b", MONITOR_NOTHING },
                { "pci", "a\nb", MONITOR_NOTHING },
                { "pci", "\xff", MONITOR_NOTHING },
                { "pci", "scripts.d", MONITOR_NOTHING },
                { NULL, NULL, MONITOR_NOTHING },
        };
        Uuid uuid;

        (void) state;

        assert_int_equal(uuid_from_text(UUID, &uuid), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                MonitorEvent event;

                memset(&event, 0xaa, sizeof event);
                monitor_classify(cases[i].subsystem, cases[i].sysname, &event);
                if (event.kind != cases[i].kind)
                        fail_msg("%s %s: %d", cases[i].subsystem, cases[i].sysname, event.kind);
                if (event.kind == MONITOR_DEVICE)
                        assert_true(uuid_equal(&event.uuid, &uuid));
                if (event.kind == MONITOR_PARENT)
                        assert_string_equal(event.name, cases[i].sysname);
        }
}

static void test_longest_name(void **state) {
        char name[NAME_LENGTH_MAX + 2];
        MonitorEvent event;

        (void) state;

        memset(name, 'x', sizeof name);
        name[NAME_LENGTH_MAX + 1] = '\0';
        monitor_classify("pci", name, &event);
        assert_int_equal(event.kind, MONITOR_NOTHING);
        name[NAME_LENGTH_MAX] = '\0';
        monitor_classify("pci", name, &event);
        assert_int_equal(event.kind, MONITOR_PARENT);
        assert_string_equal(event.name, name);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_classify),
                cmocka_unit_test(test_longest_name),
        };

        return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}

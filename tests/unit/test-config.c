/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <sys/stat.h>

#include "unit.h"

#include "base/file.h"
#include "host/config.h"

/* Problems as "line:problem;", in the order in which they are told. */
static void note_problem(const char *path, unsigned line, const char *problem, void *userdata) {
        assert_non_null(path);
        sprintf(strchr(userdata, '\0'), "%u:%s;", line, problem);
}

typedef struct Row {
        const char *text;
        uint32_t devices_max, calls_per_client_max; /* 0: the default */
        const char *problems;
} Row;

#define NO_OPTION "there is no such option in this section;"
#define NO_ASSIGNMENT "neither a section nor an assignment;"

static const Row rows[] = {
        { "", 0, 0, "" },
        { "\n\n# comment\n; comment\n   \n", 0, 0, "" },
        { "[Limits]\nDevicesMax=5\n", 5, 0, "" },
        { "[Limits]\nDevicesMax=5", 5, 0, "" },
        { "  [Limits]  \r\n\t DevicesMax \t=  5 \r\n", 5, 0, "" },
        { "[Limits]\nDevicesMax=5\nCallsPerClientMax=7\n", 5, 7, "" },
        { "[Limits]\nDevicesMax=5\nDevicesMax=6\n", 6, 0, "" },
        { "[Limits]\nDevicesMax=5\nDevicesMax=\n", 0, 0, "" },
        { "DevicesMax=5\n", 0, 0, "1:" NO_OPTION },
        { "[Other]\nDevicesMax=5\n[Limits]\nDevicesMax=6\n", 6, 0,
                        "1:there is no such section;2:" NO_OPTION },
        { "[Limits]\nColour=blue\nDevicesMax=6\n", 6, 0, "2:" NO_OPTION },
        { "[Limits]\ndevicesmax=5\n", 0, 0, "2:" NO_OPTION },
        { "[Limits\nDevicesMax=5\n", 0, 0, "1:" NO_ASSIGNMENT "2:" NO_OPTION },
        { "[Limits]\nDevicesMax\n", 0, 0, "2:" NO_ASSIGNMENT },
        { "[Limits]\nDevicesMax=0\n", 0, 0, "2:out of range;" },
        { "[Limits]\nDevicesMax=10000001\n", 0, 0, "2:out of range;" },
        { "[Limits]\nDevicesMax=99999999999999999999999\n", 0, 0, "2:not a number;" },
        { "[Limits]\nDevicesMax=-1\n", 0, 0, "2:not a number;" },
        { "[Limits]\nDevicesMax=+1\n", 0, 0, "2:not a number;" },
        { "[Limits]\nDevicesMax=5k\n", 0, 0, "2:not a number;" },
        { "[Limits]\nDevicesMax=five\n", 0, 0, "2:not a number;" },
        { "=\n[]\n", 0, 0, "1:" NO_OPTION "2:there is no such section;" },
};

static void test_parse(void **state) {
        const Config defaults = CONFIG_DEFAULT;

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *text = strdup(rows[i].text);
                Config config = CONFIG_DEFAULT, expected = CONFIG_DEFAULT;
                char problems[1024] = "";

                expected.devices_max = rows[i].devices_max ?: defaults.devices_max;
                expected.calls_per_client_max = rows[i].calls_per_client_max ?: defaults.calls_per_client_max;

                config_parse(text, "file", &config, note_problem, problems);
                assert_string_equal(problems, rows[i].problems);
                assert_memory_equal(&config, &expected, sizeof config);
        }
}

/* Each option changes its own field and no other. */
static void test_every_option(void **state) {
        static const struct {
                const char *section, *key;
        } keys[] = {
                { "Limits", "DevicesMax" },
                { "Limits", "OperationsMax" },
                { "Limits", "CreationsPerDriverMax" },
                { "Limits", "OperationsQueuedMax" },
                { "Limits", "CallsPerClientMax" },
                { "Limits", "AuthorizationsMax" },
                { "Limits", "AuthorizationsPerUserMax" },
                { "CallOuts", "TimeoutSec" },
        };

        (void) state;

        assert_int_equal(sizeof(Config), ELEMENTSOF(keys) * sizeof(uint32_t));
        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                uint32_t values[ELEMENTSOF(keys)], defaults[ELEMENTSOF(keys)];
                char text[128], problems[256] = "";
                Config config = CONFIG_DEFAULT;

                memcpy(defaults, &config, sizeof defaults);
                sprintf(text, "[%s]\n%s=3\n", keys[i].section, keys[i].key);
                config_parse(text, "file", &config, note_problem, problems);
                assert_string_equal(problems, "");
                memcpy(values, &config, sizeof values);
                for (size_t k = 0; k < ELEMENTSOF(keys); k++)
                        assert_int_equal(values[k], k == i ? 3 : defaults[k]);
        }
}

static void write_file(int dir_fd, const char *name, const char *text) {
        _cleanup_(closep) int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void test_load(void **state) {
        char directory[] = "/tmp/test-config-XXXXXX", command[64], problems[1024] = "";
        _cleanup_(closep) int root_fd = -EBADF;
        Config config = CONFIG_DEFAULT;
        const Config defaults = CONFIG_DEFAULT;

        (void) state;

        assert_non_null(mkdtemp(directory));
        root_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(root_fd >= 0);

        /* Nothing there is not a problem. */
        assert_int_equal(config_load(root_fd, &config, note_problem, problems), 0);
        assert_memory_equal(&config, &defaults, sizeof config);

        assert_int_equal(mkdirat(root_fd, "etc", 0755), 0);
        assert_int_equal(mkdirat(root_fd, "etc/mdevd", 0755), 0);
        assert_int_equal(mkdirat(root_fd, "etc/mdevd/mdevd.conf.d", 0755), 0);
        write_file(root_fd, "etc/mdevd/mdevd.conf",
                        "[Limits]\nDevicesMax=1\nOperationsMax=1\nAuthorizationsMax=1\n");
        write_file(root_fd, "etc/mdevd/mdevd.conf.d/20-b.conf", "[Limits]\nDevicesMax=3\n");
        write_file(root_fd, "etc/mdevd/mdevd.conf.d/10-a.conf", "[Limits]\nDevicesMax=2\nOperationsMax=2\n");
        write_file(root_fd, "etc/mdevd/mdevd.conf.d/30-c.conf~", "[Limits]\nDevicesMax=4\n");
        write_file(root_fd, "etc/mdevd/mdevd.conf.d/.40-d.conf", "[Limits]\nDevicesMax=5\n");
        assert_int_equal(mkfifoat(root_fd, "etc/mdevd/mdevd.conf.d/15-fifo.conf", 0644), 0);

        assert_int_equal(config_load(root_fd, &config, note_problem, problems), 0);
        assert_int_equal(config.devices_max, 3);
        assert_int_equal(config.operations_max, 2);
        assert_int_equal(config.authorizations_max, 1);
        assert_string_equal(problems, "0:Operation not supported;");

        /* Where files are links: one that is turned off, one that lies elsewhere, one that leads nowhere. */
        problems[0] = '\0';
        assert_int_equal(unlinkat(root_fd, "etc/mdevd/mdevd.conf.d/15-fifo.conf", 0), 0);
        assert_int_equal(unlinkat(root_fd, "etc/mdevd/mdevd.conf.d/20-b.conf", 0), 0);
        assert_int_equal(symlinkat("/dev/null", root_fd, "etc/mdevd/mdevd.conf.d/20-b.conf"), 0);
        write_file(root_fd, "elsewhere", "[Limits]\nOperationsMax=7\n");
        assert_int_equal(symlinkat("../../../elsewhere", root_fd, "etc/mdevd/mdevd.conf.d/25-l.conf"), 0);
        assert_int_equal(symlinkat("nowhere", root_fd, "etc/mdevd/mdevd.conf.d/26-n.conf"), 0);
        assert_int_equal(config_load(root_fd, &config, note_problem, problems), 0);
        assert_int_equal(config.devices_max, 2);
        assert_int_equal(config.operations_max, 7);
        assert_string_equal(problems, "0:No such file or directory;");

        sprintf(command, "rm -r %s", directory);
        assert_int_equal(system(command), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_every_option),
                cmocka_unit_test(test_load),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

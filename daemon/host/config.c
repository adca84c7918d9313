/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sections in brackets, Key=Value, comments behind # or ; at the beginning of a line. An option is a row of
 * the table below; a value that is empty means the default. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "host/config.h"

#define CONFIG_FILE "etc/mdevd/mdevd.conf"
#define CONFIG_DIRECTORY "etc/mdevd/mdevd.conf.d"
#define CONFIG_FILE_MAX 65536U

static const struct {
        const char *section, *key;
        size_t offset; /* of a uint32_t in Config */
        uint32_t min, max;
} options[] = {
        { "Limits", "DevicesMax", offsetof(Config, devices_max), 1, 10000000 },
        { "Limits", "OperationsMax", offsetof(Config, operations_max), 1, 4096 },
        { "Limits", "CreationsPerDriverMax", offsetof(Config, creations_per_driver_max), 1, 4096 },
        { "Limits", "OperationsQueuedMax", offsetof(Config, operations_queued_max), 1, 1000000 },
        { "Limits", "CallsPerClientMax", offsetof(Config, calls_per_client_max), 1, 1000000 },
        { "Limits", "AuthorizationsMax", offsetof(Config, authorizations_max), 1, 65536 },
        { "Limits", "AuthorizationsPerUserMax", offsetof(Config, authorizations_per_user_max), 1, 65536 },
        { "CallOuts", "TimeoutSec", offsetof(Config, script_timeout_sec), 1, 86400 },
};

static char *strip(char *s) {
        size_t n;

        s += strspn(s, " \t\r");
        n = strlen(s);
        while (n > 0 && strchr(" \t\r", s[n - 1]))
                s[--n] = '\0';
        return s;
}

/* Return: NULL, or what is wrong. */
static const char *set_option(size_t i, const char *value, Config *config) {
        static const Config defaults = CONFIG_DEFAULT;
        unsigned long long number;
        uint32_t v;
        char *end;

        if (value[0] == '\0')
                memcpy(&v, (const char *) &defaults + options[i].offset, sizeof v);
        else {
                errno = 0;
                number = strtoull(value, &end, 10);
                if (errno != 0 || *end != '\0' || value[0] < '0' || value[0] > '9')
                        return "not a number";
                if (number < options[i].min || number > options[i].max)
                        return "out of range";
                v = (uint32_t) number;
        }

        memcpy((char *) config + options[i].offset, &v, sizeof v);
        return NULL;
}

static const char *parse_assignment(const char *section, char *line, Config *config) {
        char *equals = strchr(line, '=');
        const char *key, *value;

        if (!equals)
                return "neither a section nor an assignment";
        *equals = '\0';
        key = strip(line);
        value = strip(equals + 1);

        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                if (streq(options[i].section, section) && streq(options[i].key, key))
                        return set_option(i, value, config);

        return "there is no such option in this section";
}

static bool section_is_known(const char *section) {
        for (size_t i = 0; i < ELEMENTSOF(options); i++)
                if (streq(options[i].section, section))
                        return true;

        return false;
}

void config_parse(char *text, const char *path, Config *config, ConfigProblemFn problem, void *userdata) {
        const char *section = "";
        unsigned number = 0;

        for (char *next = text, *line; (line = strsep(&next, "\n"));) {
                const char *wrong = NULL;
                size_t n;

                number++;
                line = strip(line);
                n = strlen(line);
                if (n == 0 || strchr("#;", line[0]))
                        continue;

                if (line[0] == '[' && line[n - 1] == ']') {
                        line[n - 1] = '\0';
                        section = line + 1;
                        if (!section_is_known(section))
                                wrong = "there is no such section";
                } else
                        wrong = parse_assignment(section, line, config);

                if (wrong)
                        problem(path, number, wrong, userdata);
        }
}

/* Whether there is none: a link to /dev/null is none, as everywhere in systemd's world, but one that leads
 * nowhere is a mistake. */
static bool is_none(int root_fd, const char *path, int error) {
        struct stat st;

        if (error == -ENOENT)
                return fstatat(root_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0;
        return fstatat(root_fd, path, &st, 0) >= 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

static int load_file(int root_fd, const char *path, Config *config, ConfigProblemFn problem, void *userdata) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        r = file_read_linked_at(root_fd, path, CONFIG_FILE_MAX, &text, &size);
        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                config_parse(text, path, config, problem, userdata);
        else if (!is_none(root_fd, path, r))
                problem(path, 0, strerror(-r), userdata);
        return 0;
}

static int is_drop_in(const struct dirent *entry) {
        size_t n = strlen(entry->d_name);

        return entry->d_name[0] != '.' && n > 5 && streq(entry->d_name + n - 5, ".conf");
}

int config_load(int root_fd, Config *config, ConfigProblemFn problem, void *userdata) {
        struct dirent **entries = NULL;
        int n, r;

        r = load_file(root_fd, CONFIG_FILE, config, problem, userdata);
        if (r < 0)
                return r;

        n = scandirat(root_fd, CONFIG_DIRECTORY, &entries, is_drop_in, alphasort);
        for (int i = 0; i < n; i++) {
                char path[sizeof CONFIG_DIRECTORY + 1 + sizeof entries[i]->d_name];

                if (r >= 0 && snprintf(path, sizeof path, "%s/%s", CONFIG_DIRECTORY, entries[i]->d_name) > 0)
                        r = load_file(root_fd, path, config, problem, userdata);
                free(entries[i]);
        }
        free(entries);
        return r;
}

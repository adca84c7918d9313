/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The configuration file: whatever it says every value is one to work with; a line that is complained about
 * does nothing, so the file without such lines means the same and nobody complains; what is set can be
 * written down and read again. */

#include "fuzz/fuzz.h"
#include "host/config.h"

#define LINES_MAX 512U

typedef struct Complaints {
        unsigned lines[LINES_MAX];
        unsigned n, last;
} Complaints;

static const char path[] = "the file";

static void complain(const char *where, unsigned line, const char *problem, void *userdata) {
        Complaints *c = userdata;

        ASSERT(where == path && problem[0] != '\0');
        ASSERT(line > c->last);
        c->last = line;
        if (c->n < LINES_MAX)
                c->lines[c->n++] = line;
}

static void no_complaint(const char *where _unused_, unsigned line _unused_, const char *problem _unused_,
                void *userdata _unused_) {
        ASSERT(!"a line that was understood before");
}

static void check(const Config *c) {
        ASSERT(c->devices_max >= 1 && c->devices_max <= 10000000);
        ASSERT(c->operations_max >= 1 && c->operations_max <= 4096);
        ASSERT(c->creations_per_driver_max >= 1 && c->creations_per_driver_max <= 4096);
        ASSERT(c->operations_queued_max >= 1 && c->operations_queued_max <= 1000000);
        ASSERT(c->calls_per_client_max >= 1 && c->calls_per_client_max <= 1000000);
        ASSERT(c->authorizations_max >= 1 && c->authorizations_max <= 65536);
        ASSERT(c->authorizations_per_user_max >= 1 && c->authorizations_per_user_max <= 65536);
        ASSERT(c->script_timeout_sec >= 1 && c->script_timeout_sec <= 86400);
}

static bool equal(const Config *a, const Config *b) {
        return memcmp(a, b, sizeof *a) == 0; /* numbers of one size, no padding */
}

static void write_down(const Config *c, char *ret, size_t size) {
        int n = snprintf(ret, size,
                        "[Limits]\nDevicesMax=%u\nOperationsMax = %u\n CreationsPerDriverMax=%u\r\n"
                        "OperationsQueuedMax=%u\n# CallsPerClientMax=1\nCallsPerClientMax=%u\n"
                        "AuthorizationsMax=%u\nAuthorizationsPerUserMax=\t%u\n[CallOuts]\nTimeoutSec=%u",
                        c->devices_max, c->operations_max, c->creations_per_driver_max,
                        c->operations_queued_max, c->calls_per_client_max, c->authorizations_max,
                        c->authorizations_per_user_max, c->script_timeout_sec);

        ASSERT(n > 0 && (size_t) n < size);
}

/* A line that nobody complains about is blank, a comment, a section or sets a number, by a simple mind. */
static void check_line(const char *line) {
        const char *value;

        line += strspn(line, " \t\r");
        if (strchr("#;[", line[0]))
                return;
        value = strchr(line, '=');
        ASSERT(value);
        value += 1 + strspn(value + 1, " \t\r");
        value += strspn(value, "0123456789");
        ASSERT(value[strspn(value, " \t\r")] == '\0');
}

/* In place. */
static void drop_lines(char *text, const Complaints *c) {
        unsigned number = 0, i = 0;
        char *to = text;

        for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
                size_t n = strlen(line);

                number++;
                if (i < c->n && c->lines[i] == number) {
                        i++;
                        continue;
                }
                check_line(line);
                memmove(to, line, n);
                to += n;
                if (rest)
                        *to++ = '\n';
        }
        *to = '\0';
        ASSERT(i == c->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(freep) char *text = fuzz_text(data, size), *less = fuzz_text(data, size);
        Config config = CONFIG_DEFAULT, again = CONFIG_DEFAULT;
        Complaints complaints = {};
        char written[512];

        config_parse(text, path, &config, complain, &complaints);
        check(&config);

        write_down(&config, written, sizeof written);
        config_parse(written, path, &again, no_complaint, NULL);
        ASSERT(equal(&config, &again));

        if (complaints.n == LINES_MAX)
                return 0;
        drop_lines(less, &complaints);
        again = CONFIG_DEFAULT;
        config_parse(less, path, &again, no_complaint, NULL);
        ASSERT(equal(&config, &again));
        return 0;
}

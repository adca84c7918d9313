/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One vector of fields per line, handed to sd_journal_sendv(). The journal is used only if standard error is
 * its stream ($JOURNAL_STREAM names the same inode, as systemd documents it): a daemon started by hand then
 * logs where the person who started it looks. */

#define SD_JOURNAL_SUPPRESS_LOCATION

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <systemd/sd-journal.h>

#include "base/log.h"

#define FIELDS_MAX 24U
#define LINE_BYTES_MAX 8192U

static int log_max_level = LOG_INFO;
static bool log_to_journal;
static bool log_to_terminal;

static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
                return false;

        return fstat(STDERR_FILENO, &st) >= 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(int max_level) {
        log_max_level = max_level;
        log_to_journal = stderr_is_journal();
        log_to_terminal = isatty(STDERR_FILENO);
}

bool log_enabled(int level) {
        return level <= log_max_level;
}

/* Owns the strings of one line. Fields that do not fit or cannot be allocated are left out. */
typedef struct Line {
        struct iovec iov[FIELDS_MAX];
        int n;
} Line;

static void line_add(Line *line, const char *format, ...) _printf_(2, 3);

static void line_add(Line *line, const char *format, ...) {
        va_list ap;
        char *s;
        int n;

        if (line->n >= (int) FIELDS_MAX)
                return;

        va_start(ap, format);
        n = vasprintf(&s, format, ap);
        va_end(ap);
        if (n < 0)
                return;

        line->iov[line->n++] = (struct iovec){ .iov_base = s, .iov_len = (size_t) n };
}

static void line_done(Line *line) {
        for (int i = 0; i < line->n; i++)
                free(line->iov[i].iov_base);
}

void log_full(int level, int error, const char *message_id, const LogField *fields, const char *file,
                int line_number, const char *function, const char *format, ...) {
        _cleanup_(line_done) Line line = {};
        char message[LINE_BYTES_MAX];
        int saved = errno;
        va_list ap;

        if (!log_enabled(level))
                return;

        va_start(ap, format);
        (void) vsnprintf(message, sizeof message, format, ap);
        va_end(ap);

        if (!log_to_journal) {
                if (log_to_terminal)
                        (void) dprintf(STDERR_FILENO, "%s\n", message);
                else
                        (void) dprintf(STDERR_FILENO, "<%d>%s\n", level, message);
                errno = saved;
                return;
        }

        line_add(&line, "MESSAGE=%s", message);
        line_add(&line, "PRIORITY=%d", level);
        line_add(&line, "CODE_FILE=%s", file);
        line_add(&line, "CODE_LINE=%d", line_number);
        line_add(&line, "CODE_FUNC=%s", function);
        if (error != 0)
                line_add(&line, "ERRNO=%d", error);
        if (message_id)
                line_add(&line, "MESSAGE_ID=%s", message_id);
        for (const LogField *f = fields; f && f->name; f++)
                if (!isempty(f->value))
                        line_add(&line, "%s=%s", f->name, f->value);

        (void) sd_journal_sendv(line.iov, line.n);
        errno = saved;
}

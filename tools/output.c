/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>
#include <stdarg.h>
#include <stdio_ext.h>

#include "tools/output.h"

void output_start(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
                        /* The lowest number is taken; and in the wrong direction, so that use is an error. */
                        (void) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int output_finish(int status) {
        bool failed = ferror(stdout);

        errno = 0;
        if (fclose(stdout) == 0 && !failed)
                return status;

        (void) complain(-EIO, "The result could not be written: %s", strerror(errno > 0 ? errno : EIO));
        return EXIT_FAILURE;
}

int complain(int error, const char *format, ...) {
        va_list ap;

        fputs("Error: ", stderr);
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
        return error;
}

int output_new_uuid(const char *uuid, const char *done) {
        int r;

        if (printf("%s\n", uuid) >= 0 && fflush(stdout) == 0)
                return 0;

        r = errno > 0 ? -errno : -EIO;
        clearerr(stdout);
        __fpurge(stdout);
        return complain(r, "Device %s has been %s, but its UUID could not be written to stdout: %s", uuid,
                        done, strerror(-r));
}

/* JSON */

static void begin_line(Json *j) {
        fputc('\n', j->file);
        for (unsigned i = 0; i < j->depth; i++)
                fputs("  ", j->file);
}

/* Whatever comes before an element: nothing behind its key, else a comma and a new line. */
static void begin_element(Json *j) {
        if (j->is_keyed) {
                j->is_keyed = false;
                return;
        }

        if (j->is_filled)
                fputc(',', j->file);
        if (j->depth > 0)
                begin_line(j);
        j->is_filled = true;
}

void json_open(Json *j, char bracket) {
        begin_element(j);
        fputc(bracket, j->file);
        j->depth++;
        j->is_filled = false;
}

void json_close(Json *j, char bracket) {
        j->depth--;
        if (j->is_filled)
                begin_line(j);
        fputc(bracket, j->file);
        j->is_filled = true;
}

static void write_string(FILE *f, const char *s) {
        static const char escapes[] = {
                ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'
        };

        fputc('"', f);
        for (; *s; s++) {
                unsigned char c = (unsigned char) *s;

                if (c < sizeof escapes && escapes[c])
                        fprintf(f, "\\%c", escapes[c]);
                else if (c < 0x20)
                        fprintf(f, "\\u%04x", c);
                else if (c == '"' || c == '\\')
                        fprintf(f, "\\%c", c);
                else
                        fputc(c, f);
        }
        fputc('"', f);
}

void json_key(Json *j, const char *key) {
        begin_element(j);
        write_string(j->file, key);
        fputs(": ", j->file);
        j->is_keyed = true;
}

void json_string(Json *j, const char *value) {
        begin_element(j);
        write_string(j->file, value);
}

void json_number(Json *j, uint32_t value) {
        begin_element(j);
        fprintf(j->file, "%u", value);
}

void json_word(Json *j, const char *word) {
        begin_element(j);
        fputs(word, j->file);
}

void json_pair(Json *j, const char *key, const char *value) {
        json_key(j, key);
        json_string(j, value);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Structured logging to the journal; knows key/value pairs and nothing about mdevs.
 *
 * Where standard error is the journal's own stream, entries go to the journal with all their fields.
 * Elsewhere (a terminal, a test) the sentence alone goes to standard error, with a <N> priority prefix if it
 * is no terminal. Nothing here fails or waits for long: a line that the journal does not take is kept, 64 KiB
 * of them at most; more are lost, and when it takes lines again it is told how many. No memory is asked for.
 */

#include <stdint.h>
#include <syslog.h>

#include "base/util.h"

typedef struct LogField {
        const char *name;  /* a journal field's name, e.g. "MDEVD_UUID"; NULL ends a list */
        const char *value; /* borrowed; fields without a value are left out */
} LogField;

/* Must be called once, before the first line. @max_level: the least important level that is still written. */
void log_open(int max_level);

/* Told, after each line, that there are some which the journal does not have. */
typedef void (*LogWake)(void *userdata);

/* From now on lines for the journal that are no warnings are held until log_flush(), as far as there is room;
 * a warning is sent at once, after those before it. @wake: NULL holds no more. A program that is killed loses
 * what it holds, so that should be little, and soon over. */
void log_hold(LogWake wake, void *userdata);

/* What the journal does not take now is kept: log_refused() says whether there is something. */
void log_flush(void);

bool log_enabled(int level);

/* How many lines wait, or are lost, because the journal does not take them, and if there are any since when,
 * in microseconds of CLOCK_REALTIME. @ret_since_usec: may be NULL. */
unsigned log_refused(uint64_t *ret_since_usec);

/* @error: an errno (either sign) to be told as the journal field ERRNO, 0 for none. @message_id: 32 hex
 * digits of api/mdevd-messages.h, or NULL. @fields: ended by a NULL name, or NULL. */
void log_full(int level, int error, const char *message_id, const LogField *fields, const char *file,
                int line, const char *function, const char *format, ...) _printf_(8, 9);

#define log_event(level, message_id, fields, ...) \
        log_full((level), 0, (message_id), (fields), __FILE__, __LINE__, __func__, __VA_ARGS__)

/* Logs, and is the error as a negative errno, for "return log_error_errno(r, …)". */
#define log_errno(level, error, ...)                                                          \
        ({                                                                                    \
                int _e = abs(error);                                                          \
                log_full((level), _e, NULL, NULL, __FILE__, __LINE__, __func__, __VA_ARGS__); \
                -_e;                                                                          \
        })

#define log_error_errno(error, ...) log_errno(LOG_ERR, error, __VA_ARGS__)
#define log_warning_errno(error, ...) log_errno(LOG_WARNING, error, __VA_ARGS__)
#define log_debug_errno(error, ...) log_errno(LOG_DEBUG, error, __VA_ARGS__)

#define log_plain(level, ...) log_event((level), NULL, NULL, __VA_ARGS__)
#define log_error(...) log_plain(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_plain(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_plain(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_plain(LOG_DEBUG, __VA_ARGS__)

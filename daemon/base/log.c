/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One datagram of fields per line, in the journal's own protocol. The journal is used only if standard error
 * is its stream ($JOURNAL_STREAM names the same inode, as systemd documents it): a daemon started by hand
 * then logs where the person who started it looks.
 *
 * Not sd_journal_sendv(3), which waits for as long as the journal is stuck, and the daemon with it: here a
 * moment is waited for a journal that is just busy, and after that no more until it has taken all there is.
 * What it does not take is kept, as far as there is room. Nor is any memory needed that may not be there.
 *
 * A line wakes the journal, which takes the processor from whoever is at an operation just then: on a machine
 * with few of them that costs the operation more than all that is its own. So lines can be held for a moment.
 */

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "base/log.h"

#define LINE_BYTES_MAX 8192U
#define ENTRY_BYTES_MAX (3U * LINE_BYTES_MAX)

/* Less than anybody notices who waits for an answer, and long for a journal that is alive. */
#define PATIENCE_USEC (250 * 1000)

#define HELD_BYTES_MAX (64U * 1024)

static int log_max_level = LOG_INFO;
static bool log_to_journal;
static bool log_to_terminal;
static int journal_fd = -EBADF;

/* Lines that are held: of each its size, then its text. */
static char held[HELD_BYTES_MAX];
static size_t held_size;
static unsigned n_held;
static LogWake held_wake;
static void *held_userdata;

static unsigned n_lost;          /* after those that are held */
static uint64_t refused_at_usec; /* 0: the journal took the last it was offered */

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
        if (!log_to_journal || journal_fd >= 0)
                return;

        journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        (void) setsockopt(journal_fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ .tv_usec = PATIENCE_USEC },
                        sizeof(struct timeval));
}

bool log_enabled(int level) {
        return level <= log_max_level;
}

unsigned log_refused(uint64_t *ret_since_usec) {
        if (refused_at_usec == 0)
                return 0;
        if (ret_since_usec)
                *ret_since_usec = refused_at_usec;
        return n_held + n_lost;
}

/* What is sent for one line. Fields that do not fit are left out. */
typedef struct Entry {
        char text[ENTRY_BYTES_MAX];
        size_t size;
} Entry;

static void entry_add(Entry *e, const char *name, const char *format, ...) _printf_(3, 4);

/* NAME=value, or if there is more than one line in the value, NAME, its size, and the value. */
static void entry_add(Entry *e, const char *name, const char *format, ...) {
        size_t name_size = strlen(name), head = name_size + 1 + sizeof(uint64_t);
        char *p = e->text + e->size, *value = p + head;
        uint64_t size;
        va_list ap;
        int n;

        if (e->size + head + 2 > sizeof e->text)
                return;
        va_start(ap, format);
        n = vsnprintf(value, sizeof e->text - e->size - head - 1, format, ap);
        va_end(ap);
        if (n < 0 || (size_t) n >= sizeof e->text - e->size - head - 1)
                return;

        p = mempcpy(p, name, name_size);
        if (memchr(value, '\n', (size_t) n)) {
                *p++ = '\n';
                size = htole64((uint64_t) n);
                p = mempcpy(p, &size, sizeof size);
        } else {
                *p++ = '=';
                memmove(p, value, (size_t) n);
        }
        p += n;
        *p++ = '\n';
        e->size = (size_t) (p - e->text);
}

static bool journal_send(const char *text, size_t size, bool wait) {
        static const struct sockaddr_un journal = { .sun_family = AF_UNIX,
                .sun_path = "/run/systemd/journal/socket" };
        int flags = MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT);

        return sendto(journal_fd, text, size, flags, (const struct sockaddr *) &journal, sizeof journal) >= 0;
}

static uint64_t now_usec(clockid_t clock) {
        struct timespec t = {};

        (void) clock_gettime(clock, &t);
        return (uint64_t) t.tv_sec * 1000 * 1000 + (uint64_t) t.tv_nsec / 1000;
}

/* Return: how many bytes of the held lines the journal took. */
static size_t send_held(void) {
        uint64_t began = now_usec(CLOCK_MONOTONIC);
        size_t sent = 0, size;

        for (; sent < held_size; n_held--, sent += sizeof size + size) {
                bool wait = refused_at_usec == 0 && now_usec(CLOCK_MONOTONIC) - began < PATIENCE_USEC;

                memcpy(&size, held + sent, sizeof size);
                if (journal_send(held + sent + sizeof size, size, wait))
                        continue;
                /* Such a line would hold up the others for ever. */
                if (errno != EMSGSIZE)
                        break;
                n_lost++;
        }
        return sent;
}

/* Before the first line that the journal takes again it is told how many it did not. */
static bool tell_lost(void) {
        Entry entry = {};

        if (n_lost == 0)
                return true;
        entry_add(&entry, "MESSAGE", "Lines lost before this one, because the journal did not take them: %u.",
                        n_lost);
        entry_add(&entry, "PRIORITY", "%d", LOG_WARNING);
        if (!journal_send(entry.text, entry.size, false))
                return false;
        n_lost = 0;
        return true;
}

void log_flush(void) {
        int saved = errno;
        size_t sent;

        sent = send_held();
        (void) memmove(held, held + sent, held_size - sent);
        held_size -= sent;
        if (held_size == 0 && tell_lost())
                refused_at_usec = 0;
        else if (refused_at_usec == 0)
                refused_at_usec = now_usec(CLOCK_REALTIME);
        errno = saved;
}

void log_hold(LogWake wake, void *userdata) {
        log_flush();
        held_wake = wake;
        held_userdata = userdata;
}

/* Behind one that is lost all are, so that what was told is in order. */
static bool has_room(size_t size) {
        return n_lost == 0 && held_size + sizeof size + size <= sizeof held;
}

static void line_hold(const char *text, size_t size) {
        char *p;

        if (!has_room(size))
                log_flush();
        if (!has_room(size)) {
                n_lost++;
                return;
        }
        p = mempcpy(held + held_size, &size, sizeof size);
        (void) memcpy(p, text, size);
        held_size += sizeof size + size;
        n_held++;
}

void log_full(int level, int error, const char *message_id, const LogField *fields, const char *file,
                int line_number, const char *function, const char *format, ...) {
        char message[LINE_BYTES_MAX];
        Entry entry;
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

        entry.size = 0;
        entry_add(&entry, "MESSAGE", "%s", message);
        entry_add(&entry, "PRIORITY", "%d", level);
        entry_add(&entry, "CODE_FILE", "%s", file);
        entry_add(&entry, "CODE_LINE", "%d", line_number);
        entry_add(&entry, "CODE_FUNC", "%s", function);
        if (error != 0)
                entry_add(&entry, "ERRNO", "%d", abs(error));
        if (message_id)
                entry_add(&entry, "MESSAGE_ID", "%s", message_id);
        for (const LogField *f = fields; f && f->name; f++)
                if (!isempty(f->value))
                        entry_add(&entry, f->name, "%s", f->value);

        line_hold(entry.text, entry.size);
        if (!held_wake || level <= LOG_WARNING)
                log_flush();
        if (held_wake && n_held + n_lost > 0)
                held_wake(held_userdata);
        errno = saved;
}

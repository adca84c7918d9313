/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The bus hands over calls in the order in which it got them, and one client can send thousands at once. So
 * what comes is read at once and put in a line of its sender's, which has a bound; and when there is nothing
 * more to read, or much has been read, one call of the next line is handed to sd-bus again. A client's own
 * calls stay in their order. What else happens in between, such as events of udev, takes turns with the
 * calls. Nobody is served while an answer waits to be written: all that come after it would have to be kept,
 * too.
 *
 * The calls of standard interfaces, which sd-bus answers itself, go the same way, for a filter sees all.
 *
 * A message that auth dispatches once more has had its turn.
 *
 * Answers that a client does not read stay in dbus-daemon, which counts them as the sender's, and when they
 * are 127 MiB, it reads nothing more from the sender: mdevd would be mute for all. So dbus-daemon is asked
 * now and then how much it has of mdevd's, and when that is a lot, before each turn also how much waits for
 * that client, who has no turn before it has read. That is asked with dbus-daemon's interface for statistics,
 * which is root's. A bus without it, such as dbus-broker, charges the reader and not the sender. */

#include <sys/socket.h>

#include <systemd/sd-event.h>

#include "api/mdevd-names.h"
#include "base/log.h"
#include "base/memory.h"
#include "bus/clients.h"
#include "bus/error.h"
#include "bus/turns.h"

/* One call is served for so much that is read, if there is always more to read: a message is one, and each
 * KiB is of those that are measured. To refuse one costs little, but not nothing. */
#define READ_MAX 1024U

/* And so much is read before, if there is always something else to do. */
#define READ_AT_ONCE 64U

/* What is written and waits in the kernel is also before the next answer, and dbus-daemon takes 2 KiB at a
 * time from each that sends; sd-bus asks for 8 MiB of room. */
#define UNREAD_MAX (64 * 1024)

/* Mdevd's own messages in the bus, from which on clients are looked at; so much of it is for one who has no
 * turn; and how often that is looked at. */
#define CROWDED_SIZE (32U * 1024 * 1024)
#define UNREAD_SIZE_MAX (8U * 1024 * 1024)
#define UNREAD_AGAIN_USEC (100U * UINT64_C(1000))

/* Answers between two questions how many wait in the bus; a large one is worth all of them. */
#define ANSWERS_MAX 64U

typedef struct Kept {
        struct Kept *next;
        sd_bus_message *call;
        size_t size;
} Kept;

/* The calls of one sender; there is a line as long as there are calls in it. */
typedef struct Line {
        struct Line *next;
        char *sender;
        Kept *first, **end;
        unsigned n;
        size_t size;
        bool is_held; /* its client has to read first */
} Line;

struct Turns {
        sd_bus *bus;
        const Auth *auth;
        unsigned calls_max;
        sd_bus_slot *filter;
        sd_event_source *next; /* after each event, when there is no other, or it is due */
        bool was_message;      /* that is what the last event was about */
        bool is_due;

        Line *first, **end;   /* whose turn it is, and so on */
        sd_bus_message *turn; /* handed over, and not yet seen again */
        size_t n_read;        /* since then */
        sd_event_source *served;

        sd_bus_slot *question; /* to the bus; nobody is served before it is answered */
        unsigned n_answers;    /* since the last one */
        bool is_crowded, cannot_ask;
        sd_event_source *again; /* those that are held are looked at */
};

static Line *line_free(Line *l) {
        if (!l)
                return NULL;

        for (Kept *k = l->first, *next; k; k = next) {
                next = k->next;
                (void) sd_bus_message_unref(k->call);
                free(k);
        }
        free(l->sender);
        free(l);
        return NULL;
}

static int line_append(Line *l, sd_bus_message *call, size_t size) {
        Kept *k = calloc(1, sizeof *k);

        if (!k)
                return -ENOMEM;
        k->call = sd_bus_message_ref(call);
        k->size = size;
        *l->end = k;
        l->end = &k->next;
        l->n++;
        l->size += size;
        return 0;
}

static sd_bus_message *line_take(Line *l) {
        Kept *k = l->first;
        sd_bus_message *call = k->call;

        l->first = k->next;
        if (!l->first)
                l->end = &l->first;
        l->n--;
        l->size -= k->size;
        free(k);
        return call;
}

static void append_line(Turns *t, Line *l) {
        l->next = NULL;
        *t->end = l;
        t->end = &l->next;
}

static Line *find_line(const Turns *t, const char *sender) {
        for (Line *l = t->first; l; l = l->next)
                if (streq(l->sender, sender))
                        return l;

        return NULL;
}

/* Serving */

static void serve_next(Turns *t);

/* Hands a line's first call to sd-bus, which keeps it until it comes to it. */
static void serve(Turns *t, Line *l) {
        sd_bus_message *call;
        Line **p = &t->first;
        int r;

        while (*p != l)
                p = &(*p)->next;
        *p = l->next;
        if (!*p)
                t->end = p;
        call = line_take(l);
        if (l->first)
                append_line(t, l);
        else
                (void) line_free(l);

        t->n_read = 0;
        r = sd_bus_enqueue_for_read(t->bus, call);
        if (memory_check(r) >= 0)
                t->turn = call;
        else {
                (void) sd_bus_reply_method_errno(call, r, NULL);
                (void) sd_bus_message_unref(call);
        }
}

/* Right after a turn. What could not be written at once is a large answer. */
static int on_served(sd_event_source *source _unused_, void *userdata) {
        uint64_t n_unwritten = 0;
        Turns *t = userdata;

        t->was_message = true;
        (void) sd_bus_get_n_queued_write(t->bus, &n_unwritten);
        t->n_answers += n_unwritten > 0 ? ANSWERS_MAX : 1;
        return 0;
}

/* Finds a figure of a connection in the bus's answer. Return: 0; a negative errno if it has none. */
static int read_figure(sd_bus_message *reply, const char *wanted, uint32_t *ret) {
        const char *name;
        int r;

        if (sd_bus_message_is_method_error(reply, NULL))
                return -sd_bus_message_get_errno(reply);
        r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                r = sd_bus_message_read(reply, "s", &name);
                if (r >= 0 && streq(name, wanted))
                        return sd_bus_message_read(reply, "v", "u", ret);
                if (r >= 0)
                        r = sd_bus_message_skip(reply, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        return r < 0 ? r : -ENODATA;
}

/* Whether the bus is one that never tells; any other error may be another one the next time. */
static bool never_tells(sd_bus_message *reply, int r) {
        return r == -ENODATA || sd_bus_message_is_method_error(reply, SD_BUS_ERROR_UNKNOWN_METHOD) ||
                        sd_bus_message_is_method_error(reply, SD_BUS_ERROR_UNKNOWN_INTERFACE) ||
                        sd_bus_message_is_method_error(reply, SD_BUS_ERROR_UNKNOWN_OBJECT) ||
                        sd_bus_message_is_method_error(reply, SD_BUS_ERROR_NOT_SUPPORTED) ||
                        sd_bus_message_is_method_error(reply, SD_BUS_ERROR_ACCESS_DENIED);
}

static int ask(Turns *t, const char *name, sd_bus_message_handler_t answered) {
        return sd_bus_call_method_async(t->bus, &t->question, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus.Debug.Stats", "GetConnectionStats", answered, t, "s", name);
}

static int on_own_figures(sd_bus_message *reply, void *userdata, sd_bus_error *e _unused_) {
        uint32_t size = 0;
        Turns *t = userdata;
        int r;

        t->question = sd_bus_slot_unref(t->question);
        t->n_answers = 0;
        r = read_figure(reply, "IncomingBytes", &size);
        if (r < 0) {
                t->cannot_ask = never_tells(reply, r);
                log_debug("The bus does not tell how much of its clients' they have not read, ignoring: %s",
                                strerror(-r));
        }
        t->is_crowded = size > CROWDED_SIZE;
        serve_next(t);
        return 0;
}

/* Those that are held are looked at in a moment. */
static void look_again(Turns *t) {
        int enabled;

        if (sd_event_source_get_enabled(t->again, &enabled) >= 0 && enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time_relative(t->again, UNREAD_AGAIN_USEC);
        (void) sd_event_source_set_enabled(t->again, SD_EVENT_ONESHOT);
}

/* The one that was asked about is the first that is not held: none is served or let go before the answer. */
static int on_figures(sd_bus_message *reply, void *userdata, sd_bus_error *e _unused_) {
        uint32_t size = 0;
        Turns *t = userdata;
        Line *l = t->first;

        t->question = sd_bus_slot_unref(t->question);
        while (l && l->is_held)
                l = l->next;
        if (!l)
                return 0;

        /* One that has gone has nothing to read any more. */
        if (read_figure(reply, "OutgoingBytes", &size) >= 0 && size > UNREAD_SIZE_MAX) {
                l->is_held = true;
                look_again(t);
                serve_next(t);
        } else
                serve(t, l);
        return 0;
}

static int on_again(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Turns *t = userdata;

        if (t->question) {
                look_again(t);
                return 0;
        }
        for (Line *l = t->first; l; l = l->next)
                l->is_held = false;
        /* Have they read? */
        t->n_answers = ANSWERS_MAX;
        serve_next(t);
        return 0;
}

/* Takes the next turn, if it is time for it. */
static void serve_next(Turns *t) {
        uint64_t n_unwritten = 0;
        Line *l = t->first;

        if (!l || t->turn || t->question)
                return;
        if (sd_bus_get_n_queued_write(t->bus, &n_unwritten) >= 0 && n_unwritten > 0)
                return;
        if (t->n_answers >= ANSWERS_MAX && !t->cannot_ask) {
                const char *name;

                if (sd_bus_get_unique_name(t->bus, &name) >= 0 && ask(t, name, on_own_figures) >= 0)
                        return;
        }

        while (l && l->is_held)
                l = l->next;
        if (l && (!t->is_crowded || ask(t, l->sender, on_figures) < 0))
                serve(t, l);
}

/* Whether sd-bus was handed a message and has not come to it. */
static bool sd_bus_has_messages(const Turns *t) {
        uint64_t n = 0;

        return sd_bus_get_n_queued_read(t->bus, &n) >= 0 && n > 0;
}

/* Before each event. Others than messages, such as those of udev, may come without end, too: after each of
 * them it is a call's turn. */
static int on_prepare(sd_event_source *source, void *userdata) {
        Turns *t = userdata;

        t->is_due = (t->first && !t->was_message) || sd_bus_has_messages(t);
        t->was_message = false;
        return sd_event_source_set_priority(
                        source, t->is_due ? SD_EVENT_PRIORITY_NORMAL - 1 : SD_EVENT_PRIORITY_NORMAL + 1);
}

/* At once, for sd-bus would set a timer to come back to it, anew before each event, and which of those that
 * are there at the same time comes first is always the same one. What ends the connection it comes to by
 * itself. */
static int on_next(sd_event_source *source _unused_, void *userdata) {
        Turns *t = userdata;
        int r = 1;

        for (unsigned i = 0; t->is_due && i < READ_AT_ONCE && r > 0; i++)
                r = sd_bus_process(t->bus, NULL);
        serve_next(t);
        while (r >= 0 && sd_bus_has_messages(t))
                r = sd_bus_process(t->bus, NULL);

        /* As sd-bus ends when that fails below its own sources: somebody would wait for ever for the answer.
         */
        if (r < 0) {
                log_error_errno(r, "The bus cannot be served: %s", strerror(-r));
                (void) sd_event_exit(sd_bus_get_event(t->bus), EXIT_FAILURE);
        }
        return 0;
}

/* Reading */

/* What each value in a message counts at the least, so that not too many are looked at. */
#define VALUE_SIZE 256U

/* Adds about how many bytes there are in the rest of a message or container, which sd-bus does not tell;
 * stops when there are too many. */
static int add_size(sd_bus_message *m, size_t *size) {
        union {
                uint64_t number;
                const char *text;
        } value;
        const char *contents;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0 && *size <= CALLS_SIZE_MAX) {
                *size += VALUE_SIZE;
                if (contents) {
                        r = sd_bus_message_enter_container(m, type, contents);
                        if (r >= 0)
                                r = add_size(m, size);
                        if (r >= 0 && *size <= CALLS_SIZE_MAX)
                                r = sd_bus_message_exit_container(m);
                } else {
                        r = sd_bus_message_read_basic(m, type, &value);
                        if (r >= 0 && strchr("sog", type))
                                *size += strlen(value.text);
                }
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : 0;
}

/* What only reads and wants no answer need not be done; a bus that bounds how many answers a client may wait
 * for does not bound these. Only the Manager's verbs change something. */
static bool is_pointless(sd_bus_message *m) {
        const char *interface = sd_bus_message_get_interface(m) ?: MDEVD_MANAGER_INTERFACE;
        const char *member = sd_bus_message_get_member(m);

        return !sd_bus_message_get_expect_reply(m) &&
                        (!streq(interface, MDEVD_MANAGER_INTERFACE) || strncmp(member, "Get", 3) == 0 ||
                                        strncmp(member, "List", 4) == 0);
}

/* Puts a call in its sender's line, or refuses it. */
static int keep(Turns *t, sd_bus_message *m, sd_bus_error *error) {
        const char *sender = sd_bus_message_get_sender(m);
        Line *l = find_line(t, sender);
        bool is_full = l && l->n >= t->calls_max;
        size_t size = 0;
        int r;

        /* To measure is not free, and the first one has no bound. */
        if (l && !is_full) {
                r = add_size(m, &size);
                if (r >= 0)
                        r = sd_bus_message_rewind(m, true);
                if (r < 0)
                        return error_of_reading(error, r);
                t->n_read += size / 1024;
        }
        if (is_full || (l && l->size + size > CALLS_SIZE_MAX)) {
                /* Who does not read gets not one more answer. */
                if (l->is_held || !sd_bus_message_get_expect_reply(m))
                        return 0;
                if (is_full)
                        return too_many_calls(t->calls_max, error);
                return sd_bus_error_setf(error, MDEVD_ERROR_LIMITS_EXCEEDED,
                                "Too many bytes in calls of this client that wait: the limit is %u. Wait for some of "
                                "the answers.",
                                CALLS_SIZE_MAX);
        }
        if (l)
                return line_append(l, m, size);

        l = calloc(1, sizeof *l);
        if (!l)
                return -ENOMEM;
        l->end = &l->first;
        l->sender = strdup(sender);
        r = l->sender ? line_append(l, m, size) : -ENOMEM;
        if (r < 0)
                (void) line_free(l);
        else
                append_line(t, l);
        return r;
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Turns *t = userdata;
        int r;

        t->was_message = true;
        if (!sd_bus_message_is_method_call(m, NULL, NULL) || !sd_bus_message_get_sender(m))
                return 0;
        if (m == t->turn) {
                t->turn = sd_bus_message_unref(t->turn);
                (void) sd_event_source_set_enabled(t->served, SD_EVENT_ONESHOT);
                return 0;
        }
        if (auth_takes_up(t->auth, m))
                return 0;

        r = is_pointless(m) ? 0 : memory_check(keep(t, m, error));
        if (++t->n_read >= READ_MAX)
                serve_next(t);
        return r < 0 ? r : 1;
}

/* Life */

int turns_new(Turns **ret, sd_bus *bus, const Auth *auth, unsigned calls_max) {
        _cleanup_(turns_freep) Turns *t = calloc(1, sizeof *t);
        sd_event *event = sd_bus_get_event(bus);
        int r;

        if (!t)
                return -ENOMEM;
        t->bus = bus;
        t->auth = auth;
        t->calls_max = calls_max;
        t->end = &t->first;

        if (setsockopt(sd_bus_get_fd(bus), SOL_SOCKET, SO_SNDBUF, &(int){ UNREAD_MAX }, sizeof(int)) < 0)
                return -errno;
        r = sd_event_add_post(event, &t->next, on_next, t);
        if (r >= 0)
                r = sd_event_source_set_prepare(t->next, on_prepare);
        if (r >= 0)
                r = sd_event_add_defer(event, &t->served, on_served, t);
        if (r >= 0)
                r = sd_event_source_set_priority(t->served, SD_EVENT_PRIORITY_NORMAL - 1);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->served, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &t->again, CLOCK_MONOTONIC, 0, 0, on_again, t);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->again, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_bus_add_filter(bus, &t->filter, on_message, t);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(t);
        return 0;
}

Turns *turns_free(Turns *t) {
        if (!t)
                return NULL;

        for (Line *l = t->first, *next; l; l = next) {
                next = l->next;
                (void) line_free(l);
        }
        (void) sd_bus_message_unref(t->turn);
        (void) sd_bus_slot_unref(t->filter);
        (void) sd_bus_slot_unref(t->question);
        (void) sd_event_source_disable_unref(t->next);
        (void) sd_event_source_disable_unref(t->served);
        (void) sd_event_source_disable_unref(t->again);
        free(t);
        return NULL;
}

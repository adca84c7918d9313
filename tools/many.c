/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* As many calls as there is room for are under way; the daemon does the rest side by side, and the answers
 * make room for more. How much room there is nobody tells: the bus and mdevd have limits of their own, which
 * the host's administrator may have changed and others may use up. So whoever is refused for one of these is
 * asked for again later, and there is less room from then on. */

#include "api/mdevd-names.h"
#include "tools/devices.h"
#include "tools/identity.h"
#include "tools/many.h"
#include "tools/picture.h"

/* Less than the 128 answers for which dbus-daemon lets a client wait by default, and as many as mdevd has
 * under way at one driver; for others than root what they may have asked polkit. */
#define CALLS_MAX 64U
#define CALLS_MAX_AUTHORIZED 16U

/* If others use up the room: how long to wait, and how often in a row. */
#define PAUSE_USEC (100 * 1000U)
#define PAUSES_MAX 50U

typedef struct Many Many;

typedef struct One {
        Many *many;
        struct One *next; /* in the line of those that are yet to be asked for */
        char uuid[IDENTITY_SIZE];
} One;

struct Many {
        const Arguments *arguments;
        const char *method;
        sd_bus *bus;
        sd_event *event;
        sd_event_source *pause;
        One *list;
        size_t n, n_allocated;
        One *waiting;
        size_t room, n_under_way, n_done, n_failed;
        unsigned n_pauses; /* since there was room for one at least */
        json_object *results;
        int error;  /* the first that a device ended with */
        int broken; /* why nothing more can be done */
};

static size_t full_room(void) {
        return geteuid() == 0 ? CALLS_MAX : CALLS_MAX_AUTHORIZED;
}

bool many_are_meant(const Arguments *a) {
        return a->n_words > 0 || arguments_have(a, OPTION_ALL) ||
                        (streq(a->verb->name, "stop") && arguments_have(a, OPTION_PARENT));
}

static int add_one(Many *m, const char *uuid) {
        char text[IDENTITY_SIZE];

        (void) identity_of(uuid, text);
        for (size_t i = 0; i < m->n; i++)
                if (streq(m->list[i].uuid, text))
                        return 0;
        if (grow((void **) &m->list, &m->n_allocated, m->n + 1, sizeof *m->list) < 0)
                return complain(-ENOMEM, "Not enough memory");

        strcpy(m->list[m->n++].uuid, text);
        return 0;
}

static int uuid_text_order(const void *a, const void *b) {
        const Device *left = a, *right = b;

        return strcmp(left->uuid, right->uuid);
}

/* Whichever parent they are on, as a device may have definitions on others. In the order of UUIDs. */
static int read_active(Many *m, Devices *ret) {
        int r;

        r = devices_read(m->bus, DEVICES_ACTIVE, DEVICES_WITHOUT_ATTRIBUTES, NULL, NULL, ret);
        if (r >= 0 && ret->n > 0)
                qsort(ret->list, ret->n, sizeof *ret->list, uuid_text_order);
        return r;
}

/* Those that are not yet what they are to be. */
static int add_all(Many *m) {
        const char *parent = arguments_get(m->arguments, OPTION_PARENT);
        _cleanup_(devices_done) Devices devices = {}, active = {};
        bool start = streq(m->method, "Start");
        int r;

        r = devices_read(m->bus, start ? DEVICES_DEFINED : DEVICES_ACTIVE, DEVICES_WITHOUT_ATTRIBUTES, NULL,
                        parent, &devices);
        if (r >= 0 && start && !parent)
                r = read_active(m, &active);
        for (size_t i = 0; i < devices.n && r >= 0; i++) {
                const Device *d = &devices.list[i];

                if (d->active == start)
                        continue;
                if (active.n > 0 && bsearch(d, active.list, active.n, sizeof *d, uuid_text_order))
                        continue;
                r = add_one(m, d->uuid);
        }
        return r;
}

static int put_result(Many *m, const One *one, const sd_bus_error *error) {
        json_object *result = json_object_new_object();

        if (value_append(m->results, result) < 0 || value_put_string(result, "uuid", one->uuid) < 0 ||
                        value_put(result, "done", json_object_new_boolean(!error)) < 0)
                return -ENOMEM;
        if (!error)
                return 0;
        return value_put_string(result, "error", strempty(error->name)) < 0
                        ? -ENOMEM
                        : value_put_string(result, "message", strempty(error->message));
}

static void tell_answer(Many *m, const One *one, int r, const sd_bus_error *error) {
        m->n_done++;
        if (error) {
                m->n_failed++;
                m->error = m->error < 0 ? m->error : r < 0 ? r : -EIO;
                (void) client_complain(r, error, one->uuid);
        } else if (!m->results) {
                printf("%s %s\n", one->uuid, streq(m->method, "Start") ? "started" : "stopped");
                (void) fflush(stdout);
        }
}

/* Sending */

static bool is_limit(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, MDEVD_ERROR_LIMITS_EXCEEDED) ||
                        sd_bus_error_has_name(error, SD_BUS_ERROR_LIMITS_EXCEEDED);
}

static int send_some(Many *m);

static int stop_on_error(Many *m, int r) {
        if (r >= 0)
                return 0;

        m->broken = r;
        return sd_event_exit(m->event, EXIT_SUCCESS);
}

static int on_pause(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Many *m = userdata;

        m->room = full_room();
        return stop_on_error(m, send_some(m));
}

/* Nothing is under way whose end would make room: it is others that have it. */
static int begin_pause(Many *m) {
        int r;

        m->n_pauses++;
        m->pause = sd_event_source_unref(m->pause);
        r = sd_event_add_time_relative(m->event, &m->pause, CLOCK_MONOTONIC, PAUSE_USEC, 1, on_pause, m);
        return r < 0 ? complain(r, "The answers cannot be waited for: %s", strerror(-r)) : 0;
}

/* Nothing was done for this one, which is asked for again when there is room. */
static int put_back(Many *m, One *one) {
        one->next = m->waiting;
        m->waiting = one;
        m->room = MIN(m->room, MAX(m->n_under_way, 1U));
        return m->n_under_way > 0 ? 0 : begin_pause(m);
}

static int on_answer(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error _unused_) {
        const sd_bus_error *error = sd_bus_message_get_error(answer);
        One *one = userdata;
        Many *m = one->many;
        int r = 0;

        m->n_under_way--;
        if (error && is_limit(error) && m->n_pauses < PAUSES_MAX)
                return stop_on_error(m, put_back(m, one));
        if (!error || !is_limit(error))
                m->n_pauses = 0;

        tell_answer(m, one, -sd_bus_message_get_errno(answer), error);
        if (m->results && put_result(m, one, error) < 0)
                r = complain(-ENOMEM, "Not enough memory");
        if (r >= 0)
                r = send_some(m);
        if (r >= 0 && m->n_done == m->n)
                return sd_event_exit(m->event, EXIT_SUCCESS);
        return stop_on_error(m, r);
}

static int send_one(Many *m, One *one) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        const char *parent = strempty(arguments_get(m->arguments, OPTION_PARENT));
        bool start = streq(m->method, "Start");
        int r;

        r = client_new_request(m->bus, m->method, &call);
        if (r >= 0)
                r = sd_bus_message_append(call, start ? "ss" : "s", one->uuid, parent);
        if (r >= 0)
                r = sd_bus_message_open_container(call, 'a', "{sv}");
        if (r >= 0 && start)
                r = client_append_bool(call, "any", true);
        if (r >= 0 && arguments_have(m->arguments, OPTION_FORCE))
                r = client_append_bool(call, "force", true);
        if (r >= 0 && !start && arguments_have(m->arguments, OPTION_WAIT_FOR_RELEASE))
                r = client_append_bool(call, "wait-for-release", true);
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        return r < 0 ? r : sd_bus_call_async(m->bus, NULL, call, on_answer, one, UINT64_MAX);
}

/* Sends what there is room for. Return: 0; a negative errno, then the reason was told. */
static int send_some(Many *m) {
        while (m->waiting && m->n_under_way < m->room) {
                One *one = m->waiting;
                int r = send_one(m, one);

                if (r < 0)
                        return complain(r, "%s: The request could not be sent: %s", one->uuid, strerror(-r));
                m->waiting = one->next;
                m->n_under_way++;
        }

        return 0;
}

/* Signals */

/* Those that end the program, unless whoever started it has them ignored. */
static const int fatal_signals[] = { SIGINT, SIGTERM };

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata);

static int catch_signals(Many *m) {
        sigset_t set;
        int r = 0;

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(fatal_signals) && r >= 0; i++) {
                struct sigaction action;

                if (sigaction(fatal_signals[i], NULL, &action) < 0 || action.sa_handler == SIG_IGN)
                        continue;
                (void) sigaddset(&set, fatal_signals[i]);
                (void) sigprocmask(SIG_BLOCK, &set, NULL);
                r = sd_event_add_signal(m->event, NULL, fatal_signals[i], on_signal, m);
        }
        return r;
}

static void release_signals(void) {
        sigset_t set;

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(fatal_signals); i++)
                (void) sigaddset(&set, fatal_signals[i]);
        (void) sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* What has come is written out. Then as if the signal had not been caught, so that whoever started this can
 * see it. */
static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Many *m = userdata;

        (void) complain(-EINTR,
                        "Interrupted. Of %zu devices %zu were asked for and not answered; mdevd goes on with these",
                        m->n, m->n_under_way);
        (void) fflush(stdout);
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        release_signals();
        (void) raise((int) info->ssi_signo);
        return sd_event_exit(m->event, EXIT_FAILURE);
}

static void begin_line(Many *m) {
        for (size_t i = m->n; i-- > 0;) {
                m->list[i].many = m;
                m->list[i].next = m->waiting;
                m->waiting = &m->list[i];
        }
}

static int call_all(Many *m) {
        int r;

        if (m->n == 0)
                return 0;

        begin_line(m);
        m->room = full_room();
        r = sd_event_new(&m->event);
        if (r >= 0)
                r = sd_bus_attach_event(m->bus, m->event, SD_EVENT_PRIORITY_NORMAL);
        /* Else nobody would hear of it. */
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(m->bus, true);
        if (r >= 0)
                r = catch_signals(m);
        if (r < 0)
                return complain(r, "The answers cannot be waited for: %s", strerror(-r));

        r = send_some(m);
        if (r >= 0) {
                r = sd_event_loop(m->event);
                if (r < 0 || m->n_done < m->n)
                        r = m->broken < 0
                                        ? m->broken
                                        : complain(-ECONNRESET,
                                                          "The connection to mdevd is lost. What was begun there goes on");
        }
        release_signals();
        return r < 0 ? r : 0;
}

static int run(Many *m) {
        const Arguments *a = m->arguments;
        int r = 0;

        for (size_t i = 0; i < arguments_n_uuids(a) && r >= 0; i++)
                r = add_one(m, arguments_nth_uuid(a, i));
        if (r >= 0 && arguments_n_uuids(a) == 0)
                r = add_all(m);
        if (r >= 0)
                r = call_all(m);
        if (r < 0)
                return r;

        if (m->results)
                r = value_write(m->results);
        return m->n_failed > 0 ? m->error : r;
}

int many_call(const Arguments *a, const char *method) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        Many m = { .arguments = a, .method = method };
        int r;

        r = client_open(&bus);
        if (r < 0)
                return r;
        m.bus = bus;
        if (arguments_have(a, OPTION_JSON)) {
                m.results = json_object_new_array();
                if (!m.results)
                        return complain(-ENOMEM, "Not enough memory");
        }

        r = run(&m);
        if (m.event)
                (void) sd_bus_detach_event(bus);
        (void) sd_event_source_unref(m.pause);
        (void) sd_event_unref(m.event);
        free(m.list);
        (void) json_object_put(m.results);
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All calls are sent before any answer is waited for; the daemon does the rest side by side. What mdevd
 * allows a client to have under way is the bound, and beyond it the answers make room. */

#include "tools/devices.h"
#include "tools/identity.h"
#include "tools/many.h"
#include "tools/picture.h"

/* Less than what one client may have under way, or for others than root may have asked polkit. */
#define CALLS_MAX 256U
#define CALLS_MAX_AUTHORIZED 16U

typedef struct Many Many;

typedef struct One {
        Many *many;
        char uuid[IDENTITY_SIZE];
} One;

struct Many {
        const Arguments *arguments;
        const char *method;
        sd_bus *bus;
        sd_event *event;
        One *list;
        size_t n, n_allocated, n_sent, n_done, n_failed;
        json_object *results;
        int error;  /* the first that a device ended with */
        int broken; /* why nothing more can be done */
};

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

/* Those that are not yet what they are to be. */
static int add_all(Many *m) {
        bool start = streq(m->method, "Start");
        _cleanup_(devices_done) Devices devices = {};
        int r;

        r = devices_read(m->bus, start ? DEVICES_DEFINED : DEVICES_ACTIVE, DEVICES_WITHOUT_ATTRIBUTES, NULL,
                        arguments_get(m->arguments, OPTION_PARENT), &devices);
        for (size_t i = 0; i < devices.n && r >= 0; i++)
                if (devices.list[i].active != start)
                        r = add_one(m, devices.list[i].uuid);
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

static int send_some(Many *m);

static int on_answer(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error _unused_) {
        const sd_bus_error *error = sd_bus_message_get_error(answer);
        One *one = userdata;
        Many *m = one->many;
        int r = 0;

        tell_answer(m, one, -sd_bus_message_get_errno(answer), error);
        if (m->results && put_result(m, one, error) < 0)
                r = complain(-ENOMEM, "Not enough memory");
        if (r >= 0)
                r = send_some(m);
        if (r < 0)
                m->broken = r;
        return r < 0 || m->n_done == m->n ? sd_event_exit(m->event, EXIT_SUCCESS) : 0;
}

static int send_one(Many *m, One *one) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        const char *parent = strempty(arguments_get(m->arguments, OPTION_PARENT));
        bool start = streq(m->method, "Start");
        int r;

        one->many = m;
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

/* Sends what there is room for. Return: 0; a negative errno, then the reason was told. */
static int send_some(Many *m) {
        size_t room = geteuid() == 0 ? CALLS_MAX : CALLS_MAX_AUTHORIZED;
        int r = 0;

        for (; m->n_sent < m->n && m->n_sent - m->n_done < room; m->n_sent++) {
                r = send_one(m, &m->list[m->n_sent]);
                if (r < 0)
                        return complain(r, "%s: The request could not be sent: %s", m->list[m->n_sent].uuid,
                                        strerror(-r));
        }

        return r;
}

/* What has come is written out. Then as if the signal had not been caught, so that whoever started this can
 * see it. */
static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Many *m = userdata;

        (void) complain(-EINTR,
                        "Interrupted. Of %zu devices %zu were asked for and not answered; mdevd goes on with these",
                        m->n, m->n_sent - m->n_done);
        (void) fflush(stdout);
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        release_signals();
        (void) raise((int) info->ssi_signo);
        return sd_event_exit(m->event, EXIT_FAILURE);
}

static int call_all(Many *m) {
        int r;

        if (m->n == 0)
                return 0;

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
        (void) sd_event_unref(m.event);
        free(m.list);
        (void) json_object_put(m.results);
        return r;
}

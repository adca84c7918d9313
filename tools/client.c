/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <signal.h>

#include "api/mdevd-names.h"
#include "tools/client.h"
#include "tools/output.h"
#include "tools/wording.h"

/* With mdevctl this variable moves everything below another directory. The daemon on the system bus does not
 * serve that, and must not be asked to by mistake. */
static bool root_is_elsewhere(const char **ret) {
        *ret = strempty(getenv("MDEVCTL_ENV_ROOT"));
        return (*ret)[strspn(*ret, "/")] != '\0';
}

static const char *remote_host, *remote_machine;

void client_go_to(const char *host, const char *machine) {
        remote_host = host;
        remote_machine = machine;
}

bool client_is_elsewhere(void) {
        return remote_host || remote_machine;
}

/* ssh is started here, but whether it gets anywhere shows at the first call. */
static int open_elsewhere(sd_bus **ret) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        if (remote_host)
                r = sd_bus_open_system_remote(&bus, remote_host);
        else
                r = sd_bus_open_system_machine(&bus, remote_machine);
        if (r >= 0)
                r = sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                "org.freedesktop.DBus.Peer", "Ping", &error, NULL, NULL);
        if (r < 0 && remote_host)
                return complain(r,
                                "Cannot connect to the system bus of host %s: %s. It takes a login by ssh without "
                                "questions, and systemd-stdio-bridge over there",
                                remote_host, strerror(-r));
        if (r < 0)
                return complain(r,
                                "Cannot connect to the system bus of container %s: %s. It takes root, and a container "
                                "that \"machinectl list\" shows, with a system bus of its own",
                                remote_machine, strerror(-r));

        *ret = TAKE_PTR(bus);
        return 0;
}

int client_open(sd_bus **ret) {
        const char *root;
        int r;

        if (client_is_elsewhere())
                return open_elsewhere(ret);

        if (root_is_elsewhere(&root) && isempty(getenv("DBUS_SYSTEM_BUS_ADDRESS")))
                return complain(-EHOSTUNREACH,
                                "MDEVCTL_ENV_ROOT is \"%s\", but no daemon serves that root: start one with "
                                "--root=%s on a bus of its own and set DBUS_SYSTEM_BUS_ADDRESS to that bus",
                                root, root);

        r = sd_bus_open_system_with_description(ret, "mdevdctl");
        return r < 0 ? complain(r,
                                       "Cannot connect to the system bus: %s. It takes a running dbus.service; "
                                       "then \"systemctl start mdevd\" starts mdevd",
                                       strerror(-r))
                     : 0;
}

int client_new_question(sd_bus *bus, const char *method, sd_bus_message **ret) {
        return sd_bus_message_new_method_call(
                        bus, ret, MDEVD_BUS_NAME, MDEVD_PATH, MDEVD_MANAGER_INTERFACE, method);
}

int client_new_request(sd_bus *bus, const char *method, sd_bus_message **ret) {
        int r;

        r = client_new_question(bus, method, ret);
        if (r < 0)
                return r;
        return sd_bus_message_set_allow_interactive_authorization(*ret, isatty(STDIN_FILENO));
}

int client_append_string(sd_bus_message *m, const char *name, const char *value) {
        return sd_bus_message_append(m, "{sv}", name, "s", value);
}

int client_append_bool(sd_bus_message *m, const char *name, bool value) {
        return sd_bus_message_append(m, "{sv}", name, "b", (int) value);
}

/* Waiting */

static volatile sig_atomic_t caught_signal;

static void on_signal(int number) {
        caught_signal = number;
}

/* The signals that end the program, unless whoever started it has them ignored. They are caught, and let in
 * only while nothing is done but to wait. */
static const int fatal_signals[] = { SIGINT, SIGTERM };

typedef struct Signals {
        struct sigaction actions[ELEMENTSOF(fatal_signals)];
        sigset_t mask;
} Signals;

static void catch_signals(Signals *before) {
        const struct sigaction action = { .sa_handler = on_signal };
        sigset_t set;

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(fatal_signals); i++) {
                (void) sigaction(fatal_signals[i], NULL, &before->actions[i]);
                if (before->actions[i].sa_handler == SIG_IGN)
                        continue;
                (void) sigaddset(&set, fatal_signals[i]);
                (void) sigaction(fatal_signals[i], &action, NULL);
        }
        (void) sigprocmask(SIG_BLOCK, &set, &before->mask);
}

static void restore_signals(const Signals *before) {
        for (size_t i = 0; i < ELEMENTSOF(fatal_signals); i++)
                (void) sigaction(fatal_signals[i], &before->actions[i], NULL);
        (void) sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

/* Return: 0; -EINTR if one of the signals came; another negative errno. */
static int wait_for_bus(sd_bus *bus, const sigset_t *mask) {
        int fd = sd_bus_get_fd(bus), events = sd_bus_get_events(bus);
        struct pollfd p = { .fd = fd, .events = (short) events };

        if (fd < 0 || events < 0)
                return fd < 0 ? fd : events;

        /* Nothing here has a deadline: not the call, and not the connection. */
        if (ppoll(&p, 1, NULL, mask) >= 0)
                return 0;
        return errno == EINTR && !caught_signal ? 0 : -errno;
}

static int wait_for_answer(sd_bus *bus, const ClientCall *c) {
        Signals before;
        int r = 0;

        catch_signals(&before);
        while (r >= 0 && !c->answer) {
                r = sd_bus_process(bus, NULL);
                if (r == 0 && !c->answer)
                        r = wait_for_bus(bus, &before.mask);
        }
        restore_signals(&before);
        return c->answer ? 0 : r;
}

/* What reads has names like this; all else changes something. */
static bool is_question(sd_bus_message *m) {
        const char *member = sd_bus_message_get_member(m);

        return startswith(member, "List") || startswith(member, "Get") || streq(member, "Ping");
}

/* By the signal that was caught, and that is not caught any more. */
_Noreturn static void die(const ClientCall *c) {
        if (!c->is_question)
                (void) complain(-EINTR,
                                "Interrupted. What was asked of mdevd goes on there; \"list\" shows what comes of it.");

        /* Not by exit(), so that whoever started this can see it. */
        (void) raise(caught_signal);
        _exit(EXIT_FAILURE);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        ClientCall *c = userdata;

        c->answer = sd_bus_message_ref(m);
        return 0;
}

void client_begin(sd_bus *bus, sd_bus_message *m, int r, ClientCall *c) {
        *c = (ClientCall){ .unbuilt = r };
        if (r < 0)
                return;

        c->is_question = is_question(m);
        c->unsent = sd_bus_call_async(bus, &c->slot, m, on_answer, c, UINT64_MAX);
}

void client_call_done(ClientCall *c) {
        c->slot = sd_bus_slot_unref(c->slot);
        c->answer = sd_bus_message_unref(c->answer);
}

/* sd_bus_call(), but that goes on waiting when a signal comes. Nor does what is sent wait for the bus to say
 * hello. */
int client_finish(sd_bus *bus, ClientCall *c, sd_bus_error *error, sd_bus_message **ret) {
        int r;

        if (c->unbuilt < 0)
                return sd_bus_error_set_errnof(error, c->unbuilt,
                                "The request could not be put into a message: %s", strerror(-c->unbuilt));
        if (c->unsent < 0)
                return c->unsent;

        r = wait_for_answer(bus, c);
        if (r == -EINTR && caught_signal)
                die(c);
        if (r >= 0 && sd_bus_message_is_method_error(c->answer, NULL)) {
                (void) sd_bus_error_copy(error, sd_bus_message_get_error(c->answer));
                r = -sd_bus_message_get_errno(c->answer);
        } else if (r >= 0 && ret)
                *ret = TAKE_PTR(c->answer);

        client_call_done(c);
        return r;
}

int client_try(sd_bus *bus, sd_bus_message *m, int r, sd_bus_error *error, sd_bus_message **ret) {
        ClientCall c;

        client_begin(bus, m, r, &c);
        return client_finish(bus, &c, error, ret);
}

/* The first question tells whether the daemon answers; one that can be started is. */
static void ask_first(sd_bus *bus, const char *property, ClientCall *c) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, MDEVD_BUS_NAME, MDEVD_PATH,
                        property ? "org.freedesktop.DBus.Properties" : "org.freedesktop.DBus.Peer",
                        property ? "Get" : "Ping");
        if (r >= 0 && property)
                r = sd_bus_message_append(m, "ss", MDEVD_MANAGER_INTERFACE, property);
        client_begin(bus, m, r, c);
}

/* Whether nobody but the daemon can answer: what is wrong is told when the verb asks it, then. */
static bool daemon_is_needed(void) {
        const char *root;

        return client_is_elsewhere() ||
                        (root_is_elsewhere(&root) && isempty(getenv("DBUS_SYSTEM_BUS_ADDRESS")));
}

int client_begin_reader(ClientReader *reader, const char *property) {
        int r;

        if (daemon_is_needed())
                r = client_open(&reader->bus);
        else {
                r = sd_bus_open_system_with_description(&reader->bus, "mdevdctl");
                r = r == -ENOMEM ? complain(r, "Not enough memory") : 0;
        }

        if (reader->bus)
                ask_first(reader->bus, property, &reader->first);
        return r;
}

int client_finish_reader(ClientReader *reader, sd_bus_message **ret_value) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = reader->bus ? client_finish(reader->bus, &reader->first, &error, ret_value) : -ENOTCONN;
        if (r >= 0 || daemon_is_needed())
                return 0;
        /* Says nothing of the daemon. */
        if (r == -ENOMEM)
                return complain(r, "Not enough memory");

        reader->bus = sd_bus_flush_close_unref(reader->bus);
        if (isatty(STDERR_FILENO))
                fputs("mdevd is not running; this is what sysfs and the definitions say.\n", stderr);
        return 0;
}

int client_open_reader(ClientReader *reader) {
        int r;

        r = client_begin_reader(reader, NULL);
        return r < 0 ? r : client_finish_reader(reader, NULL);
}

void client_reader_done(ClientReader *reader) {
        client_call_done(&reader->first);
        reader->bus = sd_bus_flush_close_unref(reader->bus);
}

/* Whether that is why there is no answer: the name has no owner, and nothing that could be started. */
static bool daemon_is_missing(const sd_bus_error *error) {
        const char *name = strempty(error->name);

        return streq(name, SD_BUS_ERROR_SERVICE_UNKNOWN) || streq(name, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
                        startswith(name, "org.freedesktop.DBus.Error.Spawn.") ||
                        startswith(name, "org.freedesktop.systemd1.");
}

int client_complain(int r, const sd_bus_error *error, const char *subject) {
        _cleanup_(freep) char *text =
                        wording_translate(isempty(error->message) ? strerror(-r) : error->message);
        bool absent = daemon_is_missing(error);

        return complain(r, "%s%s%s%s%s", absent ? "mdevd is not running and cannot be started: " : "",
                        strempty(subject), subject ? ": " : "", text ?: "Not enough memory",
                        absent ? " (\"systemctl start mdevd\" starts it, or says why not)" : "");
}

int client_call(sd_bus *bus, sd_bus_message *m, int r, sd_bus_message **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        r = client_try(bus, m, r, &error, ret);
        return r < 0 ? client_complain(r, &error, NULL) : 0;
}

void client_warn(const char *subject, const char *sentence) {
        _cleanup_(freep) char *text = wording_translate(sentence);

        fprintf(stderr, "Warning: %s: %s\n", subject, text ?: "Not enough memory");
}

int client_bad_answer(int r) {
        return complain(r, "The answer of mdevd cannot be read: %s", strerror(-r));
}

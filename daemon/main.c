/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* mdevd: arguments, signals, and the order of life. Readiness is told, and the name taken, when everything
 * that is there has been taken in, so that nobody gets an answer from half a picture. */

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "bus/bus.h"
#include "core/manager.h"
#include "host/config.h"

/* A line wakes the journal, which takes the processor from whoever is at an operation just then: it is told
 * when none is under way, or after so long. */
#define LINES_USEC (UINT64_C(50) * 1000)

/* How often one that took nothing is asked whether it does again. */
#define REFUSED_USEC (UINT64_C(1) * 1000 * 1000)

typedef struct Daemon {
        sd_event *event;
        sd_event_source *idle, *late; /* when the journal is told */
        Manager *manager;
        Bus *bus;
        ManagerOptions options;
} Daemon;

static void daemon_done(Daemon *d) {
        /* The manager first: its waiters are answered over the bus. */
        (void) manager_free(d->manager);
        (void) bus_free(d->bus);
        log_hold(NULL, NULL);
        (void) sd_event_source_disable_unref(d->idle);
        (void) sd_event_source_disable_unref(d->late);
        (void) sd_event_unref(d->event);
}

static int help(const char *name) {
        printf("%s [OPTION…]\n\n"
               "Owns the mediated devices of this host and offers them on D-Bus as org.mdevd1.\n"
               "Started by systemd; see mdevd(8).\n\n"
               "  --root=DIR     take DIR for /: its sys, etc, run and usr/lib\n"
               "  --worker=PATH  start PATH instead of the installed worker\n"
               "  --debug        log more\n"
               "  --help         show this\n"
               "  --version      show the version\n",
                        name);
        return 0;
}

/* Return: 1 go on; 0 done; a negative errno, and the reason was told. */
static int parse_arguments(int argc, char *argv[], Daemon *d) {
        enum {
                ARG_ROOT = 0x100,
                ARG_WORKER,
                ARG_DEBUG,
                ARG_HELP,
                ARG_VERSION
        };
        static const struct option options[] = {
                { "root", required_argument, NULL, ARG_ROOT },
                { "worker", required_argument, NULL, ARG_WORKER },
                { "debug", no_argument, NULL, ARG_DEBUG },
                { "help", no_argument, NULL, ARG_HELP },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case ARG_ROOT:
                        d->options.root = optarg;
                        break;
                case ARG_WORKER:
                        d->options.worker_path = optarg;
                        break;
                case ARG_DEBUG:
                        log_open(LOG_DEBUG);
                        break;
                case ARG_HELP:
                        return help(argv[0]);
                case ARG_VERSION:
                        printf("mdevd %s\n", MDEVD_VERSION);
                        return 0;
                default:
                        return -EINVAL;
                }

        if (optind < argc) {
                fprintf(stderr, "%s takes no arguments but options; see %s --help.\n", argv[0], argv[0]);
                return -EINVAL;
        }
        return 1;
}

static void on_announced(bool ok, void *userdata) {
        Daemon *d = userdata;

        if (ok)
                (void) sd_notify(false, "READY=1");
        else
                (void) sd_event_exit(d->event, EXIT_FAILURE);
}

static void on_ready(const Failure *f, const Uuid *uuid _unused_, void *userdata) {
        Daemon *d = userdata;

        /* We are stopping already. */
        if (f)
                return;
        if (bus_announce(d->bus, on_announced, d) < 0)
                (void) sd_event_exit(d->event, EXIT_FAILURE);
}

static int on_hangup(
                sd_event_source *s _unused_, const struct signalfd_siginfo *si _unused_, void *userdata) {
        Failure f = FAILURE_INIT;
        Daemon *d = userdata;

        if (manager_rescan(d->manager, &f, NULL, NULL) < 0)
                log_warning("SIGHUP: the host cannot be looked at anew now.");
        failure_done(&f);
        return 0;
}

static void on_config_problem(const char *path, unsigned line, const char *problem, void *userdata _unused_) {
        if (line > 0)
                log_warning("/%s:%u: %s, ignoring.", path, line, problem);
        else
                log_warning("/%s cannot be read, ignoring: %s", path, problem);
}

static int load_config(Daemon *d, BusLimits *ret) {
        const char *root = d->options.root ?: "/";
        _cleanup_(closep) int root_fd = -EBADF;
        Config config = CONFIG_DEFAULT;

        root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0)
                return log_error_errno(errno, "Cannot open the root directory %s: %s", root, strerror(errno));
        if (config_load(root_fd, &config, on_config_problem, NULL) < 0)
                return log_error_errno(ENOMEM, "Not enough memory for the configuration.");

        d->options.limits = (ManagerLimits){
                .devices_max = config.devices_max,
                .operations_max = config.operations_max,
                .creations_max = config.creations_per_driver_max,
                .operations_queued_max = config.operations_queued_max,
        };
        d->options.script_timeout_sec = config.script_timeout_sec;
        *ret = (BusLimits){
                .calls_per_client_max = config.calls_per_client_max,
                .authorizations_max = config.authorizations_max,
                .authorizations_per_user_max = config.authorizations_per_user_max,
        };
        return 0;
}

static int block_signals(void) {
        sigset_t set;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGHUP);
        (void) sigaddset(&set, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        return signal(SIGPIPE, SIG_IGN) == SIG_ERR ? -errno : 0;
}

static int add_signals(Daemon *d) {
        int r;

        r = sd_event_add_signal(d->event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(d->event, NULL, SIGINT, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(d->event, NULL, SIGHUP, on_hangup, d);
        return r;
}

static void tell_later(Daemon *d, uint64_t usec) {
        (void) sd_event_source_set_time_relative(d->late, usec);
        (void) sd_event_source_set_enabled(d->late, SD_EVENT_ONESHOT);
}

static void tell_journal(Daemon *d) {
        (void) sd_event_source_set_enabled(d->late, SD_EVENT_OFF);
        log_flush();
        if (log_refused(NULL) > 0)
                tell_later(d, REFUSED_USEC);
}

static int on_idle(sd_event_source *s _unused_, void *userdata) {
        Daemon *d = userdata;

        if (!d->manager || registry_count(manager_registry(d->manager)).n_operations == 0)
                tell_journal(d);
        return 0;
}

static int on_late(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        tell_journal(userdata);
        return 0;
}

static void on_line(void *userdata) {
        Daemon *d = userdata;
        int enabled;

        (void) sd_event_source_set_enabled(d->idle, SD_EVENT_ONESHOT);
        if (sd_event_source_get_enabled(d->late, &enabled) == 0)
                tell_later(d, LINES_USEC);
}

/* Without that the journal is told at once. */
static void hold_lines(Daemon *d) {
        if (sd_event_add_defer(d->event, &d->idle, on_idle, d) >= 0 &&
                        sd_event_source_set_priority(d->idle, SD_EVENT_PRIORITY_IDLE) >= 0 &&
                        sd_event_add_time_relative(d->event, &d->late, CLOCK_MONOTONIC, 0, 1, on_late, d) >=
                                        0)
                log_hold(on_line, d);
}

static int run(Daemon *d) {
        BusLimits limits;
        int r;

        r = load_config(d, &limits);
        if (r < 0)
                return r;
        r = block_signals();
        if (r < 0)
                return log_error_errno(r, "Cannot block signals: %s", strerror(-r));
        r = sd_event_default(&d->event);
        if (r < 0)
                return log_error_errno(r, "Cannot make an event loop: %s", strerror(-r));
        r = add_signals(d);
        if (r < 0)
                return log_error_errno(r, "Cannot listen to signals: %s", strerror(-r));
        (void) sd_event_set_watchdog(d->event, true);
        hold_lines(d);

        r = manager_new(&d->manager, d->event, &d->options);
        if (r < 0)
                return r;
        r = bus_new(&d->bus, d->event, d->manager, &limits);
        if (r < 0)
                return r;
        r = manager_start(d->manager, on_ready, d);
        if (r < 0)
                return log_error_errno(r, "Cannot take in what is there: %s", strerror(-r));

        r = sd_event_loop(d->event);
        (void) sd_notify(false, "STOPPING=1");
        return r;
}

int main(int argc, char *argv[]) {
        _cleanup_(daemon_done) Daemon d = {
                .options = { .worker_path = MDEVD_WORKER_PATH },
        };
        int r;

        log_open(LOG_INFO);
        r = parse_arguments(argc, argv, &d);
        if (r > 0)
                r = run(&d);
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hands on the files: what the watch tells is gathered for a moment, because such things come in swarms (an
 * editor makes several events of one save, git thousands), and then read by a worker. So many places that to
 * list them is no gain are read as everything.
 *
 * What operations of ours write makes events too. Each makes exactly one for its file, of a known kind,
 * before its result arrives; where there was one more, somebody else was there as well, and the file is read.
 */

#include <stdio.h>

#include "api/mdevd-messages.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/manager-private.h"
#include "host/watch.h"
#include "model/name.h"

#define GATHER_USEC (UINT64_C(30) * 1000)
#define EVENTS_AT_ONCE 4096U
#define PLACES_MAX 256U

typedef struct Place {
        char *where; /* as wire.h has it */
        Uuid uuid;
        bool has_uuid;
        unsigned n_renamed_in, n_deleted, n_others; /* events */
} Place;

struct Watching {
        Watch *watch;
        sd_event_source *io;
        sd_event_source *timer;
        Place *places;
        size_t n_places, n_allocated;
        bool everything;
        bool warned;
};

static void place_done(Place *p) {
        free(p->where);
}

static void drop_place(Watching *w, size_t i) {
        place_done(&w->places[i]);
        w->places[i] = w->places[--w->n_places];
}

static void set_everything(Watching *w) {
        w->everything = true;
        while (w->n_places > 0)
                drop_place(w, w->n_places - 1);
}

/* Return: NULL if there is no room for it, then everything is to be read. */
static Place *find_place(Watching *w, const char *where) {
        char *copy;

        if (w->everything)
                return NULL;
        for (size_t i = 0; i < w->n_places; i++)
                if (streq(w->places[i].where, where))
                        return &w->places[i];

        copy = w->n_places < PLACES_MAX ? strdup(where) : NULL;
        if (!copy || grow((void **) &w->places, &w->n_allocated, w->n_places + 1, sizeof *w->places) < 0) {
                if (w->n_places < PLACES_MAX)
                        (void) memory_check(-ENOMEM);
                free(copy);
                set_everything(w);
                return NULL;
        }
        w->places[w->n_places] = (Place){ .where = copy };
        return &w->places[w->n_places++];
}

/* One whose definitions an operation is writing waits for that. */
static bool is_ripe(const Manager *m, const Place *p) {
        return !p->has_uuid || !registry_is_written(m->registry, &p->uuid);
}

static int read_places(Manager *m) {
        Watching *w = m->watching;
        _cleanup_(strv_freep) char **places = calloc(w->n_places + 1, sizeof *places);
        size_t n = 0;
        int r;

        if (!places)
                return -ENOMEM;
        for (size_t i = 0; i < w->n_places; i++)
                if (is_ripe(m, &w->places[i])) {
                        places[n] = strdup(w->places[i].where);
                        if (!places[n++])
                                return -ENOMEM;
                }
        if (n == 0)
                return 0;

        r = files_read(m, places);
        if (r < 0)
                return r;
        TAKE_PTR(places);
        for (size_t i = w->n_places; i-- > 0;)
                if (is_ripe(m, &w->places[i]))
                        drop_place(w, i);
        return 0;
}

static int on_gathered(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        _cleanup_(failure_done) Failure f = FAILURE_INIT;
        Manager *m = userdata;
        Watching *w = m->watching;

        w->timer = sd_event_source_disable_unref(w->timer);
        /* Without memory to list the places, all that is in them is read. What fails is owed: files.c knows.
         */
        if (w->everything || memory_check(read_places(m)) == -ENOMEM) {
                w->everything = false;
                (void) memory_check(files_scan(m, &f, NULL, NULL));
        }

        manager_commit(m);
        return 0;
}

static void gather(Manager *m) {
        Watching *w = m->watching;
        bool ripe = w->everything;

        for (size_t i = 0; i < w->n_places && !ripe; i++)
                ripe = is_ripe(m, &w->places[i]);
        if (ripe && !w->timer &&
                        memory_check(sd_event_add_time_relative(m->event, &w->timer, CLOCK_MONOTONIC,
                                        GATHER_USEC, 0, on_gathered, m)) < 0)
                log_debug("No memory to wait for more changes of the files, ignoring.");
}

void watching_go_on(Manager *m) {
        if (m->watching)
                gather(m);
}

/* A name that is no text cannot be sent: then all of its folder is read. */
static void take_in(Watching *w, const WatchEvent *e) {
        char where[2 * NAME_LENGTH_MAX + 2];
        bool is_file = e->kind == WATCH_FILE && text_is_utf8(e->name);
        Place *p;

        if (e->kind == WATCH_EVERYTHING) {
                set_everything(w);
                return;
        }

        (void) snprintf(where, sizeof where, "%s/%s", e->parent, is_file ? e->name : "");
        p = find_place(w, where);
        if (!p)
                return;
        p->has_uuid = is_file && uuid_from_text(e->name, &p->uuid) >= 0;
        if (e->renamed_in)
                p->n_renamed_in++;
        else if (e->deleted)
                p->n_deleted++;
        else
                p->n_others++;
}

static int on_watch(sd_event_source *s _unused_, int fd _unused_, uint32_t events _unused_, void *userdata) {
        Manager *m = userdata;
        WatchEvent e;

        for (unsigned i = 0; i < EVENTS_AT_ONCE && watch_receive(m->watching->watch, &e) > 0; i++)
                take_in(m->watching, &e);
        gather(m);
        return 0;
}

void watching_operation_told(Manager *m, const Uuid *uuid, const char *parent, bool exists, bool succeeded) {
        char where[NAME_LENGTH_MAX + UUID_TEXT_SIZE + 2];
        Watching *w = m->watching;
        WatchEvent e;

        if (!w)
                return;

        /* The kernel queued the event of what was done before the word that it was done could be sent. */
        while (watch_receive(w->watch, &e) > 0)
                take_in(w, &e);

        (void) snprintf(where, sizeof where, "%s/%s", parent, UUID_TEXT(uuid));
        for (size_t i = 0; i < w->n_places; i++) {
                const Place *p = &w->places[i];

                if (succeeded && streq(p->where, where) && p->n_others == 0 &&
                                p->n_renamed_in == (exists ? 1 : 0) && p->n_deleted == (exists ? 0 : 1)) {
                        drop_place(w, i);
                        break;
                }
        }
        gather(m);
}

void watching_read_again(Manager *m, const Uuid *uuid) {
        char where[UUID_TEXT_SIZE + 1];

        if (!m->watching)
                return;
        (void) snprintf(where, sizeof where, "/%s", UUID_TEXT(uuid));
        (void) find_place(m->watching, where);
        gather(m);
}

void watching_update(Manager *m) {
        Watching *w = m->watching;
        int r;

        if (!w)
                return;
        r = watch_update(w->watch);
        if (r >= 0 || w->warned)
                return;

        w->warned = true;
        log_event(LOG_WARNING, MDEVD_MESSAGE_NO_WATCH, NULL,
                        "Not all of " DEFINITIONS_PATH
                        " can be watched: what others change there is seen only "
                        "after \"systemctl reload mdevd\": %s",
                        strerror(-r));
}

static int start(Manager *m) {
        int r;

        m->watching = calloc(1, sizeof *m->watching);
        if (!m->watching)
                return -ENOMEM;
        r = watch_new(m->root_fd, &m->watching->watch);
        if (r < 0)
                return r;
        return sd_event_add_io(
                        m->event, &m->watching->io, watch_fd(m->watching->watch), EPOLLIN, on_watch, m);
}

void watching_start(Manager *m) {
        int r;

        r = start(m);
        if (r >= 0)
                return;

        log_event(LOG_WARNING, MDEVD_MESSAGE_NO_WATCH, NULL,
                        DEFINITIONS_PATH " cannot be watched: what others change there is seen only after "
                                         "\"systemctl reload mdevd\": %s",
                        strerror(-r));
        watching_stop(m);
}

void watching_stop(Manager *m) {
        Watching *w = m->watching;

        if (!w)
                return;

        (void) sd_event_source_disable_unref(w->io);
        (void) sd_event_source_disable_unref(w->timer);
        (void) watch_free(w->watch);
        for (size_t i = 0; i < w->n_places; i++)
                place_done(&w->places[i]);
        free(w->places);
        free(w);
        m->watching = NULL;
}

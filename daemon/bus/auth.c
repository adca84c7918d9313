/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two questions, both asked without waiting: the bus is asked who the sender is, and if it is not root,
 * polkit is asked whether it may. A unique name never changes its owner and is never given away again, so the
 * first answer can be kept.
 *
 * Queries belong to their message. The handler is entered a second time with the same message (sd-bus hands
 * out the very pointer that was queued); when the loop is idle after that, the query has served. A sender
 * that leaves meanwhile takes its query with it, and polkit is told. */

#include <stdio.h>

#include <systemd/sd-event.h>

#include "api/mdevd-names.h"
#include "base/log.h"
#include "bus/auth.h"

#define SENDERS_KEPT 64U

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define POLKIT_ALLOW_USER_INTERACTION 1U

typedef struct Query {
        struct Query *next;
        Auth *auth;
        sd_bus_message *message;
        char *sender;
        const char *action; /* static */
        char *uuid, *parent, *type;
        uint64_t id; /* for polkit, to cancel by */
        bool asked_polkit;
        bool answered;
        sd_bus_error error; /* the answer "no" */
        sd_bus_slot *slot;
        sd_bus_track *track;
        sd_event_source *served;
} Query;

struct Auth {
        sd_bus *bus;
        Query *queries;
        unsigned n_queries, queries_max, queries_per_sender_max;
        uint64_t last_id;

        /* The senders asked about last; the oldest is overwritten. */
        struct Sender {
                char *name;
                uint32_t uid;
        } senders[SENDERS_KEPT];
        unsigned next_sender;
};

static void sd_bus_message_unrefp_(sd_bus_message **m) {
        (void) sd_bus_message_unref(*m);
}

static void cancel_polkit(const Query *q) {
        char id[32];

        (void) snprintf(id, sizeof id, "mdevd-%llu", (unsigned long long) q->id);
        (void) sd_bus_call_method_async(q->auth->bus, NULL, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                        "CancelCheckAuthorization", NULL, NULL, "s", id);
}

static Query *query_free(Query *q) {
        if (!q)
                return NULL;

        for (Query **p = &q->auth->queries; *p; p = &(*p)->next)
                if (*p == q) {
                        *p = q->next;
                        q->auth->n_queries--;
                        break;
                }

        (void) sd_bus_slot_unref(q->slot);
        (void) sd_bus_track_unref(q->track);
        (void) sd_event_source_disable_unref(q->served);
        (void) sd_bus_message_unref(q->message);
        sd_bus_error_free(&q->error);
        free(q->sender);
        free(q->uuid);
        free(q->parent);
        free(q->type);
        free(q);
        return NULL;
}

DEFINE_CLEANUP(Query *, query_free);

int auth_new(Auth **ret, sd_bus *bus, unsigned queries_max, unsigned queries_per_sender_max) {
        Auth *a = calloc(1, sizeof *a);

        if (!a)
                return -ENOMEM;

        a->bus = sd_bus_ref(bus);
        a->queries_max = queries_max;
        a->queries_per_sender_max = queries_per_sender_max;
        *ret = a;
        return 0;
}

Auth *auth_free(Auth *a) {
        if (!a)
                return NULL;

        while (a->queries)
                (void) query_free(a->queries);
        for (unsigned i = 0; i < SENDERS_KEPT; i++)
                free(a->senders[i].name);
        (void) sd_bus_unref(a->bus);
        free(a);
        return NULL;
}

static const uint32_t *find_sender(const Auth *a, const char *name) {
        for (unsigned i = 0; i < SENDERS_KEPT; i++)
                if (streq_ptr(a->senders[i].name, name))
                        return &a->senders[i].uid;

        return NULL;
}

static void keep_sender(Auth *a, const char *name, uint32_t uid) {
        struct Sender *s = &a->senders[a->next_sender];

        if (free_and_strdup(&s->name, name) < 0)
                return;
        s->uid = uid;
        a->next_sender = (a->next_sender + 1) % SENDERS_KEPT;
}

/* Answers */

static int on_served(sd_event_source *source _unused_, void *userdata) {
        Query *served = userdata;
        sd_bus_message *message = served->message;
        Auth *a = served->auth;
        Query *next;

        for (const Query *q = a->queries; q; q = q->next)
                if (q->message == message && !q->answered)
                        return 0;

        for (Query *q = a->queries; q; q = next) {
                next = q->next;
                if (q->message == message)
                        (void) query_free(q);
        }
        return 0;
}

/* The answer is there: the handler is to be entered again, and the query to go after that. */
static int query_answer(Query *q) {
        int r;

        q->answered = true;
        q->slot = sd_bus_slot_unref(q->slot);
        q->track = sd_bus_track_unref(q->track);

        r = sd_event_add_defer(sd_bus_get_event(q->auth->bus), &q->served, on_served, q);
        if (r >= 0)
                r = sd_event_source_set_priority(q->served, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_bus_message_rewind(q->message, true);
        if (r >= 0)
                r = sd_bus_enqueue_for_read(q->auth->bus, q->message);
        if (r < 0) {
                (void) sd_bus_reply_method_errorf(q->message, SD_BUS_ERROR_FAILED,
                                "The authorization could not be dealt with: %s", strerror(-r));
                (void) query_free(q);
        }

        return 0;
}

static int query_refuse(Query *q, const char *name, const char *sentence) {
        (void) sd_bus_error_set(&q->error, name, sentence);
        return query_answer(q);
}

static int on_polkit_answer(sd_bus_message *reply, void *userdata, sd_bus_error *e _unused_) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        int authorized = false, challenge = false;
        Query *q = userdata;

        q->asked_polkit = false;

        /* No polkit, or one that died: root only. */
        if (error) {
                log_debug("polkit does not answer: %s", error->message);
                return query_refuse(q, SD_BUS_ERROR_ACCESS_DENIED,
                                "Only root may do this: polkit, which could allow others to, cannot be asked.");
        }
        if (sd_bus_message_enter_container(reply, 'r', "bba{ss}") < 0 ||
                        sd_bus_message_read(reply, "bb", &authorized, &challenge) < 0)
                authorized = challenge = false;

        if (authorized)
                return query_answer(q);
        if (challenge)
                return query_refuse(q, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                "polkit wants to ask the user for this, and the call does not allow interaction. Call as "
                                "root, or with interactive authorization allowed.");
        return query_refuse(q, SD_BUS_ERROR_ACCESS_DENIED,
                        "polkit does not allow this. Call as root, or have a polkit rule for the action.");
}

static int ask_polkit(Query *q) {
        _cleanup_(sd_bus_message_unrefp_) sd_bus_message *call = NULL;
        bool interactive = sd_bus_message_get_allow_interactive_authorization(q->message) > 0;
        char id[32];
        int r;

        (void) snprintf(id, sizeof id, "mdevd-%llu", (unsigned long long) q->id);

        r = sd_bus_message_new_method_call(q->auth->bus, &call, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                        "CheckAuthorization");
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "(sa{sv})s", "system-bus-name", 1, "name", "s", q->sender, q->action);
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "a{ss}us", 3, "uuid", q->uuid, "parent", q->parent, "type", q->type,
                        interactive ? POLKIT_ALLOW_USER_INTERACTION : 0U, id);
        if (r < 0)
                return r;

        /* A person may take as long as it takes to type a password. */
        q->slot = sd_bus_slot_unref(q->slot);
        r = sd_bus_call_async(q->auth->bus, &q->slot, call, on_polkit_answer, q, UINT64_MAX);
        if (r >= 0)
                q->asked_polkit = true;
        return r;
}

/* Whether there are more questions than may be pending, with @more to come. Root's are none: they end at the
 * bus. */
static bool too_many(const Auth *a, const char *sender, unsigned more) {
        unsigned n = more;

        for (const Query *q = a->queries; q; q = q->next)
                n += streq(q->sender, sender);

        return n > a->queries_per_sender_max || a->n_queries + more > a->queries_max;
}

static int refuse_too_many(const Auth *a, sd_bus_error *error) {
        return sd_bus_error_setf(error, MDEVD_ERROR_LIMITS_EXCEEDED,
                        "Too many authorizations pending: the limit is %u for one client and %u for all.",
                        a->queries_per_sender_max, a->queries_max);
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *e _unused_) {
        Query *q = userdata;
        uint32_t uid;
        int r;

        if (sd_bus_message_get_error(reply) || sd_bus_message_read(reply, "u", &uid) < 0)
                return query_refuse(q, SD_BUS_ERROR_ACCESS_DENIED, "The bus does not say who you are.");

        keep_sender(q->auth, q->sender, uid);
        if (uid == 0)
                return query_answer(q);

        if (too_many(q->auth, q->sender, 0)) {
                (void) refuse_too_many(q->auth, &q->error);
                return query_answer(q);
        }
        r = ask_polkit(q);
        return r < 0 ? query_refuse(q, SD_BUS_ERROR_ACCESS_DENIED, "polkit cannot be asked.") : 0;
}

static int ask_bus(Query *q) {
        return sd_bus_call_method_async(q->auth->bus, &q->slot, "org.freedesktop.DBus",
                        "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixUser",
                        on_credentials, q, "s", q->sender);
}

/* Questions */

/* All of its questions go, also those that were answered and wait for another one's answer. */
static int on_sender_gone(sd_bus_track *track _unused_, void *userdata) {
        Query *gone = userdata;
        sd_bus_message *message = gone->message;
        Auth *a = gone->auth;
        Query *next;

        for (Query *q = a->queries; q; q = next) {
                next = q->next;
                if (q->message != message)
                        continue;
                if (q->asked_polkit)
                        cancel_polkit(q);
                (void) query_free(q);
        }
        return 0;
}

static Query *find_answer(const Auth *a, const sd_bus_message *message, const char *action, const char *uuid,
                const char *parent, const char *type) {
        for (Query *q = a->queries; q; q = q->next)
                if (q->message == message && q->answered && streq(q->action, action) &&
                                streq(q->uuid, uuid) && streq(q->parent, parent) && streq(q->type, type))
                        return q;

        return NULL;
}

static int query_new(Auth *a, sd_bus_message *message, const char *sender, const char *action,
                const char *uuid, const char *parent, const char *type, Query **ret) {
        _cleanup_(query_freep) Query *q = calloc(1, sizeof *q);
        int r;

        if (!q)
                return -ENOMEM;
        q->auth = a;
        q->message = sd_bus_message_ref(message);
        q->id = ++a->last_id;
        q->action = action;
        if (free_and_strdup(&q->sender, sender) < 0 || free_and_strdup(&q->uuid, uuid) < 0 ||
                        free_and_strdup(&q->parent, parent) < 0 || free_and_strdup(&q->type, type) < 0)
                return -ENOMEM;

        r = sd_bus_track_new(a->bus, &q->track, on_sender_gone, q);
        if (r < 0)
                return r;
        r = sd_bus_track_add_sender(q->track, message);
        if (r < 0)
                return r;

        q->next = a->queries;
        a->queries = q;
        a->n_queries++;
        *ret = TAKE_PTR(q);
        return 0;
}

int auth_check(Auth *a, sd_bus_message *message, const char *action, const char *uuid, const char *parent,
                const char *type, sd_bus_error *error) {
        const char *sender = sd_bus_message_get_sender(message);
        Query *q = find_answer(a, message, action, uuid, parent, type);
        const uint32_t *uid;
        int r;

        if (q)
                return sd_bus_error_is_set(&q->error) ? sd_bus_error_copy(error, &q->error) : 1;

        if (!sender)
                return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "The message has no sender.");
        uid = find_sender(a, sender);
        if (uid && *uid == 0)
                return 1;
        if (uid && too_many(a, sender, 1))
                return refuse_too_many(a, error);

        r = query_new(a, message, sender, action, uuid, parent, type, &q);
        if (r < 0)
                return sd_bus_error_set_errno(error, r);
        r = uid ? ask_polkit(q) : ask_bus(q);
        if (r < 0) {
                (void) query_free(q);
                return sd_bus_error_set_errno(error, r);
        }

        return 0;
}

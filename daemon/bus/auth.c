/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two questions, both asked without waiting: the bus is asked who the sender is, once for each, and if it is
 * not root, polkit is asked whether it may. (Its process and unit are for the journal only, which says who
 * asked: another may have that number by now.) A unique name never changes its owner and is never given away
 * again, so the first answer holds until the bus tells that the sender is gone: by a signal that is listened
 * to from the start, because sd_bus_track would ask for each sender whether it is still there, and wait.
 *
 * That an answer is polkit's own the bus sees to: it lets a reply through from that connection alone which it
 * handed the question to, once, whatever its policy. To compare the sender here as well would need polkit's
 * unique name before it is asked, which it has none as long as the question is yet to start it.
 *
 * Queries belong to their message. The handler is entered a second time with the same message (sd-bus hands
 * out the very pointer that was queued), and right after that the query has served. A sender that leaves
 * meanwhile takes its queries with it, and polkit is told. */

#include <stdio.h>
#include <time.h>

#include <systemd/sd-event.h>
#include <systemd/sd-login.h>

#include "api/mdevd-names.h"
#include "base/log.h"
#include "base/memory.h"
#include "bus/auth.h"
#include "bus/clients.h"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define POLKIT_ALLOW_USER_INTERACTION 1U

/* A person may take as long as it takes to type a password; rules alone, which polkit itself gives some ten
 * seconds each, may not. */
#define POLKIT_PATIENCE_USEC (60U * UINT64_C(1000000))

/* Before all else. */
#define SERVED_PRIORITY (SD_EVENT_PRIORITY_NORMAL - 2)

/* Rules that take longer are trouble. */
#define POLKIT_SLOW_USEC (10U * UINT64_C(1000000))

#define NAME_LOST                                                                   \
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus'," \
        "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''"

/* Somebody on the bus who asked for something that not everybody may; as many as the bus has clients. */
typedef struct Sender {
        struct Sender *next;
        Auth *auth;
        char *name;
        bool is_known; /* @uid is; until then all queries wait for that */
        uint32_t uid;
        uint32_t pid;      /* 0: not known */
        char *unit;        /* of its service or user manager; NULL: not known */
        sd_bus_slot *slot; /* of the question who it is */

        struct Query *queries, **queries_end; /* in the order in which they came */
        unsigned n_queries, n_asked;
} Sender;

typedef struct Query {
        struct Query *next;
        Sender *sender;
        sd_bus_message *message;
        const char *action; /* static */
        char *uuid, *parent, *type;
        uint64_t id; /* for polkit, to cancel by */
        bool asked;  /* polkit, and it has not answered */
        uint64_t asked_usec;
        bool answered;
        sd_bus_error error; /* the answer "no" */
        sd_bus_slot *slot;
        sd_event_source *served;
} Query;

struct Auth {
        sd_bus *bus;
        sd_bus_slot *name_lost;
        BusLimits limits;
        Sender *senders;
        unsigned n_asked;
        uint64_t last_id;
        uint64_t silent_since_usec; /* polkit has not answered since then; 0: it does */
};

static void sd_bus_message_unrefp_(sd_bus_message **m) {
        (void) sd_bus_message_unref(*m);
}

/* Not worth to start polkit for, should it be gone. */
static void cancel_polkit(const Query *q) {
        _cleanup_(sd_bus_message_unrefp_) sd_bus_message *call = NULL;
        sd_bus *bus = q->sender->auth->bus;
        char id[32];

        (void) snprintf(id, sizeof id, "mdevd-%llu", (unsigned long long) q->id);

        if (sd_bus_message_new_method_call(bus, &call, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                            "CancelCheckAuthorization") < 0 ||
                        sd_bus_message_set_auto_start(call, false) < 0 ||
                        sd_bus_message_append(call, "s", id) < 0)
                return;
        (void) sd_bus_call_async(bus, NULL, call, NULL, NULL, 0);
}

static uint64_t now(void) {
        struct timespec t = {};

        (void) clock_gettime(CLOCK_REALTIME, &t);
        return (uint64_t) t.tv_sec * 1000 * 1000 + (uint64_t) t.tv_nsec / 1000;
}

static void query_set_asked(Query *q, bool asked) {
        int change = (int) asked - (int) q->asked;

        q->asked = asked;
        q->sender->n_asked += (unsigned) change;
        q->sender->auth->n_asked += (unsigned) change;
}

static Query *query_free(Query *q) {
        if (!q)
                return NULL;

        for (Query **p = &q->sender->queries; *p; p = &(*p)->next)
                if (*p == q) {
                        *p = q->next;
                        if (!*p)
                                q->sender->queries_end = p;
                        q->sender->n_queries--;
                        break;
                }

        query_set_asked(q, false);
        (void) sd_bus_slot_unref(q->slot);
        (void) sd_event_source_disable_unref(q->served);
        (void) sd_bus_message_unref(q->message);
        sd_bus_error_free(&q->error);
        free(q->uuid);
        free(q->parent);
        free(q->type);
        free(q);
        return NULL;
}

DEFINE_CLEANUP(Query *, query_free);

static Sender *sender_free(Sender *s) {
        if (!s)
                return NULL;

        while (s->queries) {
                if (s->queries->asked)
                        cancel_polkit(s->queries);
                (void) query_free(s->queries);
        }
        for (Sender **p = &s->auth->senders; *p; p = &(*p)->next)
                if (*p == s) {
                        *p = s->next;
                        break;
                }

        (void) sd_bus_slot_unref(s->slot);
        free(s->name);
        free(s->unit);
        free(s);
        return NULL;
}

DEFINE_CLEANUP(Sender *, sender_free);

static Sender *find_sender(const Auth *a, const char *name) {
        for (Sender *s = a->senders; s; s = s->next)
                if (streq(s->name, name))
                        return s;

        return NULL;
}

static int on_name_lost(sd_bus_message *signal, void *userdata, sd_bus_error *e _unused_) {
        const char *name;
        Auth *a = userdata;

        if (sd_bus_message_read(signal, "s", &name) >= 0)
                (void) sender_free(find_sender(a, name));
        return 0;
}

int auth_new(Auth **ret, sd_bus *bus, const BusLimits *limits) {
        _cleanup_(auth_freep) Auth *a = calloc(1, sizeof *a);
        int r;

        if (!a)
                return -ENOMEM;

        a->bus = sd_bus_ref(bus);
        a->limits = *limits;
        r = sd_bus_add_match_async(bus, &a->name_lost, NAME_LOST, on_name_lost, NULL, a);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(a);
        return 0;
}

Auth *auth_free(Auth *a) {
        if (!a)
                return NULL;

        while (a->senders)
                (void) sender_free(a->senders);
        (void) sd_bus_slot_unref(a->name_lost);
        (void) sd_bus_unref(a->bus);
        free(a);
        return NULL;
}

/* Answers */

static int on_served(sd_event_source *source _unused_, void *userdata) {
        Query *served = userdata;
        sd_bus_message *message = served->message;
        Sender *s = served->sender;
        Query *next;

        for (const Query *q = s->queries; q; q = q->next)
                if (q->message == message && !q->answered)
                        return 0;

        for (Query *q = s->queries; q; q = next) {
                next = q->next;
                if (q->message == message)
                        (void) query_free(q);
        }
        return 0;
}

/* The answer is there: the handler is to be entered again, and the query to go after that. */
static void query_answer(Query *q) {
        sd_bus *bus = q->sender->auth->bus;
        int r;

        query_set_asked(q, false);
        q->answered = true;
        q->slot = sd_bus_slot_unref(q->slot);

        r = sd_event_add_defer(sd_bus_get_event(bus), &q->served, on_served, q);
        if (r >= 0)
                r = sd_event_source_set_priority(q->served, SERVED_PRIORITY);
        if (r >= 0)
                r = sd_event_source_set_enabled(q->served, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_bus_message_rewind(q->message, true);
        if (r >= 0)
                r = sd_bus_enqueue_for_read(bus, q->message);
        if (memory_check(r) < 0) {
                (void) sd_bus_reply_method_errno(q->message, r, NULL);
                (void) query_free(q);
        }
}

static void query_refuse(Query *q, const char *name, const char *sentence) {
        (void) sd_bus_error_set(&q->error, name, sentence);
        query_answer(q);
}

static int on_polkit_answer(sd_bus_message *reply, void *userdata, sd_bus_error *e _unused_) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        int authorized = false, challenge = false;
        Query *q = userdata;

        /* No polkit, or one that died, or is stuck and need not go on: root only. */
        if (!error || !startswith(error->name, "org.freedesktop.DBus."))
                q->sender->auth->silent_since_usec = 0;
        else if (q->sender->auth->silent_since_usec == 0)
                q->sender->auth->silent_since_usec = q->asked_usec;
        if (error) {
                log_debug("polkit does not answer: %s", error->message);
                cancel_polkit(q);
                query_refuse(q, SD_BUS_ERROR_ACCESS_DENIED,
                                "Only root may do this: polkit, which could allow others to, cannot be asked.");
                return 0;
        }
        if (sd_bus_message_enter_container(reply, 'r', "bba{ss}") < 0 ||
                        sd_bus_message_read(reply, "bb", &authorized, &challenge) < 0)
                authorized = challenge = false;

        if (authorized)
                query_answer(q);
        else if (challenge)
                query_refuse(q, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                "polkit wants to ask the user for this, and the call does not allow interaction. Call as "
                                "root, or with interactive authorization allowed.");
        else
                query_refuse(q, SD_BUS_ERROR_ACCESS_DENIED,
                                "polkit does not allow this. Call as root, or have a polkit rule for the action.");
        return 0;
}

/* Questions */

static int ask_polkit(Query *q) {
        _cleanup_(sd_bus_message_unrefp_) sd_bus_message *call = NULL;
        bool interactive = sd_bus_message_get_allow_interactive_authorization(q->message) > 0;
        sd_bus *bus = q->sender->auth->bus;
        char id[32];
        int r;

        (void) snprintf(id, sizeof id, "mdevd-%llu", (unsigned long long) q->id);

        r = sd_bus_message_new_method_call(
                        bus, &call, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        call, "(sa{sv})s", "system-bus-name", 1, "name", "s", q->sender->name, q->action);
        if (r < 0)
                return r;
        r = sd_bus_message_append(call, "a{ss}us", 3, "uuid", q->uuid, "parent", q->parent, "type", q->type,
                        interactive ? POLKIT_ALLOW_USER_INTERACTION : 0U, id);
        if (r < 0)
                return r;

        r = sd_bus_call_async(bus, &q->slot, call, on_polkit_answer, q,
                        interactive ? UINT64_MAX : POLKIT_PATIENCE_USEC);
        if (r >= 0) {
                q->asked_usec = now();
                query_set_asked(q, true);
        }
        return r;
}

/* Whether there is no room for one more question to polkit: users have their shares, however many connections
 * each has. */
static bool too_many(const Auth *a, uint32_t uid) {
        unsigned n = 0;

        for (const Sender *s = a->senders; s; s = s->next)
                n += s->is_known && s->uid == uid ? s->n_asked : 0;

        return n >= a->limits.authorizations_per_user_max || a->n_asked >= a->limits.authorizations_max;
}

static int refuse_too_many(const Auth *a, sd_bus_error *error) {
        return sd_bus_error_setf(error, MDEVD_ERROR_LIMITS_EXCEEDED,
                        "Too many authorizations pending: the limit is %u for one user and %u for all.",
                        a->limits.authorizations_per_user_max, a->limits.authorizations_max);
}

/* What has waited for its sender to be known. */
static void query_go_on(Query *q) {
        const Auth *a = q->sender->auth;
        int r;

        if (q->sender->uid == 0)
                query_answer(q);
        else if (too_many(a, q->sender->uid)) {
                (void) refuse_too_many(a, &q->error);
                query_answer(q);
        } else {
                r = ask_polkit(q);
                if (memory_check(r) == -ENOMEM)
                        query_refuse(q, SD_BUS_ERROR_NO_MEMORY, "Not enough memory to ask polkit.");
                else if (r < 0)
                        query_refuse(q, SD_BUS_ERROR_ACCESS_DENIED, "polkit cannot be asked.");
        }
}

/* The credentials that the bus tells: names and values. Return: 0; a negative errno if the user is not among
 * them. */
static int read_credentials(sd_bus_message *reply, Sender *s) {
        bool has_uid = false;
        const char *name;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
                r = sd_bus_message_read(reply, "s", &name);
                if (r >= 0 && streq(name, "UnixUserID")) {
                        r = sd_bus_message_read(reply, "v", "u", &s->uid);
                        has_uid = r >= 0;
                } else if (r >= 0 && streq(name, "ProcessID"))
                        r = sd_bus_message_read(reply, "v", "u", &s->pid);
                else if (r >= 0)
                        r = sd_bus_message_skip(reply, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }

        return r < 0 ? r : has_uid ? 0 : -ENODATA;
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *e _unused_) {
        Sender *s = userdata;
        Query *next;

        s->slot = sd_bus_slot_unref(s->slot);

        if (sd_bus_message_get_error(reply) || read_credentials(reply, s) < 0) {
                for (const Query *q = s->queries; q; q = q->next)
                        (void) sd_bus_reply_method_errorf(q->message, SD_BUS_ERROR_ACCESS_DENIED,
                                        "The bus does not say who you are.");
                (void) sender_free(s);
                return 0;
        }

        s->is_known = true;
        if (s->pid > 0 && sd_pid_get_unit((pid_t) s->pid, &s->unit) < 0)
                s->unit = NULL;
        for (Query *q = s->queries; q; q = next) {
                next = q->next;
                query_go_on(q);
        }
        return 0;
}

static int sender_new(Auth *a, const char *name, Sender **ret) {
        _cleanup_(sender_freep) Sender *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return -ENOMEM;
        s->auth = a;
        s->queries_end = &s->queries;
        s->name = strdup(name);
        if (!s->name)
                return -ENOMEM;

        r = sd_bus_call_method_async(a->bus, &s->slot, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus", "GetConnectionCredentials", on_credentials, s, "s", name);
        if (r < 0)
                return r;

        s->next = a->senders;
        a->senders = s;
        *ret = TAKE_PTR(s);
        return 0;
}

static Query *find_answer(const Sender *s, const sd_bus_message *message, const char *action,
                const char *uuid, const char *parent, const char *type) {
        for (Query *q = s->queries; q; q = q->next)
                if (q->message == message && q->answered && streq(q->action, action) &&
                                streq(q->uuid, uuid) && streq(q->parent, parent) && streq(q->type, type))
                        return q;

        return NULL;
}

static int query_new(Sender *s, sd_bus_message *message, const char *action, const char *uuid,
                const char *parent, const char *type, Query **ret) {
        _cleanup_(query_freep) Query *q = calloc(1, sizeof *q);

        if (!q)
                return -ENOMEM;
        q->sender = s;
        q->message = sd_bus_message_ref(message);
        q->id = ++s->auth->last_id;
        q->action = action;
        if (free_and_strdup(&q->uuid, uuid) < 0 || free_and_strdup(&q->parent, parent) < 0 ||
                        free_and_strdup(&q->type, type) < 0)
                return -ENOMEM;

        *s->queries_end = q;
        s->queries_end = &q->next;
        s->n_queries++;
        *ret = TAKE_PTR(q);
        return 0;
}

int auth_check(Auth *a, sd_bus_message *message, const char *action, const char *uuid, const char *parent,
                const char *type, sd_bus_error *error) {
        const char *name = sd_bus_message_get_sender(message);
        Sender *s;
        Query *q;
        int r;

        if (!name)
                return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "The message has no sender.");

        s = find_sender(a, name);
        q = s ? find_answer(s, message, action, uuid, parent, type) : NULL;
        if (q)
                return sd_bus_error_is_set(&q->error) ? sd_bus_error_copy(error, &q->error) : 1;

        if (s && s->is_known && s->uid == 0)
                return 1;
        if (s && s->is_known && too_many(a, s->uid))
                return refuse_too_many(a, error);
        if (s && !s->is_known && s->n_queries >= a->limits.calls_per_client_max)
                return too_many_calls(a->limits.calls_per_client_max, error);

        r = s ? 0 : sender_new(a, name, &s);
        if (r >= 0)
                r = query_new(s, message, action, uuid, parent, type, &q);
        if (r >= 0 && s->is_known) {
                r = ask_polkit(q);
                if (r < 0)
                        (void) query_free(q);
        }
        return r < 0 ? sd_bus_error_set_errno(error, r) : 0;
}

void auth_identify(const Auth *a, sd_bus_message *message, Requester *ret) {
        const char *name = sd_bus_message_get_sender(message);
        const Sender *s = name ? find_sender(a, name) : NULL;

        *ret = (Requester){};
        if (s && s->is_known)
                *ret = (Requester){ .is_known = true, .uid = s->uid, .pid = s->pid, .unit = s->unit };
}

/* A question that waits for a person is none. */
static uint64_t oldest_question(const Auth *a) {
        uint64_t oldest = UINT64_MAX;

        for (const Sender *s = a->senders; s; s = s->next)
                for (const Query *q = s->queries; q; q = q->next)
                        if (q->asked && sd_bus_message_get_allow_interactive_authorization(q->message) <= 0)
                                oldest = MIN(oldest, q->asked_usec);

        return oldest;
}

int auth_list_troubles(const Auth *a, TroubleFn fn, void *userdata) {
        uint64_t since = a->silent_since_usec > 0 ? a->silent_since_usec : oldest_question(a);

        if (a->silent_since_usec == 0 && (since == UINT64_MAX || now() < since + POLKIT_SLOW_USEC))
                return 0;
        return fn(&(Trouble){ .name = "polkit",
                                  .sentence = "polkit does not answer: nobody but root may change anything.",
                                  .since_usec = since },
                        userdata);
}

bool auth_takes_up(const Auth *a, sd_bus_message *message) {
        const char *name = sd_bus_message_get_sender(message);
        const Sender *s = name ? find_sender(a, name) : NULL;
        bool has_answer = false;

        for (const Query *q = s ? s->queries : NULL; q; q = q->next)
                if (q->message == message && q->answered) {
                        has_answer = true;
                        (void) sd_event_source_set_enabled(q->served, SD_EVENT_ONESHOT);
                }

        return has_answer;
}

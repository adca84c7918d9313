/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All calls are sent before any answer is waited for; the daemon does the rest side by side. What mdevd
 * allows a client to have under way is the bound, and beyond it the answers make room. */

#include "tools/devices.h"
#include "tools/identity.h"
#include "tools/many.h"
#include "tools/picture.h"

#define CALLS_MAX 256U /* under way; less than what one client may have */

typedef struct Many Many;

typedef struct One {
        Many *many;
        char uuid[IDENTITY_SIZE];
} One;

struct Many {
        const Arguments *arguments;
        const char *method;
        sd_bus *bus;
        One *list;
        size_t n, n_allocated, n_sent, n_done, n_failed;
        json_object *results;
        int error; /* the first */
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

        r = devices_read(m->bus, start ? DEVICES_DEFINED : DEVICES_ACTIVE, NULL,
                        arguments_get(m->arguments, OPTION_PARENT), &devices);
        for (size_t i = 0; i < devices.n && r >= 0; i++)
                if (devices.list[i].active != start)
                        r = add_one(m, devices.list[i].uuid);
        return r;
}

static int put_result(Many *m, const One *one, const sd_bus_error *error) {
        json_object *result = json_object_new_object();

        if (json_object_array_add(m->results, result) < 0 ||
                        value_put_string(result, "uuid", one->uuid) < 0 ||
                        value_put(result, "done", json_object_new_boolean(!error)) < 0)
                return -ENOMEM;
        if (!error)
                return 0;
        return value_put_string(result, "error", strempty(error->name)) < 0
                        ? -ENOMEM
                        : value_put_string(result, "message", strempty(error->message));
}

static int on_answer(sd_bus_message *answer, void *userdata, sd_bus_error *ret_error _unused_) {
        const sd_bus_error *error = sd_bus_message_get_error(answer);
        One *one = userdata;
        Many *m = one->many;

        m->n_done++;
        if (error) {
                int r = -sd_bus_message_get_errno(answer);

                m->n_failed++;
                m->error = m->error < 0 ? m->error : r < 0 ? r : -EIO;
                (void) client_complain(r, error, one->uuid);
        }
        if (m->results)
                return put_result(m, one, error);
        if (!error)
                printf("%s %s\n", one->uuid, streq(m->method, "Start") ? "started" : "stopped");
        (void) fflush(stdout);
        return 0;
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
        if (r >= 0)
                r = sd_bus_message_close_container(call);
        return r < 0 ? r : sd_bus_call_async(m->bus, NULL, call, on_answer, one, UINT64_MAX);
}

static int call_all(Many *m) {
        int r = 0;

        while (m->n_done < m->n) {
                while (m->n_sent < m->n && m->n_sent - m->n_done < CALLS_MAX) {
                        r = send_one(m, &m->list[m->n_sent]);
                        if (r < 0)
                                return complain(r, "Device %s: the request could not be sent: %s",
                                                m->list[m->n_sent].uuid, strerror(-r));
                        m->n_sent++;
                }
                r = sd_bus_process(m->bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(m->bus, UINT64_MAX);
                if (r < 0 && r != -EINTR)
                        return complain(r,
                                        "The connection to mdevd is lost: %s. What was begun there goes on",
                                        strerror(-r));
        }

        return 0;
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
        free(m.list);
        (void) json_object_put(m.results);
        return r;
}

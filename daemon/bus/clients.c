/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Only clients with a call under way are known here, and those are few: a plain vector. */

#include "api/mdevd-names.h"
#include "bus/clients.h"

typedef struct Client {
        char *name;
        unsigned n_calls;
} Client;

struct Clients {
        Client *clients;
        size_t n, n_allocated;
        unsigned calls_max;
};

int clients_new(Clients **ret, unsigned calls_max) {
        Clients *c = calloc(1, sizeof *c);

        if (!c)
                return -ENOMEM;

        c->calls_max = calls_max;
        *ret = c;
        return 0;
}

Clients *clients_free(Clients *c) {
        if (!c)
                return NULL;

        for (size_t i = 0; i < c->n; i++)
                free(c->clients[i].name);
        free(c->clients);
        free(c);
        return NULL;
}

static Client *find(const Clients *c, const char *name) {
        for (size_t i = 0; i < c->n; i++)
                if (streq(c->clients[i].name, name))
                        return &c->clients[i];

        return NULL;
}

int too_many_calls(unsigned limit, sd_bus_error *error) {
        return sd_bus_error_setf(error, MDEVD_ERROR_LIMITS_EXCEEDED,
                        "Too many calls of this client are under way: the limit is %u. Wait for some of the "
                        "answers.",
                        limit);
}

int clients_enter(Clients *c, sd_bus_message *message, sd_bus_error *error) {
        const char *name = strempty(sd_bus_message_get_sender(message));
        Client *client = find(c, name);
        int r;

        if (!client) {
                r = grow((void **) &c->clients, &c->n_allocated, c->n + 1, sizeof *c->clients);
                if (r < 0)
                        return r;
                c->clients[c->n] = (Client){ .name = strdup(name) };
                if (!c->clients[c->n].name)
                        return -ENOMEM;
                client = &c->clients[c->n++];
        }
        if (client->n_calls >= c->calls_max)
                return too_many_calls(c->calls_max, error);

        client->n_calls++;
        return 0;
}

void clients_leave(Clients *c, sd_bus_message *message) {
        Client *client = find(c, strempty(sd_bus_message_get_sender(message)));

        if (!client || --client->n_calls > 0)
                return;

        free(client->name);
        *client = c->clients[--c->n];
}

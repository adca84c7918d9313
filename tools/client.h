/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The way to the daemon. All that fails is told on stderr. */

#include <systemd/sd-bus.h>

#include "base/util.h"

/* Where the daemon is, for all that follows: another host, a container; NULL, both: here. Borrowed. */
void client_go_to(const char *host, const char *machine);

/* Whether it is not here: what this host's files and journal say is then no business of its. */
bool client_is_elsewhere(void);

/* Return: 0; a negative errno, then the reason was told. */
int client_open(sd_bus **ret);

/* A call under way; stays where it is as long as that. */
typedef struct ClientCall {
        sd_bus_slot *slot;
        sd_bus_message *answer; /* NULL: not there yet */
        int unbuilt, unsent;    /* a negative errno: why it is not under way after all */
        bool is_question;
} ClientCall;

void client_call_done(ClientCall *c);

/**
 * client_begin(), client_finish() - the two halves of client_try(), so that several calls can be under way
 *
 * What client_begin() fails with, client_finish() returns. Calls may be finished in any order, each once.
 */
void client_begin(sd_bus *bus, sd_bus_message *m, int r, ClientCall *c);
int client_finish(sd_bus *bus, ClientCall *c, sd_bus_error *error, sd_bus_message **ret);

/* The way to the daemon for what can be answered by reading, too. Zero-initialized. */
typedef struct ClientReader {
        sd_bus *bus;
        ClientCall first; /* tells whether there is a daemon */
} ClientReader;

void client_reader_done(ClientReader *reader);

/**
 * client_begin_reader() - ask whether there is a daemon
 * @property: one of the Manager's that is wanted, too, as it has to be asked something; or NULL
 *
 * Until client_finish_reader() more can be asked over the bus, if there is one.
 *
 * Return: 0; a negative errno, then the reason was told.
 */
int client_begin_reader(ClientReader *reader, const char *property);

/* Waits for that. Without a daemon here, and if none can be started, there is no bus after it, and
 * tools/offline.h answers. @ret_value: the property, a variant; untouched without an answer. May be NULL.
 * Return: 0; -ENOMEM, then that was told. */
int client_finish_reader(ClientReader *reader, sd_bus_message **ret_value);

/* Both at once. */
int client_open_reader(ClientReader *reader);

/* Begins a call of a method of the Manager. */
int client_new_question(sd_bus *bus, const char *method, sd_bus_message **ret);

/* The same for one that changes something: somebody at a terminal may be asked for a password. */
int client_new_request(sd_bus *bus, const char *method, sd_bus_message **ret);

/* Adds one entry to an open dictionary "a{sv}". */
int client_append_string(sd_bus_message *m, const char *name, const char *value);
int client_append_bool(sd_bus_message *m, const char *name, bool value);

/**
 * client_call() - send a call and wait for the answer, for as long as a driver may take
 *
 * SIGINT and SIGTERM end the program as ever, but if something was to be changed it says before that the
 * daemon goes on with it.
 *
 * @r:   what building the message came to: it is not sent if that is negative
 * @ret: the answer; may be NULL
 *
 * Return: 0; a negative errno, then the reason was told.
 */
int client_call(sd_bus *bus, sd_bus_message *m, int r, sd_bus_message **ret);

/* The same, but what the daemon refuses with is handed out in @error and not told. */
int client_try(sd_bus *bus, sd_bus_message *m, int r, sd_bus_error *error, sd_bus_message **ret);

/* Tells what client_try() came to, in words for the command line. @subject: what it is about, or NULL.
 * Return: @r. */
int client_complain(int r, const sd_bus_error *error, const char *subject);

/* Says what the daemon says of something that is no error of this program's. */
void client_warn(const char *subject, const char *sentence);

/* Says that an answer of the daemon is not as expected. Return: @r. */
int client_bad_answer(int r);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of bus share. */

#include "api/mdevd-names.h"
#include "bus/auth.h"
#include "bus/bus.h"
#include "bus/clients.h"
#include "bus/error.h"
#include "bus/turns.h"

struct Bus {
        Manager *manager;
        sd_bus *bus;
        Auth *auth;
        Clients *clients;
        Turns *turns;

        /* Until we have the name. */
        BusReply announced;
        void *announced_userdata;
        sd_bus_slot *name_acquired, *name_request;
        sd_event_source *name_patience;
};

/* Object paths; owned by the caller, NULL without memory. @parent: a name. */
char *device_path(const Uuid *uuid);
char *parent_path(const char *parent);

/* Registers the objects of each file. */
int manager_object_add(Bus *b);
int device_object_add(Bus *b);
int parent_object_add(Bus *b);

/* Names of the properties that a change has touched, NULL-terminated, into a vector that is large enough. */
#define CHANGED_NAMES_MAX 20U
void device_changed_names(unsigned what, const char *names[static CHANGED_NAMES_MAX]);
void parent_changed_names(unsigned what, const char *names[static CHANGED_NAMES_MAX]);
void manager_changed_names(unsigned what, const char *names[static CHANGED_NAMES_MAX]);

/* No answer gets larger: the bus drops who sends a message of more than 32 MiB. What is counted is a bound of
 * what is sent, alignment included, with some room for what is not (names of properties, say). */
#define REPLY_SIZE_MAX (24U * 1024 * 1024)

/* Of a parent, as one of all objects. */
size_t parent_reply_size(const Parent *p);

/* Of attributes as "a(ss)": two lengths, and what aligns them. */
static inline size_t attributes_reply_size(const Attributes *attributes) {
        return attributes->size + (size_t) attributes->n * 24;
}

/* Appends "a(ss)", and "a(ssssu)" of a parent's types. */
int append_attributes(sd_bus_message *m, const Attributes *attributes);
int append_types(sd_bus_message *m, const Types *types);

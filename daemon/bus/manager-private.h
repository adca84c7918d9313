/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The Manager object's methods: manager-verbs.c changes things, manager-lists.c tells of them,
 * manager-object.c has the vtable. */

#include "bus/bus-private.h"

#define MANAGER_METHOD(name) int name(sd_bus_message *m, void *userdata, sd_bus_error *error)

MANAGER_METHOD(method_define);
MANAGER_METHOD(method_define_from_json);
MANAGER_METHOD(method_modify);
MANAGER_METHOD(method_undefine);
MANAGER_METHOD(method_start);
MANAGER_METHOD(method_start_parent);
MANAGER_METHOD(method_create);
MANAGER_METHOD(method_create_from_json);
MANAGER_METHOD(method_stop);
MANAGER_METHOD(method_rescan);

MANAGER_METHOD(method_get_device);
MANAGER_METHOD(method_get_parent);
MANAGER_METHOD(method_get_attributes);
MANAGER_METHOD(method_list_devices);
MANAGER_METHOD(method_list_parents);
MANAGER_METHOD(method_list_types);

/* A call that is answered later. It counts against its client's limit until then. */
typedef struct Call {
        Bus *bus;
        sd_bus_message *message;
        char *parent; /* of a question about types; NULL: all */
} Call;

/* Return: 0; a negative errno, with @error set if the client has too many under way. */
int call_new(Bus *b, sd_bus_message *message, Call **ret, sd_bus_error *error);
Call *call_free(Call *c);
DEFINE_CLEANUP(Call *, call_free);

void call_fail(const Call *c, const Failure *f);

/* @r: what came of the reply. Lest the client waits for ever for one that could not be made. */
void call_replied(const Call *c, int r);

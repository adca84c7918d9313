/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who may: root may, for all others polkit decides. Nothing here blocks: a question is asked, the message is
 * kept, and when the answer is there the message is dispatched once more, so that the handler starts anew and
 * finds the answer. */

#include <systemd/sd-bus.h>

#include "base/util.h"
#include "bus/bus.h"
#include "core/manager.h"

typedef struct Auth Auth;

int auth_new(Auth **ret, sd_bus *bus, const BusLimits *limits);
Auth *auth_free(Auth *a);
DEFINE_CLEANUP(Auth *, auth_free);

/**
 * auth_check() - ask whether the sender of a message may do something
 * @message: the method call that is being handled
 * @action:  polkit's action
 * @uuid, @parent, @type: what it is about, for polkit's rules; "" for none
 *
 * The answer holds for just these details: if the handler finds others when it is entered again, it is asked
 * anew.
 *
 * Return: 1 go on; 0 not known yet: the handler returns 1 and is entered again later; a negative errno with
 * @error set: the sender may not, or it cannot be found out.
 */
int auth_check(Auth *a, sd_bus_message *message, const char *action, const char *uuid, const char *parent,
                const char *type, sd_bus_error *error);

/* Who sent a message, as far as auth_check() has found out. @ret: borrowed until the loop goes on. */
void auth_identify(const Auth *a, sd_bus_message *message, Requester *ret);

/* That polkit does not answer, if so. Return: what @fn returned; 0. */
int auth_list_troubles(const Auth *a, TroubleFn fn, void *userdata);

/* To be asked when a message comes to its handler, and not else: whether that is because it has an answer. It
 * has it until the handler is left. */
bool auth_takes_up(const Auth *a, sd_bus_message *message);

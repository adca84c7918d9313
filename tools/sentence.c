/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "tools/sentence.h"

const char *sentence_start(json_object *device) {
        if (!value_bool(device, "defined"))
                return "transient";

        return value_bool(device, "autostart") ? "auto" : "manual";
}

/* What Device.Pending says: why a device that is to start by itself is not there yet. */
static int wait_to_sentence(json_object *device, const char *why, char **ret) {
        const char *parent = value_string(device, "parent"), *type = value_string(device, "type");
        int n;

        if (streq(why, "parent-absent"))
                n = asprintf(ret, "waits for parent %s, which is absent", parent);
        else if (streq(why, "type-absent"))
                n = asprintf(ret, "waits for parent %s to offer type %s", parent, type);
        else if (streq(why, "no-capacity"))
                n = asprintf(ret, "waits for an instance of type %s to be left on parent %s", type, parent);
        else if (streq(why, "failed"))
                n = asprintf(ret, "could not be started");
        else
                n = asprintf(ret, "waits: %s", why);
        return n < 0 ? -ENOMEM : 0;
}

int sentence_trouble(json_object *device, char **ret) {
        const char *why = value_string(device, "pending"),
                   *error = value_string(json_object_object_get(device, "last_error"), "message");
        _cleanup_(freep) char *waits = NULL;
        int n = 0;

        if (!isempty(why) && wait_to_sentence(device, why, &waits) < 0) {
                waits = NULL;
                return -ENOMEM;
        }

        *ret = NULL;
        if (waits && isempty(error))
                *ret = TAKE_PTR(waits);
        else if (!isempty(error))
                n = asprintf(ret, "%s%s%s", strempty(waits), waits ? ": " : "", error);
        if (n < 0)
                *ret = NULL;
        return n < 0 ? -ENOMEM : 0;
}

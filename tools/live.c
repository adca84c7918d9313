/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>

#include "api/mdevd-names.h"
#include "model/name.h"
#include "tools/live.h"

/* As host/callout.c has them. */
static const char *const script_directories[] = {
        "usr/lib/mdevctl/" SCRIPTS_FOLDER "/callouts",
        "etc/mdevctl.d/" SCRIPTS_FOLDER "/callouts",
};

/* To that, as to mdevctl, every entry is a script, whatever its name begins or ends with. What cannot be read
 * here the daemon can. */
static bool directory_may_have_scripts(const char *path) {
        DIR *directory = opendir(path);
        struct dirent *entry;
        bool found = false;

        if (!directory)
                return errno != ENOENT && errno != ENOTDIR;
        while (!found && (entry = readdir(directory)))
                found = !streq(entry->d_name, ".") && !streq(entry->d_name, "..");
        (void) closedir(directory);
        return found;
}

static bool scripts_may_be_there(void) {
        bool found = client_is_elsewhere();

        for (size_t i = 0; i < ELEMENTSOF(script_directories) && !found; i++) {
                _cleanup_(freep) char *path = NULL;

                if (asprintf(&path, "%s/%s", strempty(getenv("MDEVCTL_ENV_ROOT")), script_directories[i]) < 0)
                        path = NULL;
                else
                        found = directory_may_have_scripts(path);
        }

        return found;
}

static int ask(sd_bus *bus, const Device *d, sd_bus_error *error, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_new_question(bus, "GetAttributes", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", d->uuid);
        return client_try(bus, m, r, error, ret);
}

/* Return: whether it is worth while to ask about others. */
static bool set_attributes(sd_bus *bus, Devices *devices, Device *d) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
        int r;

        r = ask(bus, d, &error, &answer);
        if (r >= 0)
                r = devices_keep(devices, answer);
        if (r >= 0)
                r = devices_read_attributes(TAKE_PTR(answer), &d->configuration);
        if (r >= 0)
                return true;

        d->configuration.n_attributes = 0;
        if (sd_bus_error_has_name(&error, MDEVD_ERROR_CALL_OUT))
                client_warn(d->uuid, error.message);
        /* Whoever may not ask sees none; a device that has gone says nothing of others. */
        return sd_bus_error_has_name(&error, MDEVD_ERROR_CALL_OUT) ||
                        sd_bus_error_has_name(&error, MDEVD_ERROR_NOT_FOUND) ||
                        sd_bus_error_has_name(&error, MDEVD_ERROR_NOT_ACTIVE);
}

void live_set_attributes(sd_bus *bus, Devices *devices) {
        bool can_ask = bus && devices->n > 0 && scripts_may_be_there();

        for (size_t i = 0; i < devices->n; i++)
                devices->list[i].configuration.n_attributes = 0;
        for (size_t i = 0; i < devices->n && can_ask; i++)
                can_ask = set_attributes(bus, devices, &devices->list[i]);
}

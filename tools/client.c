/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "api/mdevd-names.h"
#include "tools/client.h"
#include "tools/output.h"

/* With mdevctl this variable moves everything below another directory. The daemon on the system bus does not
 * serve that, and must not be asked to by mistake. */
static bool root_is_elsewhere(const char **ret) {
        *ret = strempty(getenv("MDEVCTL_ENV_ROOT"));
        return (*ret)[strspn(*ret, "/")] != '\0';
}

int client_open(sd_bus **ret) {
        const char *root;
        int r;

        if (root_is_elsewhere(&root) && isempty(getenv("DBUS_SYSTEM_BUS_ADDRESS")))
                return complain(-EHOSTUNREACH,
                                "MDEVCTL_ENV_ROOT is \"%s\", but no daemon serves that root: start one with "
                                "--root=%s on a bus of its own and set DBUS_SYSTEM_BUS_ADDRESS to that bus",
                                root, root);

        r = sd_bus_open_system_with_description(ret, "mdevdctl");
        return r < 0 ? complain(r, "Cannot connect to the system bus: %s", strerror(-r)) : 0;
}

int client_new_question(sd_bus *bus, const char *method, sd_bus_message **ret) {
        return sd_bus_message_new_method_call(
                        bus, ret, MDEVD_BUS_NAME, MDEVD_PATH, MDEVD_MANAGER_INTERFACE, method);
}

int client_new_request(sd_bus *bus, const char *method, sd_bus_message **ret) {
        int r;

        r = client_new_question(bus, method, ret);
        if (r < 0)
                return r;
        return sd_bus_message_set_allow_interactive_authorization(*ret, isatty(STDIN_FILENO));
}

int client_append_string(sd_bus_message *m, const char *name, const char *value) {
        return sd_bus_message_append(m, "{sv}", name, "s", value);
}

int client_append_bool(sd_bus_message *m, const char *name, bool value) {
        return sd_bus_message_append(m, "{sv}", name, "b", (int) value);
}

static int tell_error(int r, const sd_bus_error *error) {
        const char *text = isempty(error->message) ? strerror(-r) : error->message;

        if (sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
                        sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
                return complain(r, "mdevd is not running and cannot be started: %s", text);

        return complain(r, "%s", text);
}

int client_call(sd_bus *bus, sd_bus_message *m, int r, sd_bus_message **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r < 0)
                return complain(r, "The request could not be put into a message: %s", strerror(-r));

        r = sd_bus_call(bus, m, UINT64_MAX, &error, ret);
        return r < 0 ? tell_error(r, &error) : 0;
}

int client_bad_answer(int r) {
        return complain(r, "The answer of mdevd cannot be read: %s", strerror(-r));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Signals go out from here and nowhere else, as the manager's listener: so whoever has an answer has had its
 * signals. */

#include "base/log.h"
#include "base/memory.h"
#include "bus/bus-private.h"

#define NAME_ACQUIRED                                                               \
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus'," \
        "interface='org.freedesktop.DBus',member='NameAcquired',arg0='" MDEVD_BUS_NAME "'"

/* The bus notices within moments that a process has ended. */
#define NAME_PATIENCE_USEC (5U * UINT64_C(1000000))

char *device_path(const Uuid *uuid) {
        char text[UUID_TEXT_SIZE], *path;

        (void) uuid_to_text(uuid, text);
        for (char *p = text; *p; p++)
                if (*p == '-')
                        *p = '_';

        path = malloc(sizeof MDEVD_DEVICE_PATH + UUID_TEXT_SIZE);
        if (path)
                (void) stpcpy(stpcpy(stpcpy(path, MDEVD_DEVICE_PATH), "/"), text);
        return path;
}

char *parent_path(const char *parent) {
        char *path = NULL;

        return sd_bus_path_encode(MDEVD_PARENT_PATH, parent, &path) < 0 ? NULL : path;
}

int append_attributes(sd_bus_message *m, const Attributes *attributes) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(ss)");
        if (r < 0)
                return r;
        FOREACH_ATTRIBUTE(name, value, attributes) {
                r = sd_bus_message_append(m, "(ss)", name, value);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

int append_types(sd_bus_message *m, const Types *types) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(ssssu)");
        if (r < 0)
                return r;
        for (size_t i = 0; i < types->n; i++) {
                const Type *t = &types->types[i];

                r = sd_bus_message_append(m, "(ssssu)", t->name, t->label, t->device_api, t->description,
                                t->available_instances);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

/* Changes */

static void tell_object(Bus *b, const char *path, const char *interface, bool was_visible, bool is_visible,
                const char **names) {
        int r = 0;

        if (!path)
                r = -ENOMEM;
        else if (!was_visible && is_visible)
                r = sd_bus_emit_object_added(b->bus, path);
        else if (was_visible && !is_visible)
                r = sd_bus_emit_object_removed(b->bus, path);
        else if (is_visible && names[0])
                r = sd_bus_emit_properties_changed_strv(b->bus, path, interface, (char **) names);

        if (memory_check(r) < 0)
                log_warning_errno(r, "A change of %s could not be told, ignoring: %s", path ?: interface,
                                strerror(-r));
}

static void tell_change(Bus *b, const Change *c) {
        const char *names[CHANGED_NAMES_MAX] = { NULL };
        _cleanup_(freep) char *path = NULL;

        if (c->device) {
                path = device_path(&c->device->uuid);
                device_changed_names(c->what, names);
                tell_object(b, path, MDEVD_DEVICE_INTERFACE, c->was_visible, device_is_visible(c->device),
                                names);
        } else {
                path = parent_path(c->parent->name);
                parent_changed_names(c->what, names);
                tell_object(b, path, MDEVD_PARENT_INTERFACE, c->was_visible, parent_is_visible(c->parent),
                                names);
        }
}

static void on_changed(const Change *changes, size_t n, unsigned manager_changes, void *userdata) {
        const char *names[CHANGED_NAMES_MAX] = { NULL };
        Bus *b = userdata;

        for (size_t i = 0; i < n; i++)
                tell_change(b, &changes[i]);

        manager_changed_names(manager_changes, names);
        tell_object(b, MDEVD_PATH, MDEVD_MANAGER_INTERFACE, true, true, names);
}

/* Life */

/* As sd_bus_open_system() does, but file descriptors are not taken: no call needs any, and a client could
 * have so many in calls that wait that there is none left for anything else. */
static int open_bus(sd_bus **ret) {
        const char *address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
        int r;

        r = sd_bus_new(ret);
        if (r >= 0)
                r = sd_bus_set_description(*ret, "mdevd");
        if (r >= 0)
                r = sd_bus_set_address(*ret, address ?: "unix:path=/run/dbus/system_bus_socket");
        if (r >= 0)
                r = sd_bus_set_bus_client(*ret, true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(*ret, false);
        return r < 0 ? r : sd_bus_start(*ret);
}

int bus_new(Bus **ret, sd_event *event, Manager *manager, const BusLimits *limits) {
        _cleanup_(bus_freep) Bus *b = calloc(1, sizeof *b);
        int r;

        if (!b)
                return log_error_errno(ENOMEM, "Not enough memory for the bus connection.");
        b->manager = manager;

        r = open_bus(&b->bus);
        if (r < 0)
                return log_error_errno(r, "Cannot connect to the system bus: %s", strerror(-r));
        r = auth_new(&b->auth, b->bus, limits);
        if (r >= 0)
                r = clients_new(&b->clients, limits->calls_per_client_max);
        if (r < 0)
                return log_error_errno(r, "Cannot prepare for clients: %s", strerror(-r));

        (void) sd_bus_set_exit_on_disconnect(b->bus, true);
        /* Not with the loop: who waits is told then that the work goes on. */
        (void) sd_bus_set_close_on_exit(b->bus, false);
        r = sd_bus_add_object_manager(b->bus, NULL, MDEVD_PATH);
        if (r >= 0)
                r = manager_object_add(b);
        if (r >= 0)
                r = device_object_add(b);
        if (r >= 0)
                r = parent_object_add(b);
        if (r < 0)
                return log_error_errno(r, "Cannot register the objects: %s", strerror(-r));

        r = sd_bus_attach_event(b->bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return log_error_errno(r, "Cannot attach the bus to the event loop: %s", strerror(-r));

        r = turns_new(&b->turns, b->bus, b->auth, limits->calls_per_client_max);
        if (r < 0)
                return log_error_errno(r, "Cannot prepare for clients: %s", strerror(-r));

        *ret = TAKE_PTR(b);
        return 0;
}

static void stop_waiting_for_name(Bus *b) {
        b->announced = NULL;
        b->name_acquired = sd_bus_slot_unref(b->name_acquired);
        b->name_request = sd_bus_slot_unref(b->name_request);
        b->name_patience = sd_event_source_disable_unref(b->name_patience);
}

Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;

        stop_waiting_for_name(b);
        (void) turns_free(b->turns);
        (void) auth_free(b->auth);
        (void) clients_free(b->clients);
        if (b->bus)
                (void) sd_bus_flush_close_unref(b->bus);
        free(b);
        return NULL;
}

/* The name */

static void announced(Bus *b, const char *problem) {
        void *userdata = b->announced_userdata;
        BusReply reply = b->announced;

        if (!reply)
                return;
        if (problem)
                log_error("Cannot take the name %s on the bus: %s", MDEVD_BUS_NAME, problem);
        stop_waiting_for_name(b);
        reply(!problem, userdata);
}

static int on_name_acquired(sd_bus_message *m _unused_, void *userdata, sd_bus_error *e _unused_) {
        announced(userdata, NULL);
        return 0;
}

static int on_name_patience(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        announced(userdata, "another process has it, and does not let go of it.");
        return 0;
}

/* What the answer says of success, NameAcquired says too. */
static int on_name_answer(sd_bus_message *m, void *userdata, sd_bus_error *e _unused_) {
        const sd_bus_error *error = sd_bus_message_get_error(m);

        if (error)
                announced(userdata, strempty(error->message));
        return 0;
}

int bus_announce(Bus *b, BusReply reply, void *userdata) {
        int r;

        manager_set_listener(b->manager, &(ManagerListener){ .changed = on_changed, .userdata = b });

        b->announced = reply;
        b->announced_userdata = userdata;
        r = sd_bus_add_match_async(b->bus, &b->name_acquired, NAME_ACQUIRED, on_name_acquired, NULL, b);
        if (r >= 0)
                r = sd_event_add_time_relative(sd_bus_get_event(b->bus), &b->name_patience, CLOCK_MONOTONIC,
                                NAME_PATIENCE_USEC, 0, on_name_patience, b);
        if (r >= 0)
                r = sd_bus_request_name_async(b->bus, &b->name_request, MDEVD_BUS_NAME, SD_BUS_NAME_QUEUE,
                                on_name_answer, b);
        if (r < 0) {
                stop_waiting_for_name(b);
                return log_error_errno(
                                r, "Cannot take the name %s on the bus: %s", MDEVD_BUS_NAME, strerror(-r));
        }
        return 0;
}

void bus_flush(Bus *b) {
        (void) sd_bus_flush(b->bus);
}

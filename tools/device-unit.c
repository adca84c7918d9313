/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What mdev@.service runs: starts one defined device, as soon as that can be done, and stops it again if it
 * was this unit that started it. What it has done is remembered in the unit's runtime directory, which is
 * there as long as the unit is active. How long to wait is systemd's business: it ends this program. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "api/mdevd-names.h"
#include "model/uuid.h"
#include "tools/client.h"
#include "tools/output.h"
#include "tools/picture.h"

#define STARTED "started" /* in the runtime directory */

typedef struct Start {
        sd_bus *bus;
        const char *uuid;
        bool ours;
        char *told; /* why it waits */
} Start;

/* Refusals because of what others are at. When that ends nothing need have changed: an undefine that a script
 * refuses leaves no trace. */
static bool will_pass(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, MDEVD_ERROR_TRY_AGAIN) ||
                        sd_bus_error_has_name(error, MDEVD_ERROR_LIMITS_EXCEEDED);
}

/* Refusals that another state of things may do away with; it will be told by a signal. */
static bool may_pass(const sd_bus_error *error) {
        static const char *const names[] = {
                MDEVD_ERROR_EXISTS,
                MDEVD_ERROR_NOT_FOUND,
                MDEVD_ERROR_PARENT_ABSENT,
                MDEVD_ERROR_NO_SUCH_TYPE,
                MDEVD_ERROR_NO_CAPACITY,
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (sd_bus_error_has_name(error, names[i]))
                        return true;

        return false;
}

static int call(sd_bus *bus, const char *method, const char *uuid, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_new_request(bus, method, &m);
        if (r < 0)
                return r;
        r = streq(method, "Start") ? sd_bus_message_append(m, "ssa{sv}", uuid, "", 1, "any", "b", 1)
                                   : sd_bus_message_append(m, "sa{sv}", uuid, 0);
        return client_try(bus, m, r, error, NULL);
}

/* Once, however often it is tried. */
static void tell_waiting(char **told, const sd_bus_error *error) {
        const char *message = strempty(error->message);

        if (streq_ptr(*told, message))
                return;
        fprintf(stderr, "Waiting: %s\n", message);
        /* If there is no memory for it, it is told twice. */
        (void) free_and_strdup(told, message);
}

/* A change of a parent, or of the device, is a reason to try again; others are none. */
static bool concerns(const Start *s, const Change *c) {
        return c->kind == CHANGE_PICTURE || c->kind == CHANGE_AGAIN || c->object == VALUE_PARENT ||
                        streq_ptr(value_string(c->value, "uuid"), s->uuid);
}

static int on_change(const Picture *p, const Change *c, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        Start *s = userdata;
        json_object *device;
        int r;

        if (c->kind == CHANGE_LOST || !concerns(s, c))
                return 0;
        device = picture_find_device(p, s->uuid);
        if (!device)
                return 0;
        if (streq(value_string(device, "state"), "active"))
                return 1;
        if (!streq(value_string(device, "state"), "defined"))
                return 0;

        r = call(s->bus, "Start", s->uuid, &error);
        if (r >= 0) {
                s->ours = true;
                return 1;
        }
        if (will_pass(&error) || may_pass(&error)) {
                tell_waiting(&s->told, &error);
                return will_pass(&error) ? PICTURE_AGAIN : 0;
        }
        return client_complain(r, &error, s->uuid);
}

static int start(const char *uuid, int runtime_fd) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL, *caller = NULL;
        Start s = { .uuid = uuid };
        int fd, r;

        r = client_open(&bus);
        if (r >= 0)
                r = client_open(&caller); /* signals are not to be handled within a call */
        if (r < 0)
                return r;
        s.bus = caller;
        r = picture_follow(bus, UINT64_MAX, -1, on_change, &s);
        free(s.told);
        if (r < 0 || !s.ours)
                return r;

        fd = openat(runtime_fd, STARTED, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
                return complain(-errno, "Cannot remember that device %s was started: %s", uuid,
                                strerror(errno));
        (void) close(fd);
        return 0;
}

static int stop(const char *uuid, int runtime_fd) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(freep) char *told = NULL;
        struct stat st;
        int r;

        if (fstatat(runtime_fd, STARTED, &st, 0) < 0)
                return 0;
        r = client_open(&bus);
        if (r < 0)
                return r;

        while ((r = call(bus, "Stop", uuid, &error)) < 0 && will_pass(&error)) {
                tell_waiting(&told, &error);
                sd_bus_error_free(&error);
                (void) usleep(PICTURE_AGAIN_USEC);
        }
        if (r < 0 && !sd_bus_error_has_name(&error, MDEVD_ERROR_NOT_ACTIVE) &&
                        !sd_bus_error_has_name(&error, MDEVD_ERROR_NOT_FOUND))
                return client_complain(r, &error, uuid);
        (void) unlinkat(runtime_fd, STARTED, 0);
        return 0;
}

int main(int argc, char *argv[]) {
        const char *directory = getenv("RUNTIME_DIRECTORY");
        _cleanup_(closep) int runtime_fd = -EBADF;
        Uuid uuid;
        int r;

        if (argc != 3 || (!streq(argv[1], "start") && !streq(argv[1], "stop")) || !directory) {
                fprintf(stderr, "This is run by mdev@.service; see mdevd(8).\n");
                return 2;
        }
        runtime_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (runtime_fd < 0) {
                fprintf(stderr, "Error: Cannot open %s: %s\n", directory, strerror(errno));
                return EXIT_FAILURE;
        }

        if (uuid_from_text(argv[2], &uuid) < 0) {
                fprintf(stderr, "Error: \"%s\" is not a UUID; the unit's name is mdev@UUID.service\n",
                                argv[2]);
                return EXIT_FAILURE;
        }
        r = streq(argv[1], "start") ? start(UUID_TEXT(&uuid), runtime_fd)
                                    : stop(UUID_TEXT(&uuid), runtime_fd);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

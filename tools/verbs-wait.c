/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* wait: for devices to be in a state, for a parent to have something left, or for autostart to be done. By
 * signals; nothing is asked twice. */

#include "tools/identity.h"
#include "tools/picture.h"
#include "tools/quantity.h"
#include "tools/sentence.h"
#include "tools/text.h"
#include "tools/verbs.h"

typedef struct Wait {
        const Arguments *arguments;
        uint32_t wanted; /* instances */
        char *missing;   /* what is not as it should be, as far as is known */
        bool told;
} Wait;

static const char *state_of(const Picture *p, const char *uuid, json_object **ret_device) {
        *ret_device = picture_find_device(p, uuid);
        return *ret_device ? value_string(*ret_device, "state") : "absent";
}

/* Return: 1 all are in the state; 0 one is not, and @ret says which; -ENOMEM. */
static int look_at_devices(const Wait *w, const Picture *p, char **ret) {
        const Arguments *a = w->arguments;
        const char *wanted = arguments_get(a, OPTION_STATE) ?: "active";

        for (size_t i = 0; i < arguments_n_uuids(a); i++) {
                const char *uuid = IDENTITY(arguments_nth_uuid(a, i)), *state;
                _cleanup_(freep) char *trouble = NULL;
                json_object *device;

                state = state_of(p, uuid, &device);
                if (streq(state, wanted))
                        continue;
                if (device && sentence_trouble(device, &trouble) < 0)
                        return -ENOMEM;
                return asprintf(ret, "device %s to be %s; it is %s%s%s", uuid, wanted, state,
                                       trouble ? ": " : "", strempty(trouble)) < 0
                                ? -ENOMEM
                                : 0;
        }

        return 1;
}

/* The same for instances. */
static int look_at_parent(const Wait *w, const Picture *p, char **ret) {
        const char *name = arguments_get(w->arguments, OPTION_PARENT),
                   *type = arguments_get(w->arguments, OPTION_TYPE);
        json_object *parent = picture_find_parent(p, name), *types = json_object_object_get(parent, "types");
        int n;

        for (size_t i = 0; i < value_count(types); i++) {
                json_object *t = json_object_array_get_idx(types, i);
                int64_t left = value_number(t, "available_instances");

                if (!streq(value_string(t, "type"), type))
                        continue;
                if (left >= w->wanted)
                        return 1;
                n = asprintf(ret, "%u instances of type %s to be left on parent %s; there are %lld",
                                w->wanted, type, name, (long long) left);
                return n < 0 ? -ENOMEM : 0;
        }

        n = asprintf(ret, "parent %s to offer type %s; it %s", name, type,
                        parent && value_bool(parent, "present") ? "does not" : "is absent");
        return n < 0 ? -ENOMEM : 0;
}

static int look_at_daemon(const Picture *p, char **ret) {
        if (value_bool(p->daemon, "settled"))
                return 1;

        *ret = strdup("mdevd to have started what is marked for autostart");
        return *ret ? 0 : -ENOMEM;
}

static int look(const Wait *w, const Picture *p, char **ret) {
        if (arguments_have(w->arguments, OPTION_SETTLED))
                return look_at_daemon(p, ret);
        return arguments_n_uuids(w->arguments) > 0 ? look_at_devices(w, p, ret) : look_at_parent(w, p, ret);
}

static int on_change(const Picture *p, const Change *c, void *userdata) {
        _cleanup_(freep) char *missing = NULL;
        Wait *w = userdata;
        int r;

        if (c->kind == CHANGE_LOST)
                return 0;

        r = look(w, p, &missing);
        if (r < 0)
                return complain(r, "Not enough memory");
        if (missing && !w->told && isatty(STDERR_FILENO))
                fprintf(stderr, "Waiting for %s\n", missing);
        w->told = true;
        free(w->missing);
        w->missing = TAKE_PTR(missing);
        return r;
}

int verb_wait(const Arguments *a) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        const char *seconds = arguments_get(a, OPTION_TIMEOUT), *count = arguments_get(a, OPTION_AVAILABLE);
        Wait w = { .arguments = a, .wanted = 1 };
        uint64_t timeout_usec = UINT64_MAX;
        int r;

        if (seconds)
                (void) quantity_seconds(seconds, &timeout_usec);
        if (count)
                (void) text_to_number(count, &w.wanted);

        r = client_open(&bus);
        if (r < 0)
                return r;
        if (arguments_have(a, OPTION_PARENT))
                picture_refresh_types(bus, arguments_get(a, OPTION_PARENT));
        r = picture_follow(bus, timeout_usec, -1, on_change, &w);
        if (r == -ETIME && w.missing)
                (void) complain(r, "Waited %s s in vain for %s", seconds, w.missing);
        else if (r == -ETIME)
                (void) complain(r, "mdevd has not answered within %s s", seconds);
        free(w.missing);
        return r;
}

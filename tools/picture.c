/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <systemd/sd-event.h>

#include "api/mdevd-names.h"
#include "tools/picture.h"

void picture_done(Picture *p) {
        (void) json_object_put(p->daemon);
        (void) json_object_put(p->parents);
        (void) json_object_put(p->devices);
        *p = (Picture){};
}

static json_object **list_of(Picture *p, ValueObject object) {
        return object == VALUE_PARENT ? &p->parents : &p->devices;
}

/* @m: at an "a{sa{sv}}", the interfaces of one object */
static int take_interfaces(Picture *p, sd_bus_message *m, const char *path) {
        int r;

        r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "{sa{sv}}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, "sa{sv}")) > 0) {
                json_object *value;
                const char *name;
                int object;

                r = sd_bus_message_read_basic(m, SD_BUS_TYPE_STRING, &name);
                if (r < 0)
                        return r;
                object = value_object_of(name);
                if (object == VALUE_PARENT || object == VALUE_DEVICE) {
                        value = value_new(object);
                        r = value_put(*list_of(p, object), path, value);
                        if (r < 0)
                                return r;
                        r = value_update(m, object, value, NULL);
                } else
                        r = sd_bus_message_skip(m, "a{sv}");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int picture_take_objects(Picture *p, sd_bus_message *answer) {
        const char *path;
        int r;

        (void) json_object_put(p->parents);
        (void) json_object_put(p->devices);
        p->parents = json_object_new_object();
        p->devices = json_object_new_object();
        if (!p->parents || !p->devices)
                return -ENOMEM;

        r = sd_bus_message_enter_container(answer, SD_BUS_TYPE_ARRAY, "{oa{sa{sv}}}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(answer, SD_BUS_TYPE_DICT_ENTRY, "oa{sa{sv}}")) > 0) {
                r = sd_bus_message_read_basic(answer, SD_BUS_TYPE_OBJECT_PATH, &path);
                if (r >= 0)
                        r = take_interfaces(p, answer, path);
                if (r >= 0)
                        r = sd_bus_message_exit_container(answer);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(answer);
}

int picture_take_daemon(Picture *p, sd_bus_message *answer) {
        (void) json_object_put(p->daemon);
        p->daemon = value_new(VALUE_MANAGER);
        return p->daemon ? value_update(answer, VALUE_MANAGER, p->daemon, NULL) : -ENOMEM;
}

static int new_call_for_objects(sd_bus *bus, sd_bus_message **ret) {
        return sd_bus_message_new_method_call(bus, ret, MDEVD_BUS_NAME, MDEVD_PATH,
                        "org.freedesktop.DBus.ObjectManager", "GetManagedObjects");
}

static int new_call_for_daemon(sd_bus *bus, sd_bus_message **ret) {
        int r;

        r = sd_bus_message_new_method_call(
                        bus, ret, MDEVD_BUS_NAME, MDEVD_PATH, "org.freedesktop.DBus.Properties", "GetAll");
        return r < 0 ? r : sd_bus_message_append(*ret, "s", MDEVD_MANAGER_INTERFACE);
}

void picture_refresh_types(sd_bus *bus, const char *parent) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_new_question(bus, "ListTypes", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", parent);
        (void) client_try(bus, m, r, &error, NULL);
}

int picture_read(sd_bus *bus, Picture *ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *daemon_call = NULL, *daemon_answer = NULL,
                                                        *objects_call = NULL, *objects_answer = NULL;
        _cleanup_(picture_done) Picture p = {};
        int r;

        r = new_call_for_daemon(bus, &daemon_call);
        r = client_call(bus, daemon_call, r, &daemon_answer);
        if (r < 0)
                return r;
        r = new_call_for_objects(bus, &objects_call);
        r = client_call(bus, objects_call, r, &objects_answer);
        if (r < 0)
                return r;

        r = picture_take_daemon(&p, daemon_answer);
        if (r >= 0)
                r = picture_take_objects(&p, objects_answer);
        if (r < 0)
                return client_bad_answer(r);

        *ret = p;
        p = (Picture){};
        return 0;
}

/* Looking */

static int value_order(const void *a, const void *b) {
        json_object *left = *(json_object *const *) a, *right = *(json_object *const *) b;
        int order = strcmp(value_string(left, "parent"), value_string(right, "parent"));

        return order != 0 ? order : strcmp(value_string(left, "uuid"), value_string(right, "uuid"));
}

int picture_sort(json_object *objects, json_object ***ret, size_t *ret_n) {
        size_t n = (size_t) json_object_object_length(objects), i = 0;
        json_object **list = calloc(n + 1, sizeof(json_object *));

        if (!list)
                return complain(-ENOMEM, "Not enough memory");

        json_object_object_foreach(objects, path, value) {
                (void) path;
                list[i++] = value;
        }
        qsort(list, n, sizeof *list, value_order);

        *ret = list;
        *ret_n = n;
        return 0;
}

json_object *picture_to_array(json_object *objects) {
        _cleanup_(json_object_putp) json_object *array = json_object_new_array();
        _cleanup_(freep) json_object **list = NULL;
        size_t n;

        if (!array || picture_sort(objects, &list, &n) < 0)
                return NULL;
        for (size_t i = 0; i < n; i++)
                if (value_append(array, json_object_get(list[i])) < 0)
                        return NULL;

        return TAKE_PTR(array);
}

static json_object *find(json_object *objects, const char *key, const char *name) {
        json_object_object_foreach(objects, path, value) {
                (void) path;
                if (streq(value_string(value, key), name))
                        return value;
        }

        return NULL;
}

json_object *picture_find_device(const Picture *p, const char *uuid) {
        return find(p->devices, "uuid", uuid);
}

json_object *picture_find_parent(const Picture *p, const char *name) {
        return find(p->parents, "parent", name);
}

/* Following: the signals are subscribed to before the picture is asked for, and the answer comes in its place
 * among them; those before it are in it already. */

typedef struct Follower {
        sd_bus *bus;
        sd_event *event;
        sd_event_source *again;
        sd_bus_slot *calls[2];
        uint64_t timeout_usec;
        Picture picture;
        PictureFn fn;
        void *userdata;
        int result;
        bool done;
} Follower;

static void follower_done(Follower *f) {
        for (size_t i = 0; i < ELEMENTSOF(f->calls); i++)
                (void) sd_bus_slot_unref(f->calls[i]);
        picture_done(&f->picture);
        (void) sd_event_source_unref(f->again);
        if (f->event)
                (void) sd_bus_detach_event(f->bus);
        (void) sd_event_unref(f->event);
}

static int finish(Follower *f, int result) {
        f->result = result;
        f->done = true;
        (void) sd_event_exit(f->event, 0);
        return 0;
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata);

static int call_again(Follower *f) {
        int r;

        f->again = sd_event_source_unref(f->again);
        r = sd_event_add_time_relative(
                        f->event, &f->again, CLOCK_MONOTONIC, PICTURE_AGAIN_USEC, 1, on_again, f);
        return r < 0 ? complain(r, "mdevd cannot be followed: %s", strerror(-r)) : 0;
}

static int tell(Follower *f, const Change *change) {
        int r = f->done ? 0 : f->fn(&f->picture, change, f->userdata);

        if (r == PICTURE_AGAIN)
                r = call_again(f);
        return r == 0 ? 0 : finish(f, r < 0 ? r : 0);
}

static int on_again(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Follower *f = userdata;

        /* Without a daemon there is nothing to look at, and its coming back is told. */
        return f->picture.devices ? tell(f, &(Change){ .kind = CHANGE_AGAIN }) : 0;
}

/* Whatever was in a message cannot be read: nothing that follows could be trusted. */
static int bad_message(Follower *f, int r) {
        return finish(f, client_bad_answer(r));
}

static int on_daemon(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        Follower *f = userdata;
        int r;

        if (sd_bus_message_is_method_error(m, NULL))
                return finish(f,
                                client_complain(-sd_bus_message_get_errno(m), sd_bus_message_get_error(m),
                                                NULL));

        r = picture_take_daemon(&f->picture, m);
        return r < 0 ? bad_message(f, r) : 0;
}

static int on_objects(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        Follower *f = userdata;
        int r;

        if (sd_bus_message_is_method_error(m, NULL))
                return finish(f,
                                client_complain(-sd_bus_message_get_errno(m), sd_bus_message_get_error(m),
                                                NULL));
        if (f->done)
                return 0;

        r = picture_take_objects(&f->picture, m);
        if (r < 0)
                return bad_message(f, r);
        r = tell(f, &(Change){ .kind = CHANGE_PICTURE });
        return f->timeout_usec > 0 || f->done ? r : finish(f, -ETIME);
}

/* The daemon's own first, so that the picture is whole with the second answer. */
static int ask(Follower *f) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *daemon_call = NULL, *objects_call = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(f->calls); i++)
                f->calls[i] = sd_bus_slot_unref(f->calls[i]);

        r = new_call_for_daemon(f->bus, &daemon_call);
        if (r >= 0)
                r = sd_bus_call_async(f->bus, &f->calls[0], daemon_call, on_daemon, f, UINT64_MAX);
        if (r >= 0)
                r = new_call_for_objects(f->bus, &objects_call);
        if (r >= 0)
                r = sd_bus_call_async(f->bus, &f->calls[1], objects_call, on_objects, f, UINT64_MAX);
        return r;
}

static int on_properties(Follower *f, sd_bus_message *m) {
        _cleanup_(json_object_putp) json_object *before = NULL, *changes = json_object_new_object();
        const char *interface;
        json_object *value;
        int r, object;

        r = sd_bus_message_read_basic(m, SD_BUS_TYPE_STRING, &interface);
        if (r < 0)
                return r;
        object = value_object_of(interface);
        if (object < 0)
                return 0;

        value = object == VALUE_MANAGER
                        ? f->picture.daemon
                        : json_object_object_get(*list_of(&f->picture, object), sd_bus_message_get_path(m));
        if (!value)
                return 0;
        if (!changes || json_object_deep_copy(value, &before, NULL) < 0)
                return -ENOMEM;
        r = value_update(m, object, value, changes);
        /* The daemon's own may change before the answer with the rest is there. */
        if (r < 0 || json_object_object_length(changes) == 0 || !f->picture.devices)
                return r;

        return tell(f,
                        &(Change){ .kind = CHANGE_CHANGED,
                                        .object = object,
                                        .value = value,
                                        .before = before,
                                        .changes = changes });
}

static int on_added(Follower *f, sd_bus_message *m) {
        json_object *parent, *device;
        const char *path;
        int r;

        r = sd_bus_message_read_basic(m, SD_BUS_TYPE_OBJECT_PATH, &path);
        if (r >= 0)
                r = take_interfaces(&f->picture, m, path);
        if (r < 0)
                return r;

        parent = json_object_object_get(f->picture.parents, path);
        device = json_object_object_get(f->picture.devices, path);
        if (!parent && !device)
                return 0;
        return tell(f,
                        &(Change){ .kind = CHANGE_ADDED,
                                        .object = parent ? VALUE_PARENT : VALUE_DEVICE,
                                        .value = parent ?: device });
}

static int on_removed(Follower *f, sd_bus_message *m) {
        const char *path;
        int r;

        r = sd_bus_message_read_basic(m, SD_BUS_TYPE_OBJECT_PATH, &path);
        if (r < 0)
                return r;

        for (ValueObject object = VALUE_PARENT; object <= VALUE_DEVICE && r >= 0; object++) {
                json_object *list = *list_of(&f->picture, object);
                _cleanup_(json_object_putp) json_object *value =
                                json_object_get(json_object_object_get(list, path));

                if (!value)
                        continue;
                json_object_object_del(list, path);
                r = tell(f, &(Change){ .kind = CHANGE_REMOVED, .object = object, .value = value });
        }

        return r;
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        Follower *f = userdata;
        int r = 0;

        if (f->done)
                return 0;
        if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Properties", "PropertiesChanged"))
                r = on_properties(f, m);
        else if (!f->picture.devices)
                return 0;
        else if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded"))
                r = on_added(f, m);
        else if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved"))
                r = on_removed(f, m);
        return r < 0 ? bad_message(f, r) : 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        const char *old_owner, *new_owner;
        Follower *f = userdata;
        int r;

        r = sd_bus_message_read(m, "sss", NULL, &old_owner, &new_owner);
        if (r < 0)
                return bad_message(f, r);

        if (!isempty(old_owner) && f->picture.devices) {
                picture_done(&f->picture);
                r = tell(f, &(Change){ .kind = CHANGE_LOST });
                if (r < 0 || f->done)
                        return r;
        }
        if (isempty(new_owner))
                return 0;
        r = ask(f);
        return r < 0 ? bad_message(f, r) : 0;
}

static int on_time(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        return finish(userdata, -ETIME);
}

static int on_hangup(sd_event_source *s _unused_, int fd _unused_, uint32_t events _unused_, void *userdata) {
        return finish(userdata, 0);
}

/* A file, which cannot be watched, has no reader to lose. */
static int watch_output(Follower *f, int fd) {
        int r = sd_event_add_io(f->event, NULL, fd, 0, on_hangup, f);

        return r == -EPERM ? 0 : r;
}

static int subscribe(Follower *f) {
        int r;

        r = sd_bus_add_match(f->bus, NULL,
                        "type='signal',sender='" MDEVD_BUS_NAME "',path_namespace='" MDEVD_PATH "'",
                        on_signal, f);
        return r < 0 ? r
                     : sd_bus_add_match(f->bus, NULL,
                                       "type='signal',sender='org.freedesktop.DBus',"
                                       "member='NameOwnerChanged',arg0='" MDEVD_BUS_NAME "'",
                                       on_owner, f);
}

int picture_follow(sd_bus *bus, uint64_t timeout_usec, int output, PictureFn fn, void *userdata) {
        _cleanup_(follower_done) Follower f = {
                .bus = bus, .timeout_usec = timeout_usec, .fn = fn, .userdata = userdata
        };
        int r;

        r = sd_event_new(&f.event);
        if (r >= 0)
                r = sd_bus_attach_event(bus, f.event, SD_EVENT_PRIORITY_NORMAL);
        /* Else nobody would hear of it. */
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(bus, true);
        /* Without any time there is a look all the same. */
        if (r >= 0 && timeout_usec > 0 && timeout_usec != UINT64_MAX)
                r = sd_event_add_time_relative(f.event, NULL, CLOCK_MONOTONIC, timeout_usec, 1, on_time, &f);
        if (r >= 0 && output >= 0)
                r = watch_output(&f, output);
        if (r >= 0)
                r = subscribe(&f);
        if (r >= 0)
                r = ask(&f);
        if (r >= 0)
                r = sd_event_loop(f.event);
        if (r < 0)
                return complain(r, "mdevd cannot be followed: %s", strerror(-r));
        return f.done ? f.result : complain(-ECONNRESET, "The connection to the system bus is lost");
}

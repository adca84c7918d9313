/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The first answer has the first devices in the order of their UUIDs, and few of them, as nobody does
 * anything else meanwhile. If there are more, it tells how close together they lie, and the rest is divided
 * into parts that should hold a little less than an answer may have: for UUIDs are random as a rule. Where
 * they are not, parts are empty or go on behind what they had. The answers are read in the order of the
 * parts, so that all devices stay in that of their UUIDs. */

#include <endian.h>

#include "api/mdevd-names.h"
#include "model/uuid.h"
#include "tools/asking.h"

/* Devices in an answer, and in the first; how many parts the rest may have; and how many questions are under
 * way. */
#define PART_SIZE 500U
#define FIRST_SIZE 128U
#define PART_EXPECTED (PART_SIZE / 4 * 3)
#define PARTS_MAX 256U
#define AT_ONCE_MAX 8U

/* A question and its answer. */
typedef struct Part {
        struct Part *next;
        Uuid after, until;
        bool has_after, has_until;
        uint64_t limit;
        bool is_sent;
        ClientCall call;
} Part;

struct Asking {
        sd_bus *bus;
        AskingFilter filter;
        Part *parts; /* in the order of UUIDs; the first few are under way */
};

static Part *part_free(Part *p) {
        client_call_done(&p->call);
        free(p);
        return NULL;
}

Asking *asking_free(Asking *a) {
        if (!a)
                return NULL;

        for (Part *p = a->parts, *next; p; p = next) {
                next = p->next;
                (void) part_free(p);
        }
        free(a);
        return NULL;
}

/* Questions */

static int append_filter(sd_bus_message *m, const AskingFilter *filter, const Part *part) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && filter->uuid)
                r = client_append_string(m, "uuid", filter->uuid);
        if (r >= 0 && filter->parent)
                r = client_append_string(m, "parent", filter->parent);
        if (r >= 0 && filter->state)
                r = client_append_string(m, "state", filter->state);
        if (r >= 0 && filter->active)
                r = client_append_bool(m, "active", true);
        if (r >= 0 && filter->defined)
                r = client_append_bool(m, "defined", true);
        if (r >= 0 && filter->how == DEVICES_WITHOUT_ATTRIBUTES)
                r = client_append_bool(m, "attributes", false);
        if (r >= 0 && part->has_after)
                r = client_append_string(m, "after", UUID_TEXT(&part->after));
        if (r >= 0 && part->has_until)
                r = client_append_string(m, "until", UUID_TEXT(&part->until));
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "limit", "t", part->limit);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static void send_part(const Asking *a, Part *p) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = client_new_question(a->bus, "ListDevices", &m);
        if (r >= 0)
                r = append_filter(m, &a->filter, p);
        client_begin(a->bus, m, r, &p->call);
        p->is_sent = true;
}

static void send_parts(const Asking *a) {
        unsigned n = 0;

        for (Part *p = a->parts; p && n < AT_ONCE_MAX; p = p->next, n++)
                if (!p->is_sent)
                        send_part(a, p);
}

/* Adds a part at @place. @after, @until: NULL: no such bound */
static int add_part(Part **place, const Uuid *after, const Uuid *until, uint64_t limit) {
        Part *p = calloc(1, sizeof *p);

        if (!p)
                return complain(-ENOMEM, "Not enough memory");
        p->limit = limit;
        p->has_after = after;
        if (after)
                p->after = *after;
        p->has_until = until;
        if (until)
                p->until = *until;

        p->next = *place;
        *place = p;
        return 0;
}

int asking_begin(sd_bus *bus, const AskingFilter *filter, Asking **ret) {
        _cleanup_(asking_freep) Asking *a = calloc(1, sizeof *a);
        int r;

        if (!a)
                return complain(-ENOMEM, "Not enough memory");
        a->bus = bus;
        a->filter = *filter;
        r = add_part(&a->parts, NULL, NULL, FIRST_SIZE);
        if (r < 0)
                return r;

        send_parts(a);
        *ret = TAKE_PTR(a);
        return 0;
}

/* Puts at @place what is behind @last, the last of the first answer. Only the first half of a UUID is looked
 * at. */
static int add_rest(Part **place, const Uuid *last) {
        uint64_t begin, rest, each, width;
        Uuid after = *last;
        int r;

        memcpy(&begin, last->bytes, sizeof begin);
        begin = be64toh(begin);
        rest = UINT64_MAX - begin;
        each = begin / FIRST_SIZE;
        width = MIN(each, rest / PART_EXPECTED) * PART_EXPECTED;
        width = MAX(width, rest / PARTS_MAX + 1);

        while (width < UINT64_MAX - begin) {
                Uuid until;
                uint64_t top;

                begin += width;
                top = htobe64(begin);
                memset(&until, 0xff, sizeof until);
                memcpy(until.bytes, &top, sizeof top);
                r = add_part(place, &after, &until, PART_SIZE);
                if (r < 0)
                        return r;
                place = &(*place)->next;
                after = until;
        }
        return add_part(place, &after, NULL, PART_SIZE);
}

/* Answers */

static int read_device(sd_bus_message *m, Device *d) {
        int r, active, defined, autostart;

        r = sd_bus_message_read(m, "ssssbbb", &d->uuid, &d->state, &d->parent, &d->configuration.type,
                        &active, &defined, &autostart);
        if (r < 0)
                return r;
        d->active = active || streq(d->state, "orphaned");
        d->defined = defined;
        d->configuration.autostart = autostart;

        r = devices_read_attributes(m, &d->configuration);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* @ret_n: how many devices there are, of which each may have several rows */
static int read_devices(sd_bus_message *m, Devices *devices, uint64_t *ret_n) {
        const char *last = "";
        int r;

        *ret_n = 0;
        r = sd_bus_message_enter_container(m, 'a', "(ssssbbba(ss))");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'r', "ssssbbba(ss)")) > 0) {
                Device *d;

                if (grow((void **) &devices->list, &devices->n_allocated, devices->n + 1, sizeof *d) < 0)
                        return -ENOMEM;
                d = &devices->list[devices->n++];
                *d = (Device){};
                r = read_device(m, d);
                if (r < 0)
                        return r;
                *ret_n += !streq(d->uuid, last);
                last = d->uuid;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* Return: 1 the answer is there; 0 it would have been too large, and part of it is asked for; a negative
 * errno.
 */
static int finish_part(const Asking *a, Part *p, sd_bus_message **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = client_finish(a->bus, &p->call, &error, ret);
        if (r >= 0)
                return 1;
        if (!sd_bus_error_has_name(&error, MDEVD_ERROR_LIMITS_EXCEEDED) || p->limit == 1)
                return client_complain(r, &error, NULL);

        p->limit /= 2;
        send_part(a, p);
        return 0;
}

/* Takes in the first part. */
static int take_part(Asking *a, Devices *devices) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *answer = NULL;
        Part *p = a->parts;
        uint64_t n;
        Uuid last;
        int r;

        r = finish_part(a, p, &answer);
        if (r <= 0)
                return r;
        if (devices_keep(devices, answer) < 0)
                return complain(-ENOMEM, "Not enough memory");
        r = read_devices(TAKE_PTR(answer), devices, &n);
        if (r >= 0 && n >= p->limit)
                r = uuid_from_text(devices->list[devices->n - 1].uuid, &last);
        if (r < 0)
                return client_bad_answer(r);

        if (n >= p->limit)
                r = p->has_after || p->limit < FIRST_SIZE
                                ? add_part(&p->next, &last, p->has_until ? &p->until : NULL, p->limit)
                                : add_rest(&p->next, &last);
        a->parts = p->next;
        (void) part_free(p);
        if (r < 0)
                return r;
        send_parts(a);
        return 0;
}

int asking_finish(Asking *a, Devices *devices) {
        int r = 0;

        while (r >= 0 && a->parts)
                r = take_part(a, devices);
        return r;
}

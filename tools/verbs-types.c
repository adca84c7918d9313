/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* types: what parents have to offer, in mdevctl's formats to the byte: libvirt and scripts parse them. */

#include "tools/offline.h"
#include "tools/verbs.h"

typedef struct OfferedType {
        const char *parent, *name, *label, *device_api, *description;
        uint32_t available;
} OfferedType;

/* What there is. All strings are borrowed from the answers. */
typedef struct Offer {
        sd_bus_message *parents_answer, *types_answer;
        json_object *values; /* in their place, if nobody was asked */
        const char **parents;
        OfferedType *types;
        size_t n_parents, n_parents_allocated, n_types, n_types_allocated;
} Offer;

static void offer_done(Offer *o) {
        free(o->parents);
        free(o->types);
        (void) sd_bus_message_unref(o->parents_answer);
        (void) sd_bus_message_unref(o->types_answer);
        (void) json_object_put(o->values);
}

static int name_order(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int type_order(const void *a, const void *b) {
        const OfferedType *left = a, *right = b;

        return strcmp(left->name, right->name);
}

/* Parents that are there, be it without types. @only: NULL: all */
static int read_parents(Offer *o, const char *only) {
        const char *name;
        int r, present;

        r = sd_bus_message_enter_container(o->parents_answer, 'a', "(ssbs)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(o->parents_answer, "(ssbs)", &name, NULL, &present, NULL)) > 0) {
                if (!present || (only && !streq(only, name)))
                        continue;
                if (grow((void **) &o->parents, &o->n_parents_allocated, o->n_parents + 1, sizeof name) < 0)
                        return -ENOMEM;
                o->parents[o->n_parents++] = name;
        }
        if (o->n_parents > 0)
                qsort(o->parents, o->n_parents, sizeof *o->parents, name_order);
        return r;
}

static int take_type(Offer *o, const OfferedType *type) {
        if (grow((void **) &o->types, &o->n_types_allocated, o->n_types + 1, sizeof *type) < 0)
                return -ENOMEM;

        o->types[o->n_types++] = *type;
        return 0;
}

static int read_types(Offer *o) {
        OfferedType type;
        int r;

        r = sd_bus_message_enter_container(o->types_answer, 'a', "(sssssu)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(o->types_answer, "(sssssu)", &type.parent, &type.name, &type.label,
                                &type.device_api, &type.description, &type.available)) > 0) {
                if (take_type(o, &type) < 0)
                        return -ENOMEM;
        }
        if (o->n_types > 0)
                qsort(o->types, o->n_types, sizeof *o->types, type_order);
        return r;
}

static int take_parent(Offer *o, json_object *parent) {
        json_object *list = json_object_object_get(parent, "types");
        const char *name = value_string(parent, "parent");

        if (grow((void **) &o->parents, &o->n_parents_allocated, o->n_parents + 1, sizeof name) < 0)
                return -ENOMEM;
        o->parents[o->n_parents++] = name;
        for (size_t i = 0; i < value_count(list); i++) {
                json_object *type = json_object_array_get_idx(list, i);
                const OfferedType one = {
                        .parent = name,
                        .name = value_string(type, "type"),
                        .label = value_string(type, "name"),
                        .device_api = value_string(type, "device_api"),
                        .description = value_string(type, "description"),
                        .available = (uint32_t) value_number(type, "available_instances"),
                };

                if (take_type(o, &one) < 0)
                        return -ENOMEM;
        }

        return 0;
}

/* What sysfs says, without a daemon. */
static int read_offline(const Arguments *a, Offer *o) {
        int r;

        r = offline_read_parents(OFFLINE_ROOT(a), arguments_get(a, OPTION_PARENT), &o->values);
        if (r < 0)
                return r;
        for (size_t i = 0; i < value_count(o->values); i++)
                if (take_parent(o, json_object_array_get_idx(o->values, i)) < 0)
                        return complain(-ENOMEM, "Not enough memory");
        if (o->n_parents > 0)
                qsort(o->parents, o->n_parents, sizeof *o->parents, name_order);
        return 0;
}

/* A parent that is not there has no types, which is not an error, and so need not be asked for them. */
static int ask_for_types(sd_bus *bus, const char *parent, Offer *o) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *parents_call = NULL, *types_call = NULL;
        int r;

        r = client_new_question(bus, "ListParents", &parents_call);
        r = client_call(bus, parents_call, r, &o->parents_answer);
        if (r < 0)
                return r;
        r = read_parents(o, parent);
        if (r < 0)
                return client_bad_answer(r);
        if (o->n_parents == 0)
                return 0;

        r = client_new_question(bus, "ListTypes", &types_call);
        if (r >= 0)
                r = sd_bus_message_append(types_call, "s", strempty(parent));
        r = client_call(bus, types_call, r, &o->types_answer);
        if (r < 0)
                return r;
        r = read_types(o);
        return r < 0 ? client_bad_answer(r) : 0;
}

/* A description has lines, but is shown on one. */
static char *join_lines(const char *text) {
        char *line = malloc(2 * strlen(text) + 1), *p = line;

        for (; line && *text; text++)
                if (*text == '\n')
                        p = stpcpy(p, ", ");
                else
                        *p++ = *text;
        if (line)
                *p = '\0';
        return line;
}

static void write_type_text(const OfferedType *t, const char *description) {
        printf("  %s\n    Available instances: %u\n    Device API: %s\n", t->name, t->available,
                        t->device_api);
        if (!isempty(t->label))
                printf("    Name: %s\n", t->label);
        if (!isempty(description))
                printf("    Description: %s\n", description);
}

static void write_type_json(Json *j, const OfferedType *t, const char *description) {
        json_open(j, '{');
        json_key(j, t->name);
        json_open(j, '{');
        json_key(j, "available_instances");
        json_number(j, t->available);
        json_pair(j, "device_api", t->device_api);
        if (!isempty(t->label))
                json_pair(j, "name", t->label);
        if (!isempty(description))
                json_pair(j, "description", description);
        json_close(j, '}');
        json_close(j, '}');
}

/* @j: NULL: as text */
static int write_types_of(const Offer *o, const char *parent, Json *j) {
        for (size_t i = 0; i < o->n_types; i++) {
                const OfferedType *t = &o->types[i];
                _cleanup_(freep) char *description = NULL;

                if (!streq(t->parent, parent))
                        continue;
                description = join_lines(t->description);
                if (!description)
                        return complain(-ENOMEM, "Not enough memory");
                if (j)
                        write_type_json(j, t, description);
                else
                        write_type_text(t, description);
        }

        return 0;
}

static int write_types_text(const Offer *o) {
        int r = 0;

        for (size_t i = 0; i < o->n_parents && r >= 0; i++) {
                printf("%s\n", o->parents[i]);
                r = write_types_of(o, o->parents[i], NULL);
        }

        return r;
}

static int write_types_json(const Offer *o) {
        Json j = { .file = stdout };
        int r = 0;

        json_open(&j, '[');
        if (o->n_parents > 0)
                json_open(&j, '{');
        for (size_t i = 0; i < o->n_parents && r >= 0; i++) {
                json_key(&j, o->parents[i]);
                json_open(&j, '[');
                r = write_types_of(o, o->parents[i], &j);
                json_close(&j, ']');
        }
        if (o->n_parents > 0)
                json_close(&j, '}');
        json_close(&j, ']');
        return r;
}

static int write_rows(const Offer *o) {
        _cleanup_(json_object_putp) json_object *rows = json_object_new_array();

        for (size_t i = 0; i < o->n_parents; i++)
                for (size_t k = 0; k < o->n_types; k++) {
                        const OfferedType *t = &o->types[k];
                        json_object *row;

                        if (!streq(t->parent, o->parents[i]))
                                continue;
                        row = json_object_new_object();
                        if (value_append(rows, row) < 0 || value_put_string(row, "parent", t->parent) < 0 ||
                                        value_put_string(row, "type", t->name) < 0 ||
                                        value_put_string(row, "name", t->label) < 0 ||
                                        value_put_string(row, "device_api", t->device_api) < 0 ||
                                        value_put_string(row, "description", t->description) < 0 ||
                                        value_put(row, "available_instances",
                                                        json_object_new_int64(t->available)) < 0)
                                return complain(-ENOMEM, "Not enough memory");
                }

        return rows ? value_write(rows) : complain(-ENOMEM, "Not enough memory");
}

int verb_types(const Arguments *a) {
        _cleanup_(client_reader_done) ClientReader reader = {};
        _cleanup_(offer_done) Offer offer = {};
        int r;

        r = arguments_have(a, OPTION_ROOT) ? 0 : client_open_reader(&reader);
        if (r < 0)
                return r;
        r = reader.bus ? ask_for_types(reader.bus, arguments_get(a, OPTION_PARENT), &offer)
                       : read_offline(a, &offer);
        if (r < 0)
                return r;

        if (arguments_have(a, OPTION_JSON))
                return write_rows(&offer);
        return arguments_have(a, OPTION_DUMPJSON) ? write_types_json(&offer) : write_types_text(&offer);
}

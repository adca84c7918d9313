/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus/arguments.h"
#include "bus/error.h"
#include "model/name.h"

#define OPTIONS_MAX 32U

/* What a client wrote is told back to it, but not megabytes of it. */
#define TOLD_MAX 1024U

static int refuse(sd_bus_error *error, FailureKind kind, const char *subject, const char *detail,
                uint32_t index) {
        char beginning[TOLD_MAX + sizeof "…"];
        Failure f = FAILURE_INIT;
        int r;

        if (subject && strnlen(subject, TOLD_MAX + 1) > TOLD_MAX) {
                (void) strcpy(mempcpy(beginning, subject, text_whole_size(subject, TOLD_MAX)), "…");
                subject = beginning;
        }
        (void) failure_set(&f, kind, 0, subject, detail);
        f.index = index;
        r = error_set(error, &f);
        failure_done(&f);
        return r;
}

int parse_uuid(const char *text, Uuid *ret, sd_bus_error *error) {
        return uuid_from_text(text, ret) < 0 ? refuse(error, FAILURE_BAD_UUID, text, NULL, 0) : 0;
}

/* Return: 1 if it is a new one. */
static int read_uuid(sd_bus_message *m, bool or_new, Uuid *ret, sd_bus_error *error) {
        const char *text;
        int r;

        r = sd_bus_message_read(m, "s", &text);
        if (r < 0)
                return r;
        if (text[0] == '\0' && or_new) {
                *ret = uuid_random();
                return 1;
        }
        return parse_uuid(text, ret, error);
}

static int read_name(sd_bus_message *m, bool or_none, bool (*is_valid)(const char *), FailureKind kind,
                const char **ret, sd_bus_error *error) {
        const char *name;
        int r;

        r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        if (!(or_none && name[0] == '\0') && !is_valid(name))
                return refuse(error, kind, name, NULL, 0);

        *ret = name;
        return 0;
}

int read_parent(sd_bus_message *m, bool or_none, const char **ret, sd_bus_error *error) {
        return error_of_reading(
                        error, read_name(m, or_none, parent_name_is_valid, FAILURE_BAD_PARENT, ret, error));
}

static const char *attribute_fault(const char *name, const char *value) {
        if (!attribute_name_is_valid(name))
                return "the name must be a path within the device's directory, without \"..\", and none of the kernel's "
                       "own such as \"remove\"";
        if (!attribute_value_is_valid(value))
                return "the value is longer than sysfs takes (4095 bytes)";
        return "it cannot be taken";
}

static int refuse_attribute(int r, const char *name, const char *value, uint32_t index, sd_bus_error *error) {
        if (r == -EINVAL)
                return refuse(error, FAILURE_BAD_ATTRIBUTE, name, attribute_fault(name, value), index);
        if (r == -EUSERS && index < ATTRIBUTES_MAX)
                return refuse(error, FAILURE_TOO_MANY, "bytes of attributes", NULL, ATTRIBUTES_SIZE_MAX);
        if (r == -EUSERS)
                return refuse(error, FAILURE_TOO_MANY, "attributes", NULL, ATTRIBUTES_MAX);
        return r;
}

static int read_attributes(sd_bus_message *m, Attributes *ret, sd_bus_error *error) {
        const char *name, *value;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(ss)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(ss)", &name, &value)) > 0) {
                r = attributes_append(ret, name, value);
                if (r < 0)
                        return refuse_attribute(r, name, value, ret->n, error);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_parts(sd_bus_message *m, unsigned flags, Definition *d, sd_bus_error *error) {
        const char *name;
        int is_new, r;

        is_new = read_uuid(m, flags & READ_UUID_OR_NEW, &d->uuid, error);
        if (is_new < 0)
                return is_new;
        if (flags & READ_PARENT) {
                r = read_parent(m, true, &name, error);
                if (r < 0)
                        return r;
                if (free_and_strdup(&d->parent, name) < 0)
                        return -ENOMEM;
        }
        if (flags & READ_TYPE) {
                r = read_name(m, true, type_name_is_valid, FAILURE_BAD_TYPE, &name, error);
                if (r < 0)
                        return r;
                if (free_and_strdup(&d->type, name) < 0)
                        return -ENOMEM;
        }
        if (flags & READ_ATTRIBUTES) {
                r = read_attributes(m, &d->attributes, error);
                if (r < 0)
                        return r;
        }
        return is_new;
}

int read_device(sd_bus_message *m, unsigned flags, Definition *d, sd_bus_error *error) {
        return error_of_reading(error, read_parts(m, flags, d, error));
}

int parse_json(const char *json, Definition *d, sd_bus_error *error) {
        Failure f = FAILURE_INIT;
        int r;

        r = manager_parse_definition(json, d, &f);
        if (r < 0)
                r = error_set(error, &f);
        failure_done(&f);
        return r;
}

int read_json(sd_bus_message *m, Definition *d, const char **ret, sd_bus_error *error) {
        int r;

        r = sd_bus_message_read(m, "s", ret);
        return r < 0 ? error_of_reading(error, r) : parse_json(*ret, d, error);
}

int check_type(const char *name, sd_bus_error *error) {
        return type_name_is_valid(name) ? 0 : refuse(error, FAILURE_BAD_TYPE, name, NULL, 0);
}

/* Options */

int refuse_option(sd_bus_error *error, const char *name, const char *why) {
        return refuse(error, FAILURE_BAD_OPTION, name, why, 0);
}

static const struct {
        const char *signature, *description;
} option_kinds[] = {
        [OPTION_BOOL] = { "b", "it is a boolean (b)" },
        [OPTION_TRISTATE] = { "b", "it is a boolean (b)" },
        [OPTION_U64] = { "t", "it is a number (t)" },
        [OPTION_STRING] = { "s", "it is a string (s)" },
        [OPTION_ATTRIBUTES] = { "a(ss)", "it is a list of names and values (a(ss))" },
        [OPTION_ADD_ATTRIBUTE] = { "(uss)", "it is an index, a name and a value ((uss))" },
        [OPTION_REMOVE_ATTRIBUTE] = { "u", "it is an index (u)" },
};

static int read_added_attribute(sd_bus_message *m, Modification *ret, sd_bus_error *error) {
        const char *name, *value;
        int r;

        r = sd_bus_message_read(m, "v", "(uss)", &ret->add_index, &name, &value);
        if (r < 0)
                return r;
        if (!attribute_name_is_valid(name) || !attribute_value_is_valid(value))
                return refuse_attribute(-EINVAL, name, value, ret->add_index, error);
        if (free_and_strdup(&ret->add_name, name) < 0 || free_and_strdup(&ret->add_value, value) < 0)
                return -ENOMEM;
        return 0;
}

static int read_all_attributes(sd_bus_message *m, Modification *ret, sd_bus_error *error) {
        int r;

        r = sd_bus_message_enter_container(m, 'v', "a(ss)");
        if (r < 0)
                return r;
        r = read_attributes(m, &ret->attributes, error);
        if (r < 0)
                return r;
        ret->set_attributes = true;
        return sd_bus_message_exit_container(m);
}

static int read_option(sd_bus_message *m, const Option *option, sd_bus_error *error) {
        Modification *modification = option->place;
        const char *contents;
        int value, r;
        char type;

        r = sd_bus_message_peek_type(m, &type, &contents);
        if (r < 0)
                return r;
        if (!streq(contents, option_kinds[option->kind].signature))
                return refuse_option(error, option->name, option_kinds[option->kind].description);

        switch (option->kind) {
        case OPTION_STRING:
                return sd_bus_message_read(m, "v", "s", (const char **) option->place);

        case OPTION_U64:
                return sd_bus_message_read(m, "v", "t", (uint64_t *) option->place);

        case OPTION_BOOL:
                r = sd_bus_message_read(m, "v", "b", &value);
                if (r >= 0)
                        *(bool *) option->place = value;
                return r;

        case OPTION_TRISTATE:
                r = sd_bus_message_read(m, "v", "b", &value);
                if (r >= 0)
                        *(Tristate *) option->place = value ? TRISTATE_YES : TRISTATE_NO;
                return r;

        case OPTION_ATTRIBUTES:
                return read_all_attributes(m, modification, error);

        case OPTION_ADD_ATTRIBUTE:
                return read_added_attribute(m, modification, error);

        case OPTION_REMOVE_ATTRIBUTE:
                modification->remove_attribute = true;
                return sd_bus_message_read(m, "v", "u", &modification->remove_index);
        }

        return -EINVAL;
}

static int read_dictionary(sd_bus_message *m, const Option *options, sd_bus_error *error) {
        uint32_t given = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;

        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const Option *option = options;
                const char *name;

                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return r;
                while (option->name && !streq(option->name, name))
                        option++;
                if (!option->name)
                        return refuse(error, FAILURE_BAD_OPTION, name, "there is no such option", 0);
                if (given & (1U << (option - options)))
                        return refuse(error, FAILURE_BAD_OPTION, name, "it is given twice", 0);
                given |= 1U << (option - options);

                r = read_option(m, option, error);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

int read_options(sd_bus_message *m, const Option *options, sd_bus_error *error) {
        return error_of_reading(error, read_dictionary(m, options, error));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files are read here and not by the daemon, because only this process has the caller's rights, directory and
 * stdin. */

#include <json-c/json.h>

#include "tools/configuration.h"

#define TEXT_SIZE_MAX (512U * 1024U) /* more than all attributes that a device can have */
#define DEPTH_MAX 32

DEFINE_CLEANUP(json_object *, json_object_put);
DEFINE_CLEANUP(json_tokener *, json_tokener_free);

void configuration_done(Configuration *c) {
        if (c->owner)
                c->free_owner(c->owner);
        free(c->attributes);
        *c = (Configuration){};
}

int configuration_add_attribute(Configuration *c, const char *name, const char *value) {
        if (grow((void **) &c->attributes, &c->n_allocated, c->n_attributes + 1, sizeof *c->attributes) < 0)
                return -ENOMEM;

        c->attributes[c->n_attributes++] = (Attribute){ name, value };
        return 0;
}

/* Reading */

static int read_stream(FILE *f, char **ret, size_t *ret_size) {
        _cleanup_(freep) char *text = malloc(TEXT_SIZE_MAX + 1);
        size_t size;

        if (!text)
                return -ENOMEM;

        errno = 0;
        size = fread(text, 1, TEXT_SIZE_MAX + 1, f);
        if (ferror(f))
                return errno > 0 ? -errno : -EIO;
        if (size > TEXT_SIZE_MAX)
                return -EFBIG;

        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

static int read_text(const char *path, char **ret, size_t *ret_size) {
        FILE *f;
        int r;

        /* By its name stdin can be opened only if it is not a socket, and not somebody else's. */
        if (streq(path, "/dev/stdin"))
                return read_stream(stdin, ret, ret_size);

        f = fopen(path, "re");
        if (!f)
                return -errno;
        r = read_stream(f, ret, ret_size);
        (void) fclose(f);
        return r;
}

static int bad_text(const char *path, const char *text, size_t offset, const char *what) {
        size_t line = 1, column = 1;

        for (size_t i = 0; i < offset; i++) {
                column = text[i] == '\n' ? 1 : column + 1;
                line += text[i] == '\n';
        }

        return complain(-EBADMSG, "\"%s\" is not a valid definition: line %zu, column %zu: %s", path, line,
                        column, what);
}

static int parse_text(const char *path, const char *text, size_t size, json_object **ret) {
        _cleanup_(json_tokener_freep) json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
        _cleanup_(json_object_putp) json_object *object = NULL;
        enum json_tokener_error error;
        size_t end;

        if (!tokener)
                return complain(-ENOMEM, "Not enough memory");

        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        object = json_tokener_parse_ex(tokener, text, (int) size);
        error = json_tokener_get_error(tokener);
        end = json_tokener_get_parse_end(tokener);
        if (error == json_tokener_continue)
                return bad_text(path, text, size, "the text ends too early");
        if (error != json_tokener_success)
                return bad_text(path, text, end, json_tokener_error_desc(error));
        if (end != size)
                return bad_text(path, text, end, "unexpected character");
        if (!json_object_is_type(object, json_type_object))
                return bad_text(path, text, 0, "not a JSON object");

        *ret = TAKE_PTR(object);
        return 0;
}

/* The string that @value is; NULL if it is none, or has a NUL within. */
static const char *string_value(json_object *value) {
        const char *s;

        if (!json_object_is_type(value, json_type_string))
                return NULL;

        s = json_object_get_string(value);
        return strlen(s) == (size_t) json_object_get_string_len(value) ? s : NULL;
}

static int bad_attribute(const char *path, size_t i, const char *what) {
        return complain(-EBADMSG, "\"%s\" is not a valid definition: attribute %zu %s", path, i, what);
}

static int parse_attributes(const char *path, json_object *array, Configuration *c) {
        if (!array)
                return 0;
        if (!json_object_is_type(array, json_type_array))
                return complain(-EBADMSG, "\"%s\" is not a valid definition: \"attrs\" is not an array",
                                path);

        for (size_t i = 0; i < json_object_array_length(array); i++) {
                json_object *element = json_object_array_get_idx(array, i);
                struct json_object_iterator it;
                const char *value;

                if (!json_object_is_type(element, json_type_object) ||
                                json_object_object_length(element) != 1)
                        return bad_attribute(path, i, "is not an object with one name");
                it = json_object_iter_begin(element);
                value = string_value(json_object_iter_peek_value(&it));
                if (!value)
                        return bad_attribute(path, i, "has a value that is not a string");
                if (configuration_add_attribute(c, json_object_iter_peek_name(&it), value) < 0)
                        return complain(-ENOMEM, "Not enough memory");
        }

        return 0;
}

static void free_object(void *object) {
        (void) json_object_put(object);
}

int configuration_read(const char *path, Configuration *ret) {
        _cleanup_(configuration_done) Configuration c = { .free_owner = free_object };
        _cleanup_(freep) char *text = NULL;
        json_object *object = NULL, *start;
        size_t size;
        int r;

        r = read_text(path, &text, &size);
        if (r < 0)
                return complain(r, "Unable to read file \"%s\": %s", path, strerror(-r));
        r = parse_text(path, text, size, &object);
        if (r < 0)
                return r;
        c.owner = object;

        c.type = string_value(json_object_object_get(object, "mdev_type"));
        if (!c.type)
                return complain(-EBADMSG,
                                "\"%s\" is not a valid definition: \"mdev_type\" is missing or not a string",
                                path);
        start = json_object_object_get(object, "start");
        if (!start)
                return complain(-EBADMSG, "\"%s\" is not a valid definition: \"start\" is missing", path);
        c.autostart = streq_ptr(string_value(start), "auto");
        r = parse_attributes(path, json_object_object_get(object, "attrs"), &c);
        if (r < 0)
                return r;

        *ret = c;
        c = (Configuration){};
        return 0;
}

/* Writing */

void configuration_write(const Configuration *c, Json *j) {
        json_open(j, '{');
        json_pair(j, "mdev_type", c->type);
        json_pair(j, "start", c->autostart ? "auto" : "manual");
        json_key(j, "attrs");
        json_open(j, '[');
        for (size_t i = 0; i < c->n_attributes; i++) {
                json_open(j, '{');
                json_pair(j, c->attributes[i].name, c->attributes[i].value);
                json_close(j, '}');
        }
        json_close(j, ']');
        json_close(j, '}');
}

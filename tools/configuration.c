/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files are read here and not by the daemon, because only this process has the caller's rights, directory and
 * stdin. */

#include <stdio.h>

#include "tools/configuration.h"
#include "tools/text.h"

#define TEXT_SIZE_MAX (512U * 1024U) /* what the daemon takes */

void configuration_done(Configuration *c) {
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
        /* One more: to see that there is more, and else for a NUL at the end. */
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

int configuration_read_text(const char *path, char **ret) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        r = read_text(path, &text, &size);
        if (r < 0)
                return complain(r, "Unable to read file \"%s\": %s", path, strerror(-r));
        text[size] = '\0';
        if (strlen(text) != size || !text_is_utf8(text))
                return complain(-EBADMSG, "\"%s\" is not a valid definition: it is not text in UTF-8", path);

        *ret = TAKE_PTR(text);
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

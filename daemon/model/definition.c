/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/definition.h"

void definition_done(Definition *d) {
        free(d->parent);
        free(d->type);
        attributes_done(&d->attributes);
        *d = (Definition){};
}

Definition *definition_free(Definition *d) {
        if (d)
                definition_done(d);
        free(d);
        return NULL;
}

int definition_copy(const Definition *d, Definition *ret) {
        _cleanup_(definition_done) Definition copy = { .uuid = d->uuid, .autostart = d->autostart };
        int r;

        r = free_and_strdup(&copy.parent, d->parent);
        if (r < 0)
                return r;
        r = free_and_strdup(&copy.type, d->type);
        if (r < 0)
                return r;
        r = attributes_copy(&d->attributes, &copy.attributes);
        if (r < 0)
                return r;

        *ret = copy;
        copy = (Definition){};
        return 0;
}

bool definition_equal(const Definition *a, const Definition *b) {
        return uuid_equal(&a->uuid, &b->uuid) && a->autostart == b->autostart &&
                        streq(a->parent, b->parent) && streq(a->type, b->type) &&
                        attributes_equal(&a->attributes, &b->attributes);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/modification.h"
#include "model/name.h"

void modification_done(Modification *m) {
        free(m->type);
        attributes_done(&m->attributes);
        free(m->add_name);
        free(m->add_value);
        *m = (Modification){};
}

int modification_copy(const Modification *m, Modification *ret) {
        _cleanup_(modification_done) Modification copy = *m;

        copy.type = copy.add_name = copy.add_value = NULL;
        copy.attributes = (Attributes){};
        if (free_and_strdup(&copy.type, m->type) < 0 || free_and_strdup(&copy.add_name, m->add_name) < 0 ||
                        free_and_strdup(&copy.add_value, m->add_value) < 0 ||
                        attributes_copy(&m->attributes, &copy.attributes) < 0)
                return -ENOMEM;

        *ret = copy;
        copy = (Modification){};
        return 0;
}

bool modification_is_empty(const Modification *m) {
        return !m->type && m->autostart == AUTOSTART_KEEP && !m->set_attributes && !m->remove_attribute &&
                        !m->add_name;
}

static int bad_index(Failure *f, uint32_t index) {
        (void) failure_set(f, FAILURE_BAD_INDEX, 0, NULL, NULL);
        f->index = index;
        return -ERANGE;
}

static int change_attributes(const Modification *m, Attributes *a, Failure *f) {
        int r;

        if (m->set_attributes) {
                Attributes copy;

                r = attributes_copy(&m->attributes, &copy);
                if (r < 0)
                        return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
                attributes_done(a);
                *a = copy;
        }

        if (m->remove_attribute) {
                r = attributes_remove(a, m->remove_index);
                if (r < 0)
                        return bad_index(f, m->remove_index);
        }

        if (m->add_name) {
                r = attributes_insert(a, m->add_index, m->add_name, strempty(m->add_value));
                if (r == -ERANGE)
                        return bad_index(f, m->add_index);
                if (r == -EUSERS) {
                        bool many = a->n >= ATTRIBUTES_MAX;

                        (void) failure_set(f, FAILURE_TOO_MANY, 0,
                                        many ? "attributes" : "bytes of attributes", NULL);
                        f->index = many ? ATTRIBUTES_MAX : ATTRIBUTES_SIZE_MAX;
                        return r;
                }
                if (r == -EINVAL)
                        return failure_set(f, FAILURE_BAD_ATTRIBUTE, 0, m->add_name, "it cannot be taken");
                if (r < 0)
                        return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        }

        return 0;
}

int modification_apply(const Modification *m, Definition *d, Failure *f) {
        _cleanup_(definition_done) Definition changed = {};
        int r;

        r = definition_copy(d, &changed);
        if (r < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);

        if (m->type && free_and_strdup(&changed.type, m->type) < 0)
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        if (m->autostart != AUTOSTART_KEEP)
                changed.autostart = m->autostart == AUTOSTART_AUTO;
        r = change_attributes(m, &changed.attributes, f);
        if (r < 0)
                return r;

        definition_done(d);
        *d = changed;
        changed = (Definition){};
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/capabilities.h"

static const char *const action_words[_SCRIPT_ACTION_MAX] = {
        [SCRIPT_START] = "start",
        [SCRIPT_STOP] = "stop",
        [SCRIPT_DEFINE] = "define",
        [SCRIPT_UNDEFINE] = "undefine",
        [SCRIPT_MODIFY] = "modify",
        [SCRIPT_ATTRIBUTES] = "attributes",
        [SCRIPT_CAPABILITIES] = "capabilities",
};

static const char *const event_words[_SCRIPT_EVENT_MAX] = {
        [SCRIPT_PRE] = "pre",
        [SCRIPT_POST] = "post",
        [SCRIPT_NOTIFY] = "notify",
        [SCRIPT_GET] = "get",
        [SCRIPT_LIVE] = "live",
};

const char *script_action_to_string(ScriptAction action) {
        return action_words[action];
}

const char *script_event_to_string(ScriptEvent event) {
        return event_words[event];
}

void capability_done(Capability *c) {
        free(c->type);
        free(c->script);
        *c = (Capability){};
}

void capabilities_done(Capabilities *c) {
        for (size_t i = 0; i < c->n; i++)
                capability_done(&c->list[i]);
        free(c->list);
        *c = (Capabilities){};
}

const Capability *capabilities_find(const Capabilities *c, const char *type) {
        for (size_t i = 0; i < c->n; i++)
                if (streq(c->list[i].type, type))
                        return &c->list[i];

        return NULL;
}

int capabilities_add(Capabilities *c, uint64_t fingerprint, Capability *item) {
        _cleanup_(capability_done) Capability taken = *item;

        *item = (Capability){};
        if (c->fingerprint != fingerprint || c->n >= CAPABILITIES_MAX)
                capabilities_done(c);
        c->fingerprint = fingerprint;

        for (size_t i = 0; i < c->n; i++)
                if (streq(c->list[i].type, taken.type)) {
                        Capability old = c->list[i];

                        c->list[i] = taken;
                        taken = old;
                        return 0;
                }

        if (grow((void **) &c->list, &c->n_allocated, c->n + 1, sizeof *c->list) < 0)
                return -ENOMEM;
        c->list[c->n++] = taken;
        taken = (Capability){};
        return 0;
}

int capabilities_copy(const Capabilities *c, Capabilities *ret) {
        _cleanup_(capabilities_done) Capabilities copy = {};

        for (size_t i = 0; i < c->n; i++) {
                Capability item = { .actions = c->list[i].actions, .events = c->list[i].events };

                if (free_and_strdup(&item.type, c->list[i].type) < 0 ||
                                free_and_strdup(&item.script, c->list[i].script) < 0) {
                        capability_done(&item);
                        return -ENOMEM;
                }
                if (capabilities_add(&copy, c->fingerprint, &item) < 0)
                        return -ENOMEM;
        }
        copy.fingerprint = c->fingerprint;

        *ret = copy;
        copy = (Capabilities){};
        return 0;
}

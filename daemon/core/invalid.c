/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files among the definitions that are none: reported, and otherwise left alone. */

#include "api/mdevd-messages.h"
#include "base/log.h"
#include "core/manager-private.h"

/* Files that are reported one by one, to clients and to the journal; who has more has one problem. */
#define INVALID_MAX 1024U

const InvalidDefinition *manager_invalid_definitions(const Manager *m, size_t *ret_n) {
        *ret_n = m->n_invalid;
        return m->invalid;
}

static InvalidDefinition *find(Manager *m, const char *path) {
        for (size_t i = 0; i < m->n_invalid; i++)
                if (streq(m->invalid[i].path, path))
                        return &m->invalid[i];

        return NULL;
}

static void tell(const char *path, const char *reason) {
        const LogField fields[] = { { "MDEVD_PATH", path }, {} };

        log_event(LOG_WARNING, MDEVD_MESSAGE_INVALID_DEFINITION, fields,
                        "%s is not a definition and is left alone: %s", path, reason);
}

int invalid_add(Manager *m, const char *path, const char *reason, OpId op) {
        InvalidDefinition *known = find(m, path);
        _cleanup_(freep) char *p = NULL, *why = NULL;
        int r;

        if (known)
                known->op = op;
        if (known ? streq(known->reason, reason) : m->n_invalid >= INVALID_MAX)
                return 0;

        tell(path, reason);
        m->changes |= MANAGER_CHANGED_INVALID;
        if (known)
                return free_and_strdup(&known->reason, reason);

        p = strdup(path);
        why = strdup(reason);
        if (!p || !why)
                return -ENOMEM;
        r = grow((void **) &m->invalid, &m->n_invalid_allocated, m->n_invalid + 1, sizeof *m->invalid);
        if (r < 0)
                return r;
        m->invalid[m->n_invalid++] =
                        (InvalidDefinition){ .path = TAKE_PTR(p), .reason = TAKE_PTR(why), .op = op };
        return 0;
}

static void drop(Manager *m, size_t i) {
        free(m->invalid[i].path);
        free(m->invalid[i].reason);
        m->n_invalid--;
        memmove(&m->invalid[i], &m->invalid[i + 1], (m->n_invalid - i) * sizeof *m->invalid);
        m->changes |= MANAGER_CHANGED_INVALID;
}

/* @path that ends in "/" means all below. */
static bool is_at(const char *path, const char *where) {
        size_t n = strlen(where);

        return n > 0 && where[n - 1] == '/' ? strncmp(path, where, n) == 0 : streq(path, where);
}

void invalid_sweep(Manager *m, const char *path, OpId op) {
        for (size_t i = m->n_invalid; i-- > 0;)
                if ((!path || is_at(m->invalid[i].path, path)) && (op == 0 || m->invalid[i].op != op))
                        drop(m, i);
}

/* Whether @path is a file of that device, in the folder @where or in any below it. */
static bool is_of_device(const char *path, const char *where, const Uuid *uuid) {
        const char *rest = startswith(path, where);
        Uuid named;

        return rest && rest[0] == '/' && uuid_from_text(strrchr(path, '/') + 1, &named) >= 0 &&
                        uuid_equal(&named, uuid);
}

void invalid_sweep_device(Manager *m, const char *folder, const Uuid *uuid, OpId op) {
        for (size_t i = m->n_invalid; i-- > 0;)
                if (m->invalid[i].op != op && is_of_device(m->invalid[i].path, folder, uuid))
                        drop(m, i);
}

void invalid_stop(Manager *m) {
        invalid_sweep(m, NULL, 0);
        free(m->invalid);
        m->invalid = NULL;
}

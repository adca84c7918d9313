/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "core/rounds.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "host/memo.h"

/* A parent that has arrived, as far as we have heard. */
typedef struct Round {
        char *parent;
        uint64_t life; /* 0: it is gone again */
        bool changed;  /* what is due in it is not what is remembered */
        Spent *spent;
        size_t n_spent, n_spent_allocated;
} Round;

struct Rounds {
        int memo_fd;
        Round *list;
        size_t n, n_allocated;
        bool changed; /* one of them has */
};

static Round *find(const Rounds *r, const char *parent) {
        for (size_t i = 0; i < r->n; i++)
                if (streq(r->list[i].parent, parent))
                        return &r->list[i];

        return NULL;
}

static void forget_spent(Round *round) {
        for (size_t i = 0; i < round->n_spent; i++)
                free(round->spent[i].type);
        round->n_spent = 0;
}

bool rounds_has(const Rounds *r, const Parent *p) {
        const Round *round = find(r, p->name);

        return round && round->life == p->life;
}

int rounds_open(Rounds *r, const Parent *p) {
        Round *round = find(r, p->name);

        if (!round) {
                _cleanup_(freep) char *name = strdup(p->name);

                if (!name || grow((void **) &r->list, &r->n_allocated, r->n + 1, sizeof *r->list) < 0)
                        return -ENOMEM;
                round = &r->list[r->n++];
                *round = (Round){ .parent = TAKE_PTR(name) };
        }

        round->life = p->life;
        round->changed = r->changed = true;
        /* Readings are counted in one life of a parent, if nothing refers to it. */
        forget_spent(round);
        return 0;
}

void rounds_close(Rounds *r, const char *parent) {
        Round *round = find(r, parent);

        if (!round)
                return;

        round->life = 0;
        memo_remove(r->memo_fd, parent);
}

Spent *rounds_spent(Rounds *r, const Parent *p, const char *type) {
        Round *round = find(r, p->name);
        _cleanup_(freep) char *name = NULL;
        Spent *spent;

        if (!round)
                return NULL;
        for (size_t i = 0; i < round->n_spent; i++)
                if (streq(round->spent[i].type, type))
                        return &round->spent[i];

        name = strdup(type);
        if (!name ||
                        grow((void **) &round->spent, &round->n_spent_allocated, round->n_spent + 1,
                                        sizeof *round->spent) < 0)
                return NULL;
        spent = &round->spent[round->n_spent++];
        *spent = (Spent){ .type = TAKE_PTR(name) };
        return spent;
}

/* Memory */

int rounds_recall(const Rounds *r, const Parent *p, Uuid **ret, size_t *ret_n) {
        _cleanup_(freep) Uuid *uuids = NULL;
        uint64_t life;
        size_t n;
        int rc;

        rc = memo_read(r->memo_fd, p->name, &life, &uuids, &n);
        if (rc < 0)
                return rc;
        if (life != p->life)
                return -ENOENT;

        *ret = TAKE_PTR(uuids);
        *ret_n = n;
        return 0;
}

void rounds_changed(Rounds *r, const Device *d) {
        for (size_t i = 0; i < r->n; i++)
                if (!d || device_find_definition(d, r->list[i].parent))
                        r->list[i].changed = r->changed = true;
}

bool rounds_have_changed(const Rounds *r) {
        return r->changed;
}

static void remember(const Rounds *r, Round *round, const Registry *registry, const Uuid *due, size_t n_due) {
        _cleanup_(freep) Uuid *uuids = calloc(n_due + 1, sizeof *uuids);
        size_t n = 0;
        int rc;

        for (size_t i = 0; uuids && i < n_due; i++) {
                const Device *d = registry_find(registry, &due[i]);
                const Definition *definition = d ? device_find_definition(d, round->parent) : NULL;

                if (definition && definition->autostart)
                        uuids[n++] = due[i];
        }
        rc = uuids ? memo_write(r->memo_fd, round->parent, round->life, uuids, n) : -ENOMEM;
        if (memory_check(rc) < 0)
                log_warning_errno(rc, "Cannot remember what is still to be started on %s, ignoring: %s",
                                round->parent, strerror(-rc));
        round->changed = false;
}

void rounds_remember(Rounds *r, const Registry *registry, const Uuid *due, size_t n_due) {
        for (size_t i = 0; i < r->n; i++)
                if (r->list[i].changed && r->list[i].life != 0)
                        remember(r, &r->list[i], registry, due, n_due);
        r->changed = false;
}

/* Life */

int rounds_new(Rounds **ret, int root_fd) {
        _cleanup_(rounds_freep) Rounds *r = calloc(1, sizeof *r);

        if (!r)
                return -ENOMEM;
        r->memo_fd = memo_open_directory(root_fd);
        if (r->memo_fd < 0)
                return r->memo_fd;

        file_sweep_strays(r->memo_fd);
        *ret = TAKE_PTR(r);
        return 0;
}

Rounds *rounds_free(Rounds *r) {
        if (!r)
                return NULL;

        for (size_t i = 0; i < r->n; i++) {
                forget_spent(&r->list[i]);
                free(r->list[i].spent);
                free(r->list[i].parent);
        }
        free(r->list);
        (void) safe_close(r->memo_fd);
        free(r);
        return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The rounds of autostart: one for each parent that has arrived, in its life, what of the instances that its
 * last reading left has been spent in it, and what is still to be started in it, remembered below /run for
 * the daemon that comes after this one. What is due, and when it is tried, is autostart.c's. */

#include "model/registry.h"

typedef struct Rounds Rounds;

/* Attempts on one type that the last reading of its parent need not have counted. */
typedef struct Spent {
        char *type;
        uint64_t n_readings; /* the parent's, when @n began */
        uint32_t n;
} Spent;

/* @root_fd: "/" or what stands for it; borrowed for the call. */
int rounds_new(Rounds **ret, int root_fd);
Rounds *rounds_free(Rounds *r);
DEFINE_CLEANUP(Rounds *, rounds_free);

/* Whether the parent's arrival in the life that it has now has been seen. */
bool rounds_has(const Rounds *r, const Parent *p);

/* Return: 0; -ENOMEM. */
int rounds_open(Rounds *r, const Parent *p);

/* The parent is gone: nothing of its round is remembered, here or below /run. */
void rounds_close(Rounds *r, const char *parent);

/* What an earlier daemon had still to start on @p in this life of it. Return: 0; -ENOENT if there was no
 * round in it; another errno. @ret: free(). */
int rounds_recall(const Rounds *r, const Parent *p, Uuid **ret, size_t *ret_n);

/* What is due of @d, or that it is, has changed: so have the rounds of the parents that it is defined on. */
void rounds_changed(Rounds *r, const Device *d);

/* Some have, since they were remembered. */
bool rounds_have_changed(const Rounds *r);

/* Remembers them. @due: all devices that are to be started, on whatever parent. */
void rounds_remember(Rounds *r, const Registry *registry, const Uuid *due, size_t n_due);

/* Return: what was spent of @type in @p's round, borrowed until the round is opened anew; NULL if there is no
 * such round, or no memory. */
Spent *rounds_spent(Rounds *r, const Parent *p, const char *type);

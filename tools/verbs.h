/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tools/arguments.h"

/* The program's own options, and the verbs in the order of the help. */
extern const Verb program_verb;
extern const Verb verbs[];
extern const size_t n_verbs;

/* Return: NULL if there is none of exactly this name. */
const Verb *verb_find(const char *name);

/* verbs-change.c */
int verb_define(const Arguments *a);
int verb_undefine(const Arguments *a);
int verb_modify(const Arguments *a);
int verb_start(const Arguments *a);
int verb_start_parent_mdevs(const Arguments *a);
int verb_stop(const Arguments *a);

/* verbs-list.c, -types.c */
int verb_list(const Arguments *a);
int verb_types(const Arguments *a);

/* verbs-status.c, -tree.c, -show.c, -monitor.c, -wait.c, -verify.c */
int verb_status(const Arguments *a);
int verb_tree(const Arguments *a);
int verb_show(const Arguments *a);
int verb_monitor(const Arguments *a);
int verb_wait(const Arguments *a);
int verb_verify(const Arguments *a);

/* offline-change.c */
int verb_define_offline(const Arguments *a);
int verb_undefine_offline(const Arguments *a);
int verb_modify_offline(const Arguments *a);

/* help.c */
int verb_help(const Arguments *a);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hears of hands on the definition files: inotify(7) over the tree that host/store.h reads. It tells where
 * something happened and never what is there now. Nothing here waits for the disk but the opening of
 * directories. */

#include "model/name.h"

typedef struct Watch Watch;

typedef enum WatchKind {
        WATCH_FILE,       /* @parent, @name: it was closed after being written, came in one go, or went */
        WATCH_DIRECTORY,  /* @parent: it came or went */
        WATCH_EVERYTHING, /* events were lost, or the top folder came or went */
} WatchKind;

typedef struct WatchEvent {
        WatchKind kind;
        char parent[NAME_LENGTH_MAX + 1];
        char name[NAME_LENGTH_MAX + 1];
        bool renamed_in, deleted; /* of a file: how; neither: otherwise */
} WatchEvent;

/* @root_fd: "/" or what stands for it; borrowed for life. Return: 0; -EMFILE if the user has too many
 * already; -ENOMEM. */
int watch_new(int root_fd, Watch **ret);
Watch *watch_free(Watch *w);
DEFINE_CLEANUP(Watch *, watch_free);

/* Readable when there are events. */
int watch_fd(const Watch *w);

/* Sees to it that all directories that there are now are watched; to be called before each reading of
 * everything. Return: 0; -ENOSPC if the user may not watch that many; another errno. */
int watch_update(Watch *w);

/* Takes the next event. Return: 1; 0 if there is none; a negative errno. */
int watch_receive(Watch *w, WatchEvent *ret);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* All that the daemon shows, at one moment or from now on. */

#include "tools/client.h"
#include "tools/output.h"
#include "tools/value.h"

typedef struct Picture {
        json_object *daemon;
        json_object *parents; /* by object path */
        json_object *devices;
} Picture;

void picture_done(Picture *p);

/* Return: 0; a negative errno, then the reason was told. @ret: overwritten on success only. */
int picture_read(sd_bus *bus, Picture *ret);

/* Makes the daemon ask the drivers for their types anew, so that what it shows is what there is now. That it
 * cannot is no matter: then what it shows is what it has. @parent: "": all */
void picture_refresh_types(sd_bus *bus, const char *parent);

/* Takes in an answer of GetManagedObjects, or the properties of the Manager. Return: 0; a negative errno. */
int picture_take_objects(Picture *p, sd_bus_message *answer);
int picture_take_daemon(Picture *p, sd_bus_message *answer);

/* What is in one of the lists, in the order of parents and UUIDs. @ret: free(), the elements are borrowed. */
int picture_sort(json_object *objects, json_object ***ret, size_t *ret_n);

/* The same as a JSON array of its own. NULL: no memory. */
json_object *picture_to_array(json_object *objects);

/* NULL: there is none. @uuid: in canonical form */
json_object *picture_find_device(const Picture *p, const char *uuid);
json_object *picture_find_parent(const Picture *p, const char *name);

/* Following */

typedef enum ChangeKind {
        CHANGE_PICTURE, /* the picture is whole: at the beginning, and when the daemon is back */
        CHANGE_ADDED,
        CHANGE_CHANGED,
        CHANGE_REMOVED,
        CHANGE_LOST,  /* the daemon is gone, and the picture is empty */
        CHANGE_AGAIN, /* none: PICTURE_AGAIN asked for it */
        _CHANGE_MAX,
} ChangeKind;

typedef struct Change {
        ChangeKind kind;
        ValueObject object;
        json_object *value;   /* as it is now; if removed, as it was last */
        json_object *before;  /* if changed */
        json_object *changes; /* if changed: keys and values that are new */
} Change;

/* What ends with everything as it was is not told by any signal. */
#define PICTURE_AGAIN 2
#define PICTURE_AGAIN_USEC (500 * 1000U)

/* Return: 0 to go on; 1 that is enough; PICTURE_AGAIN to go on, and to be called after that time, too, with
 * CHANGE_AGAIN; a negative errno. */
typedef int (*PictureFn)(const Picture *p, const Change *change, void *userdata);

/**
 * picture_follow() - be told of every change, in order, until that is enough
 * @timeout_usec: UINT64_MAX: for ever; 0: only the first picture
 * @output:       it is enough, too, when nobody reads this any more; -1: nothing
 *
 * Return: 0 when @fn had enough; -ETIME, not told; what @fn returned; another negative errno, which was told.
 */
int picture_follow(sd_bus *bus, uint64_t timeout_usec, int output, PictureFn fn, void *userdata);

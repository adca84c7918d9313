/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One file per device that mdevd has made, below /run/mdevd/devices, so that a later daemon knows it for its
 * own, and knows whether it ever was finished: made before "create" is written, marked as whole when the last
 * attribute is set, taken away with the device. tmpfs, so the main loop may use it. */

#include <stdint.h>

#include "model/uuid.h"

#define RECORD_DIRECTORY "run/mdevd/devices"

typedef struct Record {
        bool whole;
        uint64_t life; /* of the device, if it is whole: another device of the same UUID has another */
} Record;

/* The directory, made if it is missing. Return: a descriptor; a negative errno. */
int record_open_directory(int root_fd);

int record_write(int directory_fd, const Uuid *uuid, const Record *record);

/* Return: 0; -ENOENT; -EBADMSG; another errno. */
int record_read(int directory_fd, const Uuid *uuid, Record *ret);
void record_remove(int directory_fd, const Uuid *uuid);

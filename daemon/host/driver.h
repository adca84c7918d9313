/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What enters a vendor's driver: each of these may block for as long as the driver likes, so only workers
 * call them (tests/check-layers.py sees to it). All take a descriptor of the directory "/sys", or of its
 * stand-in. */

#include "model/attributes.h"
#include "model/failure.h"
#include "model/parent.h"
#include "model/uuid.h"

/* Reads what a parent offers, in the order of type names. Attributes that are missing or unreadable are
 * empty: one odd type hides no other. Return: 0; -ENOENT if there is no such parent; -ENOMEM. */
int driver_read_types(int sys_fd, const char *parent, Types *ret);

/* Writes the UUID to the type's "create". Return: 0 when the driver is done; else a negative errno, and @f
 * says FAILURE_PARENT_ABSENT, _NO_SUCH_TYPE, _NO_CAPACITY, _EXISTS_IN_KERNEL or _KERNEL. */
int driver_create(int sys_fd, const char *parent, const char *type, const Uuid *uuid, Failure *f);

/* Writes the attributes in order, each with one write(2) of its exact bytes, below the device's directory and
 * never out of it. Stops at the first that fails: FAILURE_ATTRIBUTE with its index and name. */
int driver_write_attributes(
                int sys_fd, const char *parent, const Uuid *uuid, const Attributes *attributes, Failure *f);

/* Writes "1" to the device's "remove", if it is @parent's. Must never be called before its create has
 * returned. Blocks while somebody has the device open. Return: 0 when it is gone; -ENODEV if it was not
 * there; else a negative errno, and @f says FAILURE_KERNEL or _CHANGED_MEANWHILE. */
int driver_remove(int sys_fd, const char *parent, const Uuid *uuid, Failure *f);

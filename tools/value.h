/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon's properties as JSON: what --json writes, and what everything for people is made of. The keys
 * are documented in mdevdctl(1) and stay. */

#include <json-c/json.h>
#include <systemd/sd-bus.h>

#include "base/util.h"

DEFINE_CLEANUP(json_object *, json_object_put);

typedef enum ValueObject {
        VALUE_MANAGER,
        VALUE_PARENT,
        VALUE_DEVICE,
        _VALUE_OBJECT_MAX,
} ValueObject;

/* Which object an interface belongs to. Return: -EINVAL: none of these. */
int value_object_of(const char *interface);

/* "daemon", "parent", "device" */
const char *value_object_name(ValueObject object);

/* All keys, each null. NULL: no memory. */
json_object *value_new(ValueObject object);

/**
 * value_update() - take in properties
 * @m:       at an "a{sv}"; is advanced behind it
 * @value:   made by value_new(), is changed
 * @changes: gets the keys whose value is another now, with the new value; may be NULL
 *
 * Properties that are not known are passed over: the daemon may be newer.
 *
 * Return: 0; a negative errno of sd-bus; -ENOMEM.
 */
int value_update(sd_bus_message *m, ValueObject object, json_object *value, json_object *changes);

/* What a key has; "", false and -1 if it is null or not there. */
const char *value_string(json_object *value, const char *key);
bool value_bool(json_object *value, const char *key);
int64_t value_number(json_object *value, const char *key);

/* Elements of a list; NULL is an empty one. */
size_t value_count(json_object *list);

/* Writes it to stdout: for people and programs, or on one line of its own. Return: 0; a negative errno, then
 * that was told. */
int value_write(json_object *value);
int value_write_line(json_object *value);

/* Build; consume @member, also on error. Return: 0; -ENOMEM, also if @member is NULL, or what gets it: so
 * what could not be made need not be looked at before. */
int value_append(json_object *array, json_object *member);
int value_put(json_object *object, const char *key, json_object *member);
int value_put_string(json_object *object, const char *key, const char *s);

/* The same where NULL is a value, "null". */
int value_put_any(json_object *object, const char *key, json_object *member);

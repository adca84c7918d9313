/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tools/output.h"
#include "tools/rows.h"
#include "tools/value.h"

static json_object *attributes_of(const Configuration *c) {
        _cleanup_(json_object_putp) json_object *array = json_object_new_array();

        for (size_t i = 0; array && i < c->n_attributes; i++) {
                json_object *attribute = json_object_new_object();

                if (value_append(array, attribute) < 0 ||
                                value_put_string(attribute, "name", c->attributes[i].name) < 0 ||
                                value_put_string(attribute, "value", c->attributes[i].value) < 0)
                        return NULL;
        }

        return TAKE_PTR(array);
}

static int add_row(json_object *rows, const Device *d, const char *type) {
        json_object *row = json_object_new_object();

        if (value_append(rows, row) < 0 || value_put_string(row, "uuid", d->uuid) < 0 ||
                        value_put_string(row, "parent", d->parent) < 0 ||
                        value_put_string(row, "type", type) < 0 ||
                        value_put_string(row, "state", d->state) < 0 ||
                        value_put(row, "defined", json_object_new_boolean(d->defined)) < 0 ||
                        value_put(row, "autostart", json_object_new_boolean(d->configuration.autostart)) < 0)
                return -ENOMEM;
        return value_put(row, "attributes", attributes_of(&d->configuration));
}

int rows_write(const Devices *devices, DevicesWhich which) {
        _cleanup_(json_object_putp) json_object *rows = json_object_new_array();

        for (size_t i = 0; i < devices->n; i++) {
                const Device *d = &devices->list[i];

                if (add_row(rows, d,
                                    which == DEVICES_DEFINED ? device_defined_type(d)
                                                             : d->configuration.type) < 0)
                        return complain(-ENOMEM, "Not enough memory");
        }

        return rows ? value_write(rows) : complain(-ENOMEM, "Not enough memory");
}

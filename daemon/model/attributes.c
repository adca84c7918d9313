/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/attributes.h"
#include "model/name.h"

void attributes_done(Attributes *a) {
        free(a->data);
        *a = (Attributes){};
}

/* Where the pair at @index begins; the end of the data for the index behind the last. */
static size_t attributes_offset(const Attributes *a, uint32_t index) {
        const char *p = a->data;

        for (uint32_t i = 0; i < 2 * index; i++)
                p = strchr(p, '\0') + 1;

        return (size_t) (p - a->data);
}

int attributes_insert(Attributes *a, uint32_t index, const char *name, const char *value) {
        size_t name_size = strlen(name) + 1, value_size = strlen(value) + 1, added = name_size + value_size;
        size_t offset;
        char *data;

        if (!attribute_name_is_valid(name) || !attribute_value_is_valid(value))
                return -EINVAL;
        if (index == ATTRIBUTES_END)
                index = a->n;
        if (index > a->n)
                return -ERANGE;
        if (a->n >= ATTRIBUTES_MAX || a->size + added > ATTRIBUTES_SIZE_MAX)
                return -EUSERS;

        offset = index == a->n ? a->size : attributes_offset(a, index);
        data = realloc(a->data, a->size + added);
        if (!data)
                return -ENOMEM;

        memmove(data + offset + added, data + offset, a->size - offset);
        memcpy(data + offset, name, name_size);
        memcpy(data + offset + name_size, value, value_size);

        a->data = data;
        a->size += (uint32_t) added;
        a->n++;
        return 0;
}

int attributes_remove(Attributes *a, uint32_t index) {
        size_t begin, end;

        if (index == ATTRIBUTES_END && a->n > 0)
                index = a->n - 1;
        if (index >= a->n)
                return -ERANGE;

        begin = attributes_offset(a, index);
        end = attributes_offset(a, index + 1);
        memmove(a->data + begin, a->data + end, a->size - end);
        a->size -= (uint32_t) (end - begin);
        a->n--;
        return 0;
}

int attributes_copy(const Attributes *a, Attributes *ret) {
        char *data = NULL;

        if (a->size > 0) {
                data = malloc(a->size);
                if (!data)
                        return -ENOMEM;
                memcpy(data, a->data, a->size);
        }

        *ret = (Attributes){ .data = data, .size = a->size, .n = a->n };
        return 0;
}

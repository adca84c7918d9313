/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "model/uuid.h"
#include "tools/identity.h"

_Static_assert(IDENTITY_SIZE == UUID_TEXT_SIZE, "both are a UUID in text");

char *identity_of(const char *text, char buffer[static IDENTITY_SIZE]) {
        Uuid uuid = {};

        (void) uuid_from_text(text, &uuid);
        return uuid_to_text(&uuid, buffer);
}

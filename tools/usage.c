/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <fcntl.h>

#include "host/holder.h"
#include "host/sysfs.h"
#include "model/uuid.h"
#include "tools/usage.h"

int usage_find(const char *root, const char *text, json_object **ret) {
        _cleanup_(sighting_done) Sighting seen = SIGHTING_INIT;
        _cleanup_(closep) int root_fd = -EBADF, sys_fd = -EBADF;
        _cleanup_(json_object_putp) json_object *who = NULL;
        Holder holder;
        Uuid uuid;

        *ret = NULL;
        root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root_fd >= 0)
                sys_fd = openat(root_fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (sys_fd < 0 || uuid_from_text(text, &uuid) < 0 || sysfs_probe(sys_fd, &uuid, NULL, &seen) < 0 ||
                        holder_look(root_fd, &seen, &holder) <= 0)
                return 0;

        who = json_object_new_object();
        if (!who || value_put(who, "pid", json_object_new_int(holder.pid)) < 0 ||
                        value_put_string(who, "command", holder.comm) < 0)
                return -ENOMEM;

        *ret = TAKE_PTR(who);
        return 0;
}

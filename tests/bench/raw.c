/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The least that a piece of work can take: the same effects without anybody in between.
 *
 * raw devices ROUNDS PARENT TYPE:
 *         one device created and removed by a write each, "raw"
 *
 * raw parallel TYPE N PARENT…:
 *         N devices on each parent created at once, "parallel", and removed again
 *
 * raw uevents N PATH…:
 *         N times "change" in turns to the files "uevent", "uevents" */

#include <systemd/sd-id128.h>

#include <sys/wait.h>

#include "bench.h"

static void new_uuid(char ret[static SD_ID128_UUID_STRING_MAX]) {
        sd_id128_t id;

        if (sd_id128_randomize(&id) < 0)
                give_up("sd_id128_randomize", 0);
        (void) sd_id128_to_uuid_string(id, ret);
}

static void settle(void) {
        if (system("udevadm settle") != 0)
                give_up("udevadm settle", -EIO);
}

static void devices(unsigned rounds, const char *parent, const char *type) {
        char uuid[SD_ID128_UUID_STRING_MAX];

        while (rounds-- > 0) {
                uint64_t begin;

                new_uuid(uuid);
                settle();
                begin = now_nsec();
                create_device(parent, type, uuid);
                remove_device(uuid);
                tell("raw", now_nsec() - begin);
        }
}

/* A process for each device, as the kernel works for whoever writes. */
static void parallel(const char *type, unsigned n, char **parents) {
        unsigned n_devices = 0;
        char(*uuids)[SD_ID128_UUID_STRING_MAX];
        uint64_t begin;
        int status;

        for (char **p = parents; *p; p++)
                n_devices += n;
        uuids = calloc(n_devices, sizeof *uuids);
        if (!uuids)
                give_up("calloc", -ENOMEM);
        for (unsigned i = 0; i < n_devices; i++)
                new_uuid(uuids[i]);

        settle();
        begin = now_nsec();
        for (unsigned i = 0; i < n_devices; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        give_up("fork", 0);
                if (pid == 0) {
                        create_device(parents[i / n], type, uuids[i]);
                        _exit(EXIT_SUCCESS);
                }
        }
        for (unsigned i = 0; i < n_devices; i++)
                if (wait(&status) < 0 || status != 0)
                        give_up("a creation failed", -EIO);
        tell("parallel", now_nsec() - begin);

        for (unsigned i = 0; i < n_devices; i++)
                remove_device(uuids[i]);
        free(uuids);
}

static void uevents(unsigned n, char **paths) {
        uint64_t begin = now_nsec();
        char **path = paths;

        while (n-- > 0) {
                write_once(*path++, "change");
                if (!*path)
                        path = paths;
        }
        tell("uevents", now_nsec() - begin);
}

int main(int argc, char *argv[]) {
        if (argc == 5 && streq(argv[1], "devices"))
                devices(parse_count(argv[2]), argv[3], argv[4]);
        else if (argc >= 5 && streq(argv[1], "parallel"))
                parallel(argv[2], parse_count(argv[3]), argv + 4);
        else if (argc >= 4 && streq(argv[1], "uevents"))
                uevents(parse_count(argv[2]), argv + 3);
        else
                give_up("raw", -EINVAL);

        return EXIT_SUCCESS;
}

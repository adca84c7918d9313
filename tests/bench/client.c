/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A client of mdevd with a standing connection, and the same work without mdevd next to it.
 *
 * client devices ROUNDS PARENT TYPE:
 *         two calls of Peer.Ping, "pings"; a call, a device created by a write, a call, the device removed by
 * a write, "woven"; Create and Stop, "mdevd"
 *
 * client start ROUNDS PARENT…:
 *         StartParent of all at once, "start"
 *
 * client define ROUNDS BATCH OUTSTANDING DIR:
 *         BATCH files written durably in DIR, "bare", and as many devices defined, OUTSTANDING calls under
 * way, "mdevd"
 *
 * client modify ROUNDS UUID PARENT:
 *         "modify"
 *
 * client query ROUNDS UUID:
 *         ListDevices of one device, "query"
 *
 * client list ROUNDS:
 *         ListDevices of all, "list"
 *
 * client churn ROUNDS PARENT:
 *         a device defined, modified, listed and undefined, "churn"
 *
 * client watch:
 *         subscribed to everything: a call every 20 ms, "answer", and one to the bus itself, "bus", until a
 *         device goes */

#include <poll.h>
#include <sys/stat.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>

#include "api/mdevd-names.h"

#include "bench.h"

#define TYPE "bench-type"

static sd_bus *bus;

static void check(const char *what, int r) {
        if (r < 0)
                give_up(what, r);
}

static void new_uuid(char ret[static SD_ID128_UUID_STRING_MAX]) {
        sd_id128_t id;

        check("sd_id128_randomize", sd_id128_randomize(&id));
        (void) sd_id128_to_uuid_string(id, ret);
}

/* Takes over @m. */
static sd_bus_message *call(sd_bus_message *m) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;

        if (sd_bus_call(bus, m, UINT64_MAX, &error, &reply) < 0) {
                fprintf(stderr, "%s: %s\n", sd_bus_message_get_member(m), error.message);
                exit(EXIT_FAILURE);
        }
        (void) sd_bus_message_unref(m);
        return reply;
}

static sd_bus_message *new_call(const char *member, const char *signature, ...) {
        sd_bus_message *m;
        va_list ap;

        check(member,
                        sd_bus_message_new_method_call(bus, &m, MDEVD_BUS_NAME, MDEVD_PATH,
                                        MDEVD_MANAGER_INTERFACE, member));
        va_start(ap, signature);
        check(member, sd_bus_message_appendv(m, signature, ap));
        va_end(ap);
        return m;
}

static void ask(const char *name, const char *path, const char *interface, const char *member) {
        sd_bus_message *m;

        check(member, sd_bus_message_new_method_call(bus, &m, name, path, interface, member));
        (void) sd_bus_message_unref(call(m));
}

static void ping(void) {
        ask(MDEVD_BUS_NAME, MDEVD_PATH, "org.freedesktop.DBus.Peer", "Ping");
}

static sd_bus_message *new_define(const char *uuid, const char *parent) {
        return new_call("Define", "sssa(ss)a{sv}", uuid, parent, TYPE, 2, "assign_adapter", "5",
                        "assign_domain", "0x4c", 0);
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
                ping();
                ping();
                tell("pings", now_nsec() - begin);

                settle();
                begin = now_nsec();
                ping();
                create_device(parent, type, uuid);
                ping();
                remove_device(uuid);
                tell("woven", now_nsec() - begin);

                new_uuid(uuid);
                settle();
                begin = now_nsec();
                (void) sd_bus_message_unref(
                                call(new_call("Create", "sssa(ss)a{sv}", uuid, parent, type, 0, 0)));
                (void) sd_bus_message_unref(call(new_call("Stop", "sa{sv}", uuid, 0)));
                tell("mdevd", now_nsec() - begin);
        }
}

/* Calls that are under way side by side */

static unsigned n_under_way;

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);

        (void) userdata, (void) error;
        if (e) {
                fprintf(stderr, "%s\n", e->message);
                exit(EXIT_FAILURE);
        }
        n_under_way--;
        return 0;
}

/* Takes over @m. */
static void begin_call(sd_bus_message *m) {
        check("call", sd_bus_call_async(bus, NULL, m, on_reply, NULL, UINT64_MAX));
        (void) sd_bus_message_unref(m);
        n_under_way++;
}

static void wait_until_under_way(unsigned max) {
        while (n_under_way > max) {
                int r = sd_bus_process(bus, NULL);

                check("process", r);
                if (r == 0)
                        check("wait", sd_bus_wait(bus, UINT64_MAX));
        }
}

static void start(unsigned rounds, char **parents) {
        while (rounds-- > 0) {
                uint64_t begin;

                settle();
                begin = now_nsec();
                for (char **p = parents; *p; p++)
                        begin_call(new_call("StartParent", "s", *p));
                wait_until_under_way(0);
                tell("start", now_nsec() - begin);
        }
}

/* What a definition's file takes to be durable: mdevd does no less. */
static void write_durably(int top_fd, int dir_fd, const char *name) {
        static const char text[] = "{\n  \"mdev_type\": \"" TYPE "\",\n  \"start\": \"manual\",\n"
                                   "  \"attrs\": [\n    {\n      \"assign_adapter\": \"5\"\n    },\n"
                                   "    {\n      \"assign_domain\": \"0x4c\"\n    }\n  ]\n}";
        char temporary[64];
        int fd;

        (void) snprintf(temporary, sizeof temporary, ".temporary-%s", name);
        fd = openat(top_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 || write(fd, text, sizeof text - 1) < 0 || fsync(fd) < 0 || close(fd) < 0 ||
                        renameat(top_fd, temporary, dir_fd, name) < 0 || fsync(dir_fd) < 0)
                give_up(name, 0);
}

static void define(unsigned rounds, unsigned batch, unsigned outstanding, const char *path) {
        int top_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), dir_fd;
        char uuid[SD_ID128_UUID_STRING_MAX];

        if (top_fd < 0 || (mkdirat(top_fd, "bare", 0755) < 0 && errno != EEXIST))
                give_up(path, 0);
        dir_fd = openat(top_fd, "bare", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                give_up(path, 0);

        while (rounds-- > 0) {
                uint64_t begin = now_nsec();

                for (unsigned i = 0; i < batch; i++) {
                        new_uuid(uuid);
                        write_durably(top_fd, dir_fd, uuid);
                }
                tell("bare", (now_nsec() - begin) / batch);

                begin = now_nsec();
                for (unsigned i = 0; i < batch; i++) {
                        wait_until_under_way(outstanding - 1);
                        new_uuid(uuid);
                        begin_call(new_define(uuid, "0000:3b:00.0"));
                }
                wait_until_under_way(0);
                tell("mdevd", (now_nsec() - begin) / batch);
        }
}

static void modify(unsigned rounds, const char *uuid, const char *parent) {
        while (rounds-- > 0) {
                uint64_t begin = now_nsec();

                (void) sd_bus_message_unref(call(new_call("Modify", "ssa{sv}a{sv}", uuid, parent, 1,
                                "autostart", "b", (int) (rounds % 2), 0)));
                tell("modify", now_nsec() - begin);
        }
}

static void list(unsigned rounds, const char *uuid) {
        while (rounds-- > 0) {
                uint64_t begin = now_nsec();
                sd_bus_message *reply;

                reply = call(uuid ? new_call("ListDevices", "a{sv}", 1, "uuid", "s", uuid)
                                  : new_call("ListDevices", "a{sv}", 0));
                check("list", sd_bus_message_skip(reply, "a(ssssbbba(ss))"));
                (void) sd_bus_message_unref(reply);
                tell(uuid ? "query" : "list", now_nsec() - begin);
        }
}

static void churn(unsigned rounds, const char *parent) {
        char uuid[SD_ID128_UUID_STRING_MAX];

        while (rounds-- > 0) {
                uint64_t begin = now_nsec();

                new_uuid(uuid);
                (void) sd_bus_message_unref(call(new_define(uuid, parent)));
                (void) sd_bus_message_unref(call(
                                new_call("Modify", "ssa{sv}a{sv}", uuid, parent, 1, "autostart", "b", 1, 0)));
                (void) sd_bus_message_unref(call(new_call("ListDevices", "a{sv}", 0)));
                (void) sd_bus_message_unref(call(new_call("Undefine", "ssa{sv}", uuid, parent, 0)));
                tell("churn", now_nsec() - begin);
        }
}

static int on_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        bool *gone = userdata;
        const char *path;

        (void) error;
        check("signal", sd_bus_message_read(m, "o", &path));
        if (strstr(path, "/device/"))
                *gone = true;
        return 0;
}

static void watch(void) {
        bool gone = false;

        check("match",
                        sd_bus_match_signal(bus, NULL, MDEVD_BUS_NAME, NULL,
                                        "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved", on_removed,
                                        &gone));
        check("match", sd_bus_add_match(bus, NULL, "type='signal',sender='" MDEVD_BUS_NAME "'", NULL, NULL));
        puts("ready 0");
        (void) fflush(stdout);

        while (!gone) {
                uint64_t begin = now_nsec();
                int r;

                ping();
                tell("answer", now_nsec() - begin);
                begin = now_nsec();
                ask("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId");
                tell("bus", now_nsec() - begin);
                while ((r = sd_bus_process(bus, NULL)) > 0)
                        ;
                check("process", r);
                (void) poll(NULL, 0, 20);
        }
}

int main(int argc, char *argv[]) {
        const char *what = argc > 1 ? argv[1] : "";

        check("the system bus", sd_bus_open_system(&bus));
        if (argc == 5 && streq(what, "devices"))
                devices(parse_count(argv[2]), argv[3], argv[4]);
        else if (argc >= 4 && streq(what, "start"))
                start(parse_count(argv[2]), argv + 3);
        else if (argc == 6 && streq(what, "define"))
                define(parse_count(argv[2]), parse_count(argv[3]), parse_count(argv[4]), argv[5]);
        else if (argc == 5 && streq(what, "modify"))
                modify(parse_count(argv[2]), argv[3], argv[4]);
        else if (argc == 4 && streq(what, "query"))
                list(parse_count(argv[2]), argv[3]);
        else if (argc == 3 && streq(what, "list"))
                list(parse_count(argv[2]), NULL);
        else if (argc == 4 && streq(what, "churn"))
                churn(parse_count(argv[2]), argv[3]);
        else if (argc == 2 && streq(what, "watch"))
                watch();
        else
                give_up("client", -EINVAL);

        (void) sd_bus_flush_close_unref(bus);
        return EXIT_SUCCESS;
}

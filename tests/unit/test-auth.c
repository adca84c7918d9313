/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The other end is the bus, polkit and the user in one. What polkit really says, and to whom, is shown in the
 * guest. */

#include "unit.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>

#include "bus/auth.h"

#define ACTION "a.b.do"
#define USER ":1.1"
#define TURNS_MAX 10000U

static sd_event *event;
static sd_bus *client, *server;
static Auth *auth;
static sd_bus_message *last; /* that came to the handler */
static unsigned n_entered, n_identified, n_asked, n_allowed, n_refused;
static bool allows;
static char refusal[128]; /* the last sentence */

/* As the turns do. */
static int filter(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_) {
        (void) auth_takes_up(auth, m);
        return 0;
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *const *types = userdata;
        int r = 1;

        n_entered++;
        (void) sd_bus_message_unref(last);
        last = sd_bus_message_ref(m);
        for (; *types && r > 0; types++)
                r = auth_check(auth, m, ACTION, "", "", *types, error);
        return r < 0 ? r : r == 0 ? 1 : sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Do", "", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static uint32_t uid;

static int tell_user(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, "a{sv}", 3, "ProcessID", "u", 1U, "UnixUserID", "u", uid,
                        "LinuxSecurityLabel", "ay", 1, 0);
}

static int on_credentials(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_) {
        int (*const *tell)(sd_bus_message *) = userdata;

        n_identified++;
        return (*tell)(m);
}

static const sd_bus_vtable bus_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("GetConnectionCredentials", "s", "a{sv}", on_credentials, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int on_question(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_) {
        n_asked++;
        return sd_bus_reply_method_return(m, "(bba{ss})", (int) allows, 0, 0);
}

static const sd_bus_vtable polkit_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_question,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int on_answer(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_) {
        if (sd_bus_message_is_method_error(m, SD_BUS_ERROR_ACCESS_DENIED)) {
                n_refused++;
                (void) snprintf(refusal, sizeof refusal, "%s", sd_bus_message_get_error(m)->message);
        } else {
                assert_false(sd_bus_message_is_method_error(m, NULL));
                n_allowed++;
        }
        return 0;
}

static int (*tell)(sd_bus_message *);
static const char *one_type[] = { "t", NULL }, *two_types[] = { "t", "u", NULL };

static int set_up(void **state) {
        const BusLimits limits = { 100, 100, 100 };
        sd_id128_t id;
        int fds[2];

        n_entered = n_identified = n_asked = n_allowed = n_refused = 0;
        tell = tell_user;
        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(sd_id128_randomize(&id), 0);

        assert_int_equal(sd_bus_new(&server), 0);
        assert_int_equal(sd_bus_set_fd(server, fds[0], fds[0]), 0);
        assert_int_equal(sd_bus_set_server(server, true, id), 0);
        assert_int_equal(sd_bus_add_filter(server, NULL, filter, NULL), 0);
        assert_int_equal(sd_bus_add_object_vtable(server, NULL, "/", "a.b", vtable, *state ?: one_type), 0);
        assert_true(sd_bus_start(server) >= 0);
        assert_true(sd_bus_attach_event(server, event, SD_EVENT_PRIORITY_NORMAL) >= 0);
        assert_true(auth_new(&auth, server, &limits) >= 0);

        assert_int_equal(sd_bus_new(&client), 0);
        assert_int_equal(sd_bus_set_fd(client, fds[1], fds[1]), 0);
        assert_int_equal(sd_bus_add_object_vtable(client, NULL, "/org/freedesktop/DBus",
                                         "org.freedesktop.DBus", bus_vtable, &tell),
                        0);
        assert_int_equal(sd_bus_add_object_vtable(client, NULL, "/org/freedesktop/PolicyKit1/Authority",
                                         "org.freedesktop.PolicyKit1.Authority", polkit_vtable, NULL),
                        0);
        assert_true(sd_bus_start(client) >= 0);
        return 0;
}

static int tear_down(void **state) {
        (void) state;

        last = sd_bus_message_unref(last);
        (void) auth_free(auth);
        (void) sd_bus_flush_close_unref(client);
        (void) sd_bus_flush_close_unref(server);
        (void) sd_event_unref(event);
        return 0;
}

static void call(void) {
        sd_bus_message *m = NULL;

        assert_int_equal(sd_bus_message_new_method_call(client, &m, NULL, "/", "a.b", "Do"), 0);
        assert_int_equal(sd_bus_message_set_sender(m, USER), 0);
        assert_true(sd_bus_call_async(client, NULL, m, on_answer, NULL, UINT64_MAX) >= 0);
        (void) sd_bus_message_unref(m);
}

static void go_on(void) {
        while (sd_bus_process(client, NULL) > 0)
                ;
        assert_true(sd_event_run(event, 0) >= 0);
}

static void wait_for(const unsigned *what, unsigned n) {
        for (unsigned i = 0; *what < n; i++) {
                assert_true(i < TURNS_MAX);
                go_on();
        }
        assert_int_equal(*what, n);
}

static void test_root(void **state) {
        (void) state;

        uid = 0;
        for (unsigned i = 1; i <= 3; i++) {
                call();
                wait_for(&n_allowed, i);
        }
        assert_int_equal(n_asked, 0);
        assert_int_equal(n_entered, 4); /* who it is was asked once */
}

static void test_others(void **state) {
        (void) state;

        uid = 1000;
        allows = false;
        call();
        wait_for(&n_refused, 1);
        allows = true;
        call();
        wait_for(&n_allowed, 1);
        assert_int_equal(n_asked, 2);
        assert_int_equal(n_entered, 4);
}

/* Each is asked for when the one before it is answered, which is kept as long. */
static void test_two_details(void **state) {
        (void) state;

        uid = 1000;
        allows = true;
        call();
        wait_for(&n_allowed, 1);
        assert_int_equal(n_asked, 2);
        assert_int_equal(n_entered, 3);
}

static int on_other(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
                void *userdata _unused_) {
        return 0;
}

/* Nothing is left of it when the call is answered, be the loop never idle. */
static void test_nothing_is_left(void **state) {
        sd_event_source *other = NULL;
        int fd = eventfd(1, EFD_CLOEXEC);

        (void) state;

        assert_true(fd >= 0);
        assert_true(sd_event_add_io(event, &other, fd, EPOLLIN, on_other, NULL) >= 0);
        assert_int_equal(sd_event_source_set_io_fd_own(other, true), 0);
        /* After what sd-bus comes to by its timer. */
        assert_int_equal(sd_event_source_set_priority(other, SD_EVENT_PRIORITY_NORMAL + 1), 0);

        uid = 1000;
        allows = true;
        call();
        wait_for(&n_allowed, 1);
        go_on();
        assert_false(auth_takes_up(auth, last));

        (void) sd_event_source_disable_unref(other);
}

/* A bus that does not say who somebody is. What it leaves out must not be taken for root's number. */

static int tell_error(sd_bus_message *m) {
        return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_NAME_HAS_NO_OWNER, "No such name");
}

static int tell_error_with_user(sd_bus_message *m) {
        const sd_bus_error error = SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_FAILED, NULL);
        sd_bus_message *reply = NULL;
        int r;

        assert_true(sd_bus_message_new_method_error(m, &reply, &error) >= 0);
        assert_true(sd_bus_message_append(reply, "a{sv}", 1, "UnixUserID", "u", 0U) >= 0);
        r = sd_bus_send(client, reply, NULL);
        (void) sd_bus_message_unref(reply);
        return r;
}

static int tell_nothing(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, NULL);
}

static int tell_none(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, "a{sv}", 0);
}

static int tell_no_user(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, "a{sv}", 1, "ProcessID", "u", 1U);
}

static int tell_no_list(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, "u", 0U);
}

static int tell_no_variants(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, "a{su}", 1, "UnixUserID", 0U);
}

static int tell_user_in_words(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, "a{sv}", 1, "UnixUserID", "s", "0");
}

static int tell_signed_user(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, "a{sv}", 1, "UnixUserID", "i", 0);
}

static int tell_process_in_words(sd_bus_message *m) {
        return sd_bus_reply_method_return(m, "a{sv}", 2, "UnixUserID", "u", 0U, "ProcessID", "s", "1");
}

static void assert_unknown(unsigned n) {
        wait_for(&n_refused, n);
        assert_string_equal(refusal, "The bus does not say who you are.");
        assert_int_equal(n_asked, 0);
        assert_int_equal(n_allowed, 0);
        assert_int_equal(n_entered, n); /* and not once more: there is no answer to take up */
}

static void assert_known(void) {
        Requester requester;

        tell = tell_user;
        uid = 0;
        call();
        wait_for(&n_allowed, 1);
        auth_identify(auth, last, &requester);
        assert_true(requester.is_known);
}

static void test_unknown(void **state) {
        static int (*const answers[])(sd_bus_message *) = { tell_error, tell_error_with_user, tell_nothing,
                tell_none, tell_no_user, tell_no_list, tell_no_variants, tell_user_in_words, tell_signed_user,
                tell_process_in_words };
        Requester requester;
        unsigned n = 0;

        (void) state;

        allows = true;
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                tell = answers[i];
                call();
                assert_unknown(++n);
                assert_int_equal(n_identified, n); /* anew: what it said was no answer */
                auth_identify(auth, last, &requester);
                assert_false(requester.is_known);
                assert_false(auth_takes_up(auth, last));
        }
        assert_known();
}

/* All that have waited for it are told. */
static void test_many_unknown(void **state) {
        (void) state;

        tell = tell_no_user;
        for (unsigned i = 0; i < 5; i++)
                call();
        assert_unknown(5);
        assert_int_equal(n_identified, 1);
        assert_known();
}

static sd_bus_message *kept;

static int tell_later(sd_bus_message *m) {
        (void) sd_bus_message_unref(kept);
        kept = sd_bus_message_ref(m);
        return 1;
}

/* Then the call ends when sd-bus gives up, and what comes after that is nobody's answer. */
static void test_silent_bus(void **state) {
        (void) state;

        assert_true(sd_bus_set_method_call_timeout(server, 10000) >= 0);
        allows = true;
        tell = tell_later;
        call();
        wait_for(&n_identified, 1);
        for (unsigned i = 0; n_refused == 0; i++) {
                assert_true(i < 20);
                assert_true(sd_event_run(event, 1000000) >= 0);
                while (sd_bus_process(client, NULL) > 0)
                        ;
        }
        assert_unknown(1);

        uid = 0;
        assert_true(tell_user(kept) >= 0);
        kept = sd_bus_message_unref(kept);
        assert_true(sd_bus_set_method_call_timeout(server, 25000000) >= 0);
        tell = tell_no_user;
        call();
        assert_unknown(2);
        assert_int_equal(n_identified, 2);
        assert_known();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_root, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_others, set_up, tear_down),
                cmocka_unit_test_prestate_setup_teardown(test_two_details, set_up, tear_down, two_types),
                cmocka_unit_test_setup_teardown(test_nothing_is_left, set_up, tear_down),
                cmocka_unit_test_prestate_setup_teardown(test_nothing_is_left, set_up, tear_down, two_types),
                cmocka_unit_test_setup_teardown(test_unknown, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_many_unknown, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_silent_bus, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

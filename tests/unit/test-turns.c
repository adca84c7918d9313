/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls, and whatever else the loop has to do. There is no bus in between here, so the other end says itself
 * who sends, and how much of whose messages the bus would have. */

#include "unit.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>

#include "bus/turns.h"

#define CALLS_MAX 100U
#define TURNS_MAX 100000U

static sd_bus_message *asked; /* a call that is to be authorized, or is */

bool auth_takes_up(const Auth *a _unused_, sd_bus_message *message) {
        return message == asked;
}

static sd_event *event;
static sd_bus *client, *server;
static sd_bus_slot *object;
static Turns *turns;
static unsigned n_answers, n_others;
static char order[CALLS_MAX + 1]; /* whose call was served */

static int on_call(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_) {
        const char *sender = sd_bus_message_get_sender(m);

        order[strlen(order)] = sender[strlen(sender) - 1];
        return sd_bus_reply_method_return(m, NULL);
}

/* As auth does when it has an answer. */
static int on_guarded_call(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_) {
        if (m == asked) {
                asked = sd_bus_message_unref(asked);
                return sd_bus_reply_method_return(m, NULL);
        }

        asked = sd_bus_message_ref(m);
        assert_int_equal(sd_bus_message_rewind(m, true), 0);
        assert_int_equal(sd_bus_enqueue_for_read(server, m), 0);
        return 1;
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Do", "", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("DoGuarded", "", "", on_guarded_call, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int on_answer(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_) {
        assert_false(sd_bus_message_is_method_error(m, NULL));
        n_answers++;
        return 0;
}

/* The bus's figures: of mdevd, ":1.0", and of clients. */
static uint32_t own_size, sizes[10];
static bool answers_figures;
static sd_bus_message *unanswered;
static const char *figures_error;
static unsigned n_asked;

int __wrap_sd_bus_get_unique_name(sd_bus *bus, const char **ret);

int __wrap_sd_bus_get_unique_name(sd_bus *bus _unused_, const char **ret) {
        *ret = ":1.0";
        return 0;
}

static void answer_figures(sd_bus_message *m) {
        const char *name;

        assert_true(sd_bus_message_read(m, "s", &name) > 0);
        if (figures_error)
                assert_true(sd_bus_reply_method_errorf(m, figures_error, "No.") >= 0);
        else
                assert_true(sd_bus_reply_method_return(m, "a{sv}", 2, "IncomingBytes", "u", own_size,
                                            "OutgoingBytes", "u", sizes[name[strlen(name) - 1] - '0']) >= 0);
}

static int on_question(sd_bus_message *m, void *userdata _unused_, sd_bus_error *error _unused_) {
        n_asked++;
        if (answers_figures)
                answer_figures(m);
        else {
                assert_null(unanswered);
                unanswered = sd_bus_message_ref(m);
        }
        return 1;
}

static const sd_bus_vtable bus_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("GetConnectionStats", "s", "a{sv}", on_question, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int set_up(void **state) {
        sd_id128_t id;
        int fds[2];

        (void) state;
        n_answers = n_others = n_asked = 0;
        own_size = 0;
        memset(sizes, 0, sizeof sizes);
        answers_figures = true;
        figures_error = NULL;
        memset(order, 0, sizeof order);

        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(sd_id128_randomize(&id), 0);

        assert_int_equal(sd_bus_new(&server), 0);
        assert_int_equal(sd_bus_set_fd(server, fds[0], fds[0]), 0);
        assert_int_equal(sd_bus_set_server(server, true, id), 0);
        assert_int_equal(sd_bus_add_object_vtable(server, &object, "/", "a.b", vtable, NULL), 0);
        assert_true(sd_bus_start(server) >= 0);
        assert_true(sd_bus_attach_event(server, event, SD_EVENT_PRIORITY_NORMAL) >= 0);
        assert_int_equal(turns_new(&turns, server, NULL, CALLS_MAX), 0);

        assert_int_equal(sd_bus_new(&client), 0);
        assert_int_equal(sd_bus_set_fd(client, fds[1], fds[1]), 0);
        assert_int_equal(sd_bus_add_object_vtable(client, NULL, "/org/freedesktop/DBus",
                                         "org.freedesktop.DBus.Debug.Stats", bus_vtable, NULL),
                        0);
        assert_true(sd_bus_start(client) >= 0);
        return 0;
}

static int tear_down(void **state) {
        (void) state;

        (void) turns_free(turns);
        (void) sd_bus_slot_unref(object);
        (void) sd_bus_flush_close_unref(client);
        (void) sd_bus_flush_close_unref(server);
        (void) sd_event_unref(event);
        return 0;
}

static void call(const char *sender, const char *method) {
        sd_bus_message *m = NULL;

        assert_int_equal(sd_bus_message_new_method_call(client, &m, NULL, "/", "a.b", method), 0);
        assert_int_equal(sd_bus_message_set_sender(m, sender), 0);
        assert_true(sd_bus_call_async(client, NULL, m, on_answer, NULL, UINT64_MAX) >= 0);
        (void) sd_bus_message_unref(m);
}

static void call_as(const char *sender) {
        call(sender, "Do");
}

/* What is always there to be done, and as important as the bus. */
static int on_other(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
                void *userdata _unused_) {
        n_others++;
        return 0;
}

static sd_event_source *add_other(void) {
        sd_event_source *source = NULL;

        int fd = eventfd(1, EFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_true(sd_event_add_io(event, &source, fd, EPOLLIN, on_other, NULL) >= 0);
        assert_int_equal(sd_event_source_set_io_fd_own(source, true), 0);
        return source;
}

/* The client does all that it can, and then the other end has one turn of its loop. */
static void go_on(void) {
        while (sd_bus_process(client, NULL) > 0)
                ;
        assert_true(sd_event_run(event, 0) >= 0);
}

/* Return: how many turns of the loop it took. */
static unsigned wait_for(unsigned n) {
        unsigned n_turns = 0;

        while (n_answers < n) {
                assert_true(n_turns++ < TURNS_MAX);
                go_on();
        }
        return n_turns;
}

static void test_answered(void **state) {
        (void) state;

        call_as(":1.1");
        (void) wait_for(1);
        assert_string_equal(order, "1");
}

/* All that has come is looked at before anybody is served, and then each client has its turn. */
static void test_clients_take_turns(void **state) {
        (void) state;

        for (unsigned i = 0; i < 5; i++)
                call_as(":1.1");
        call_as(":1.2");
        call_as(":1.3");
        (void) wait_for(7);
        assert_string_equal(order, "1231111");
}

/* One that comes when there are others already is not last. */
static void test_who_comes_late(void **state) {
        (void) state;

        for (unsigned i = 0; i < 8; i++)
                call_as(":1.1");
        for (unsigned i = 1; i <= 3; i++) {
                (void) wait_for(i);
                call_as(":1.2");
        }
        (void) wait_for(11);
        assert_string_equal(order, "11212121111");
}

/* Between two calls there is no more than some of the rest, and none of the rest is forgotten. */
static void test_other_events_take_turns(void **state) {
        sd_event_source *other = add_other();
        unsigned n_before;

        (void) state;

        call_as(":1.1");
        (void) wait_for(1);

        for (unsigned i = 0; i < 50; i++)
                call_as(i % 2 == 0 ? ":1.1" : ":1.2");
        n_before = n_others;
        (void) wait_for(51);
        assert_in_range(n_others - n_before, 50, 300);

        (void) sd_event_source_disable_unref(other);
}

/* Nor does one client go before another for it. */
static void test_other_events_and_who_comes_late(void **state) {
        sd_event_source *other = add_other();

        (void) state;

        for (unsigned i = 0; i < 50; i++)
                call_as(":1.1");
        call_as(":1.2");
        (void) wait_for(51);
        assert_in_range(strchr(order, '2') - order, 1, 2);

        (void) sd_event_source_disable_unref(other);
}

/* Nor are those forgotten that have had their turn, and were not answered then. */
static void test_other_events_and_a_second_turn(void **state) {
        sd_event_source *other = add_other();

        (void) state;

        for (unsigned i = 1; i <= 20; i++) {
                call(":1.1", "DoGuarded");
                (void) wait_for(i);
        }
        assert_in_range(n_others, 1, 300);
        (void) sd_event_source_disable_unref(other);
}

/* As many as there are. */
static void test_several_others(void **state) {
        sd_event_source *others[5];

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                others[i] = add_other();
        for (unsigned i = 0; i < 20; i++)
                call_as(":1.1");
        assert_in_range(wait_for(20), 20, 1000);
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                (void) sd_event_source_disable_unref(others[i]);
}

/* Clients that do not read */

#define MANY (64U * 1024 * 1024)

static int on_time(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        *(bool *) userdata = true;
        return 0;
}

/* Goes on until the daemon has looked again at those that are held, or could have. */
static void go_on_for_a_while(void) {
        bool is_over = false;

        assert_true(sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 150000, 0, on_time, &is_over) >=
                        0);
        while (!is_over) {
                while (sd_bus_process(client, NULL) > 0)
                        ;
                assert_true(sd_event_run(event, 10000) >= 0);
        }
}

/* So many answers that the bus is asked how much it has, and it has a lot. */
static void crowd(void) {
        own_size = MANY;
        for (unsigned i = 1; i <= 64; i++) {
                call_as(":1.9");
                (void) wait_for(i);
        }
        assert_int_equal(n_asked, 0);
        memset(order, 0, sizeof order);
}

/* One client's figure is not another's, however long it takes. */
static void test_who_does_not_read(void **state) {
        (void) state;

        crowd();
        sizes[1] = MANY;
        call_as(":1.1");
        while (n_asked < 2)
                go_on();
        go_on();

        answers_figures = false;
        call_as(":1.2");
        while (!unanswered)
                go_on();
        go_on_for_a_while();
        answers_figures = true;
        answer_figures(unanswered);
        unanswered = sd_bus_message_unref(unanswered);
        (void) wait_for(65);
        assert_string_equal(order, "2");

        /* It is served when it has read, even if another never ends. */
        sizes[1] = 0;
        for (unsigned i = 66; i < CALLS_MAX && !strchr(order, '1'); i++) {
                call_as(":1.2");
                (void) wait_for(i);
                go_on_for_a_while();
        }
        assert_non_null(strchr(order, '1'));
}

/* A bus that does not tell is not asked again; one that cannot tell just now is. */
static void test_bus_does_not_tell(void **state) {
        (void) state;

        figures_error = "org.freedesktop.DBus.Error.NoMemory";
        for (unsigned i = 1; i <= 130; i++) {
                order[0] = '\0';
                call_as(":1.1");
                (void) wait_for(i);
        }
        assert_int_equal(n_asked, 2);

        figures_error = "org.freedesktop.DBus.Error.UnknownMethod";
        for (unsigned i = 131; i <= 400; i++) {
                order[0] = '\0';
                call_as(":1.1");
                (void) wait_for(i);
        }
        assert_int_equal(n_asked, 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_answered, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_clients_take_turns, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_who_comes_late, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_other_events_take_turns, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_other_events_and_who_comes_late, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_other_events_and_a_second_turn, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_several_others, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_who_does_not_read, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_bus_does_not_tell, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

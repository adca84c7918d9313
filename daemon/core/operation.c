/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A process and an operation are two things, because they end at different times: an operation ends with the
 * frame FRAME_RESULT, its process then exits, or is a spare one again if it has said that it stays. A process
 * is forgotten when it has exited and its socket is drained; "exited" alone would lose the last frames, "end
 * of file" alone leave a zombie.
 *
 * Some spare processes wait ready with empty sockets, so that an operation does not pay for its start. To
 * start one holds up the loop, and takes the processor from the worker that is at it: as long as there is one
 * left, that is put off until nothing has been asked for a moment. Who asks for much at once mostly goes on
 * to: then more of them stay, until that has been over for a moment. */

#include <limits.h>
#include <stdio.h>

#include "api/mdevd-messages.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/operation.h"

#define FRAMES_AT_ONCE 256U

/* A device that is created and removed again, with a reading of what is left after each. */
#define SPARES_MAX 4U
#define SPARE_DELAY_USEC (UINT64_C(20) * 1000)

/* So many stay while there is much to do, and for so long after. */
#define KEPT_MAX 64U
#define KEPT_USEC (UINT64_C(1) * 1000 * 1000)

/* After this long a line says that an operation takes long; nothing is assumed to have failed. */
#define SLOW_FIRST_USEC (UINT64_C(10) * 1000 * 1000)
#define SLOW_NEXT_USEC (UINT64_C(60) * 1000 * 1000)

typedef struct Operation Operation;
typedef struct Process Process;

struct Lane {
        Lane *next;
        char *name;
        unsigned max, n_running;
        Operation *queue, **queue_end;
};

struct Operation {
        Operations *all;
        Lane *lane;
        Operation *next; /* in the lane's queue */
        Request request;
        OperationKind kind;
        int lock_fd; /* until it is sent */
        bool locked; /* the lock file is ours to release */
        const OperationHandler *handler;
        void *owner;
        sd_event_source *slow;
        uint64_t slow_usec;
};

struct Process {
        Operations *all;
        Process *previous, *next;
        Worker *worker;
        sd_event_source *io, *child;
        sd_event_source *more; /* for what was received and not looked at yet */
        Operation *operation;  /* NULL: a spare one, or one that is about to exit */
        Lane *counted;         /* in whose n_running it is; NULL: in none's */
};

struct Operations {
        sd_event *event;
        const WorkerProgram *program;
        unsigned queued_max;
        OperationTypesFn types;
        void *userdata;
        int lock_fd;
        OpId last_id;

        Process *processes; /* all of them, spare ones too */
        Process *spares[KEPT_MAX];
        unsigned n_spares;

        Lane *lanes;
        unsigned n_queued;
        sd_event_source *dispatch; /* starts what is queued when there is room */
        sd_event_source *prepare;  /* starts a spare process when nothing else is to be done */
        sd_event_source *release;  /* lets those go that were kept */
};

static void dispatch_queue(Operations *o);

static Operation *operation_free(Operation *op) {
        if (!op)
                return NULL;

        if (op->locked)
                lock_release(op->all->lock_fd, &op->request.definition.uuid);
        (void) safe_close(op->lock_fd);
        (void) sd_event_source_disable_unref(op->slow);
        request_done(&op->request);
        free(op);
        return NULL;
}

/* The one place where an operation ends. */
static void operation_finish(Operation *op, Frame *result) {
        const OperationHandler *handler = op->handler;
        void *owner = op->owner;

        /* The lock's file goes first: the owner may begin the next operation on the same UUID. */
        (void) operation_free(op);
        handler->done(result, owner);
}

static void operation_fail(Operation *op, FailureKind kind, int error, const char *detail) {
        const Definition *d = &op->request.definition;
        _cleanup_(frame_done) Frame result = FRAME_INIT;

        result.kind = FRAME_RESULT;
        result.op = op->request.op;
        (void) failure_set(&result.failure, kind, error, NULL, detail);
        (void) failure_set_device(&result.failure, &d->uuid, d->parent, d->type);
        operation_finish(op, &result);
}

/* Processes */

/* Its operation is over, so it does not keep others from theirs, however long it goes on. */
static void process_uncount(Process *p) {
        Lane *lane = TAKE_PTR(p->counted);

        if (!lane)
                return;

        lane->n_running--;
        if (lane->queue)
                dispatch_queue(p->all);
}

static void process_unspare(Process *p) {
        Operations *o = p->all;

        for (unsigned i = 0; i < o->n_spares; i++)
                if (o->spares[i] == p) {
                        o->spares[i] = o->spares[--o->n_spares];
                        break;
                }
}

static Process *process_free(Process *p) {
        if (!p)
                return NULL;

        process_unspare(p);
        process_uncount(p);
        if (p->next)
                p->next->previous = p->previous;
        if (p->previous)
                p->previous->next = p->next;
        else if (p->all->processes == p)
                p->all->processes = p->next;

        (void) sd_event_source_disable_unref(p->io);
        (void) sd_event_source_disable_unref(p->child);
        (void) sd_event_source_disable_unref(p->more);
        (void) worker_free(p->worker);
        free(p);
        return NULL;
}

DEFINE_CLEANUP(Process *, process_free);

/* Gives up on a process that could not be given its request, has said what nobody understood or had memory
 * for, or is one too many: when it is done it sees its socket closed and exits, and is reaped then. */
static void process_abandon(Process *p) {
        process_unspare(p);
        p->io = sd_event_source_disable_unref(p->io);
        p->more = sd_event_source_disable_unref(p->more);
        p->worker = worker_free(p->worker);
}

static void prepare_soon(Operations *o) {
        (void) sd_event_source_set_time_relative(o->prepare, o->n_spares > 0 ? SPARE_DELAY_USEC : 0);
        (void) sd_event_source_set_enabled(o->prepare, SD_EVENT_ONESHOT);
}

/* Its operation is over, and it waits for another. */
static void process_keep(Process *p) {
        Operations *o = p->all;

        if (o->n_spares == KEPT_MAX) {
                process_abandon(p);
                return;
        }

        o->spares[o->n_spares++] = p;
        if (o->n_spares > SPARES_MAX) {
                (void) sd_event_source_set_time_relative(o->release, KEPT_USEC);
                (void) sd_event_source_set_enabled(o->release, SD_EVENT_ONESHOT);
        }
}

static int on_release(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Operations *o = userdata;

        while (o->n_spares > SPARES_MAX)
                process_abandon(o->spares[0]);
        return 0;
}

/* Takes what has arrived, but no more than @max frames: a worker that has much to tell must not hold up the
 * others. The callbacks may do anything but free the process. */
static void process_receive(Process *p, unsigned max) {
        for (unsigned n = 0; p->worker; n++) {
                _cleanup_(frame_done) Frame frame = FRAME_INIT;
                Operations *o = p->all;
                int r;

                if (n == max) {
                        (void) sd_event_source_set_enabled(p->more, SD_EVENT_ONESHOT);
                        return;
                }

                r = worker_receive(p->worker, &frame);
                if (r == 0)
                        return;
                if (r < 0) {
                        if (memory_check(r) != -EPIPE)
                                log_warning_errno(r, "A worker (pid %d) sent what is no message: %s",
                                                (int) worker_pid(p->worker), strerror(-r));
                        process_abandon(p);
                        return;
                }

                if (frame.kind == FRAME_TYPES)
                        o->types(&frame, o->userdata);
                else if (p->operation && frame.op == p->operation->request.op) {
                        if (frame.kind == FRAME_RESULT) {
                                Operation *op = TAKE_PTR(p->operation);

                                process_uncount(p);
                                if (frame.stays)
                                        process_keep(p);
                                else
                                        prepare_soon(o);
                                operation_finish(op, &frame);
                        } else
                                p->operation->handler->fact(&frame, p->operation->owner);
                } else
                        log_warning("A worker (pid %d) told of an operation that is not its own, ignoring.",
                                        (int) worker_pid(p->worker));
        }
}

static int on_process_io(sd_event_source *s, int fd _unused_, uint32_t events, void *userdata) {
        Process *p = userdata;

        /* What is wrong with a process that takes no more is seen when it ends. */
        if ((events & EPOLLOUT) && worker_send_more(p->worker) <= 0)
                (void) sd_event_source_set_io_events(s, EPOLLIN);
        process_receive(p, FRAMES_AT_ONCE);
        return 0;
}

static int on_process_more(sd_event_source *s _unused_, void *userdata) {
        process_receive(userdata, FRAMES_AT_ONCE);
        return 0;
}

/* Return: an errno, if it is known. */
static int process_describe_end(const siginfo_t *si, char buffer[static 64]) {
        if (si->si_code == CLD_EXITED)
                (void) snprintf(buffer, 64, "it exited with status %d", si->si_status);
        else
                (void) snprintf(buffer, 64, "it was killed by signal %d", si->si_status);
        return si->si_code == CLD_EXITED && si->si_status == WORKER_EXIT_NO_MEMORY ? ENOMEM : 0;
}

static int on_process_exit(sd_event_source *s _unused_, const siginfo_t *si, void *userdata) {
        Process *p = userdata;
        Operation *op;
        char how[64];
        int error;

        /* What it said comes before that it ended. */
        process_receive(p, UINT_MAX);

        op = TAKE_PTR(p->operation);
        (void) process_free(p);
        if (op) {
                prepare_soon(op->all);
                error = process_describe_end(si, how);
                operation_fail(op, FAILURE_WORKER, error, how);
        }

        return 0;
}

static int process_start(Operations *o, Process **ret) {
        _cleanup_(process_freep) Process *p = calloc(1, sizeof *p);
        int r;

        if (!p)
                return -ENOMEM;
        p->all = o;

        r = worker_start(o->program, &p->worker);
        if (r < 0)
                return r;
        r = sd_event_add_io(o->event, &p->io, worker_fd(p->worker), EPOLLIN, on_process_io, p);
        if (r < 0)
                return r;

        /* Should this fail, the process sees its socket closed and exits; a zombie is what is left of it. */
        r = sd_event_add_child(o->event, &p->child, worker_pid(p->worker), WEXITED, on_process_exit, p);
        if (r < 0)
                return r;
        r = sd_event_add_defer(o->event, &p->more, on_process_more, p);
        if (r < 0)
                return r;
        (void) sd_event_source_set_enabled(p->more, SD_EVENT_OFF);

        p->next = o->processes;
        if (p->next)
                p->next->previous = p;
        o->processes = p;
        *ret = TAKE_PTR(p);
        return 0;
}

/* Those that are at an operation come back, most of them. */
static bool needs_spare(const Operations *o) {
        unsigned n = o->n_spares;

        for (const Process *p = o->processes; p; p = p->next)
                n += p->operation != NULL;
        return o->n_spares == 0 || n < SPARES_MAX;
}

static int on_prepare(sd_event_source *s _unused_, uint64_t usec _unused_, void *userdata) {
        Operations *o = userdata;
        int r;

        if (!needs_spare(o))
                return 0;
        r = process_start(o, &o->spares[o->n_spares]);
        if (memory_check(r) < 0) {
                log_warning_errno(r, "Cannot start a spare worker, ignoring: %s", strerror(-r));
                return 0;
        }
        o->n_spares++;
        prepare_soon(o);
        return 0;
}

/* Operations */

static int on_slow(sd_event_source *s, uint64_t usec _unused_, void *userdata) {
        Operation *op = userdata;
        char uuid[UUID_TEXT_SIZE];
        const LogField fields[] = {
                { "MDEVD_UUID", uuid_to_text(&op->request.definition.uuid, uuid) },
                {},
        };

        log_event(LOG_WARNING, MDEVD_MESSAGE_SLOW, fields,
                        "An operation on device %s is still under way after %llu s: its driver, or a script, has not returned yet.",
                        uuid, (unsigned long long) (op->slow_usec / 1000 / 1000));

        op->slow_usec = op->slow_usec < SLOW_NEXT_USEC ? SLOW_NEXT_USEC : op->slow_usec * 2;
        (void) sd_event_source_set_time_relative(s, op->slow_usec);
        (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

static int process_give(Process *p, const Operation *op) {
        int r;

        r = worker_send(p->worker, &op->request, op->lock_fd);
        if (r > 0)
                r = sd_event_source_set_io_events(p->io, EPOLLIN | EPOLLOUT);
        if (r < 0)
                process_abandon(p);
        return r;
}

/* Gives the operation to a process. Return: 0; a negative errno, then it still waits. */
static int operation_start(Operation *op) {
        Operations *o = op->all;
        Process *p;
        int r;

        p = o->n_spares > 0 ? o->spares[--o->n_spares] : NULL;
        r = p ? process_give(p, op) : -EPIPE;
        if (r == -EPIPE) {
                /* None was ready, or it has died while it waited. */
                r = process_start(o, &p);
                if (r < 0)
                        return r;
                r = process_give(p, op);
        }
        if (r < 0)
                return r;

        op->lock_fd = safe_close(op->lock_fd);
        p->counted = op->lane;
        if (op->lane)
                op->lane->n_running++;
        if (op->request.kind != REQUEST_SCAN) {
                op->slow_usec = SLOW_FIRST_USEC;
                (void) sd_event_add_time_relative(
                                o->event, &op->slow, CLOCK_MONOTONIC, op->slow_usec, 0, on_slow, op);
        }
        p->operation = op;
        prepare_soon(o);
        return 0;
}

static bool has_room(const Lane *lane) {
        return !lane || lane->n_running < lane->max;
}

static Operation *unqueue(Operations *o, Lane *lane) {
        Operation *op = lane->queue;

        lane->queue = op->next;
        if (!lane->queue)
                lane->queue_end = &lane->queue;
        o->n_queued--;
        return op;
}

static int on_dispatch(sd_event_source *s _unused_, void *userdata) {
        Operations *o = userdata;

        for (Lane *lane = o->lanes; lane; lane = lane->next)
                while (lane->queue && has_room(lane)) {
                        Operation *op = unqueue(o, lane);
                        int r;

                        r = operation_start(op);
                        if (r < 0)
                                operation_fail(op, FAILURE_WORKER, r, "it could not be started");
                }

        return 0;
}

Lane *operations_lane(Operations *o, const char *name, unsigned max) {
        Lane *lane = o->lanes;

        while (lane && !streq(lane->name, name))
                lane = lane->next;
        if (lane)
                return lane;

        lane = calloc(1, sizeof *lane);
        if (!lane)
                return NULL;
        lane->name = strdup(name);
        if (!lane->name) {
                free(lane);
                return NULL;
        }
        lane->max = max;
        lane->queue_end = &lane->queue;
        lane->next = o->lanes;
        o->lanes = lane;
        return lane;
}

static void dispatch_queue(Operations *o) {
        (void) sd_event_source_set_enabled(o->dispatch, SD_EVENT_ONESHOT);
}

static int take_lock(Operation *op) {
        const Definition *d = &op->request.definition;
        LockNote note = { .kind = op->kind, .parent = d->parent, .type = d->type };

        op->lock_fd = lock_acquire(op->all->lock_fd, &d->uuid, &note);
        if (op->lock_fd < 0)
                return op->lock_fd;

        op->locked = true;
        return 0;
}

int operations_submit(Operations *o, Request *request, OperationKind kind, int lock_fd, Lane *lane,
                const OperationHandler *handler, void *owner, Failure *f) {
        _cleanup_(request_done) Request taken = *request;
        Operation *op;
        int r;

        *request = (Request){};

        op = malloc(sizeof *op);
        if (!op) {
                (void) safe_close(lock_fd);
                return failure_set(f, FAILURE_NO_MEMORY, 0, NULL, NULL);
        }
        *op = (Operation){
                .all = o,
                .lane = lane,
                .request = taken,
                .kind = kind,
                .lock_fd = lock_fd,
                .handler = handler,
                .owner = owner,
        };
        taken = (Request){};

        if (!has_room(lane) && o->n_queued >= o->queued_max) {
                (void) operation_free(op);
                (void) failure_set(f, FAILURE_TOO_MANY, 0, "operations under way", NULL);
                f->index = o->queued_max;
                return -failure_errno(f);
        }
        if (kind != OPERATION_NONE) {
                r = take_lock(op);
                if (r < 0) {
                        (void) operation_free(op);
                        return r == -EWOULDBLOCK ? failure_set(f, FAILURE_BUSY, 0, NULL, NULL)
                                                 : failure_set(f, FAILURE_WORKER, r, NULL,
                                                                   "its lock could not be taken");
                }
        }

        /* Started from here if it can be, so that a create reaches the kernel without a turn of the loop;
         * what comes of it is told from the loop all the same. */
        if (!lane || (!lane->queue && has_room(lane))) {
                r = operation_start(op);
                if (r >= 0)
                        return 0;
                /* No process to be had, just now. Who is in no lane waits in the one for that. */
                op->lane = lane = lane ?: operations_lane(o, "", UINT_MAX);
                if (!lane) {
                        (void) operation_free(op);
                        return failure_set(f, FAILURE_WORKER, r, NULL, "it could not be started");
                }
        }

        op->next = NULL;
        *lane->queue_end = op;
        lane->queue_end = &op->next;
        o->n_queued++;
        dispatch_queue(o);
        return 0;
}

OpId operations_next_id(Operations *o) {
        return ++o->last_id;
}

int operations_lock_fd(const Operations *o) {
        return o->lock_fd;
}

int operations_new(Operations **ret, sd_event *event, int root_fd, const WorkerProgram *program,
                unsigned queued_max, OperationTypesFn types, void *userdata) {
        _cleanup_(operations_freep) Operations *o = malloc(sizeof *o);
        int r;

        if (!o)
                return -ENOMEM;
        *o = (Operations){
                .event = sd_event_ref(event),
                .program = program,
                .queued_max = queued_max,
                .types = types,
                .userdata = userdata,
                .lock_fd = -EBADF,
        };
        o->lock_fd = lock_open_directory(root_fd);
        if (o->lock_fd < 0)
                return o->lock_fd;
        r = sd_event_add_defer(event, &o->dispatch, on_dispatch, o);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(o->dispatch, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, &o->prepare, CLOCK_MONOTONIC, 0, 1, on_prepare, o);
        if (r < 0)
                return r;
        (void) sd_event_source_set_priority(o->prepare, SD_EVENT_PRIORITY_IDLE);
        r = sd_event_add_time_relative(event, &o->release, CLOCK_MONOTONIC, 0, 1, on_release, o);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(o);
        return 0;
}

Operations *operations_free(Operations *o) {
        if (!o)
                return NULL;

        for (Lane *lane = o->lanes; lane; lane = lane->next)
                while (lane->queue)
                        operation_fail(unqueue(o, lane), FAILURE_CANCELLED, 0, NULL);
        while (o->processes) {
                Process *p = o->processes;
                Operation *op = TAKE_PTR(p->operation);

                /* The lock's file stays: its worker holds it, and the next daemon is to see that. */
                if (op) {
                        op->locked = false;
                        operation_fail(op, FAILURE_CANCELLED, 0, NULL);
                }
                (void) process_free(p);
        }

        while (o->lanes) {
                Lane *lane = o->lanes;

                o->lanes = lane->next;
                free(lane->name);
                free(lane);
        }

        (void) sd_event_source_disable_unref(o->dispatch);
        (void) sd_event_source_disable_unref(o->prepare);
        (void) sd_event_source_disable_unref(o->release);
        (void) sd_event_unref(o->event);
        (void) safe_close(o->lock_fd);
        free(o);
        return NULL;
}

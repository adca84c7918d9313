/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* udev's events about mdevs and their parents. Wraps libudev. An event is a hint that something may be
 * different, never a fact: it may be late, early, synthetic, or about an earlier life of the same UUID. Never
 * blocks. */

#include "model/uuid.h"

typedef struct Monitor Monitor;

typedef enum MonitorEventKind {
        MONITOR_NOTHING,  /* an event about something else */
        MONITOR_DEVICE,   /* look at @uuid */
        MONITOR_PARENT,   /* look at the parent @name */
        MONITOR_OVERFLOW, /* events were lost: look at everything */
} MonitorEventKind;

typedef struct MonitorEvent {
        MonitorEventKind kind;
        Uuid uuid;
        char name[256];
} MonitorEvent;

/* What an event with our tag is about, from its properties (each may be NULL). Pure. */
void monitor_classify(const char *subsystem, const char *sysname, MonitorEvent *ret);

/* Begins to listen to events that our udev rules tag, after udev has dealt with them.
 * Return: 0; an errno of the netlink socket; -ENOMEM. */
int monitor_new(Monitor **ret);
Monitor *monitor_free(Monitor *m);
DEFINE_CLEANUP(Monitor *, monitor_free);

int monitor_fd(const Monitor *m);

/* Takes the next event. Return: 1; 0 if there is none now. */
int monitor_receive(Monitor *m, MonitorEvent *ret);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* /etc/mdevd/mdevd.conf and what lies in /etc/mdevd/mdevd.conf.d/, in systemd's manner. Read once, at the
 * start. */

#include "base/util.h"

#include <stdint.h>

typedef struct Config {
        /* [Limits] */
        uint32_t devices_max;                   /* DevicesMax= */
        uint32_t operations_max;                /* OperationsMax= */
        uint32_t operations_queued_max;         /* OperationsQueuedMax= */
        uint32_t calls_per_client_max;          /* CallsPerClientMax= */
        uint32_t authorizations_max;            /* AuthorizationsMax= */
        uint32_t authorizations_per_client_max; /* AuthorizationsPerClientMax= */

        /* [CallOuts] */
        uint32_t script_timeout_sec; /* TimeoutSec= */
} Config;

/* A definition with two attributes takes some 400 bytes of memory, a worker process some 500 KiB, a call or
 * question that is waiting a few hundred bytes and its message. */
#define CONFIG_DEFAULT                                       \
        ((Config){                                           \
                        .devices_max = 131072,               \
                        .operations_max = 64,                \
                        .operations_queued_max = 4096,       \
                        .calls_per_client_max = 1024,        \
                        .authorizations_max = 256,           \
                        .authorizations_per_client_max = 16, \
                        .script_timeout_sec = 300,           \
        })

/* Told of each line that is not understood, and of each file that cannot be read (@line 0). */
typedef void (*ConfigProblemFn)(const char *path, unsigned line, const char *problem, void *userdata);

/* Changes *@config as the files below @root_fd ("/", or what stands for it) say; what they do not mention
 * stays, and so does what is not understood. Drop-ins are read after the main file, in the order of their
 * names. Return: 0; -ENOMEM. */
int config_load(int root_fd, Config *config, ConfigProblemFn problem, void *userdata);

/* One file's text. Pure. */
void config_parse(char *text, const char *path, Config *config, ConfigProblemFn problem, void *userdata);

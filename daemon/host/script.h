/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One script as a process: started as a direct child of the caller, given its input, heard, and waited for
 * until it ends or its time is up. What scripts are for is host/callout.h's. Workers only. */

#include <stdint.h>

#include "base/util.h"

typedef struct ScriptCall {
        const char *path;  /* executed as it is, without a shell */
        char *const *argv; /* NULL-terminated, its own name first */
        const char *input; /* its standard input; "": nothing */
        size_t output_max; /* bytes kept of its standard output; the rest is read and dropped */
        size_t errors_max; /* the same of its standard error */
        unsigned timeout_sec;
} ScriptCall;

typedef enum ScriptEnd {
        SCRIPT_EXITED,    /* status */
        SCRIPT_KILLED,    /* status: the signal */
        SCRIPT_TIMED_OUT, /* and its whole process group was killed */
} ScriptEnd;

typedef struct ScriptResult {
        ScriptEnd end;
        int status;
        char *output, *errors; /* with a NUL behind them; NULL if there is nothing */
        size_t output_size, errors_size;
        bool output_cut, errors_cut; /* there was more */
} ScriptResult;

void script_result_done(ScriptResult *r);

/* Its standard error as text that anybody can be shown, without blanks at its end. Return: owned by the
 * caller; NULL if there is none, or for want of memory. */
char *script_result_said(const ScriptResult *result);

/**
 * script_run() - run a script and wait for its end
 * @ret: owned by the caller; overwritten on success only
 *
 * The script leads a process group of its own, in "/", with no signal blocked or ignored, no descriptor but
 * the first three, and nothing in its environment but PATH and LC_ALL (and MDEVCTL_ENV_ROOT, if @root is not
 * "/"). Its input is a file, so neither end ever waits for the other. It has ended when it has exited: a
 * child that it left behind is left alone, and is not waited for although it holds the outputs.
 *
 * Return: 0 if it was started; else a negative errno, of execve(2) among others; -ENOMEM also if it has run,
 * but not all of its output could be kept (of its standard error less is kept then).
 */
int script_run(const ScriptCall *call, const char *root, ScriptResult *ret);

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* timed ROUNDS COMMAND… [-- COMMAND…]…: how long each command takes as a whole process, in turns, so that
 * what the machine does besides is shared by all. WHAT is the command's number, from 0. Their output is
 * thrown away. From C, because the fork of a large interpreter would be part of what is measured. */

#include <spawn.h>
#include <sys/wait.h>

#include "bench.h"

#define COMMANDS_MAX 16U

extern char **environ;

static uint64_t run(char **words) {
        posix_spawn_file_actions_t actions;
        uint64_t begin;
        int status, r;
        pid_t pid;

        if (posix_spawn_file_actions_init(&actions) != 0 ||
                        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) !=
                                        0)
                give_up("posix_spawn", -ENOMEM);

        begin = now_nsec();
        r = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
        if (r != 0)
                give_up(words[0], -r);
        if (waitpid(pid, &status, 0) < 0)
                give_up(words[0], 0);
        begin = now_nsec() - begin;

        (void) posix_spawn_file_actions_destroy(&actions);
        if (status != 0) {
                fprintf(stderr, "%s: ended with status %#x\n", words[0], (unsigned) status);
                exit(EXIT_FAILURE);
        }
        return begin;
}

int main(int argc, char *argv[]) {
        char **commands[COMMANDS_MAX], what[16];
        unsigned rounds, n = 0;

        if (argc < 3)
                give_up("timed", -EINVAL);
        rounds = parse_count(argv[1]);

        commands[n++] = argv + 2;
        for (char **word = argv + 2; *word; word++)
                if (streq(*word, "--")) {
                        if (n == COMMANDS_MAX)
                                give_up("timed", -E2BIG);
                        *word = NULL;
                        commands[n++] = word + 1;
                }

        for (unsigned round = 0; round < rounds; round++)
                for (unsigned i = 0; i < n; i++) {
                        (void) snprintf(what, sizeof what, "%u", i);
                        tell(what, run(commands[i]));
                }

        return EXIT_SUCCESS;
}

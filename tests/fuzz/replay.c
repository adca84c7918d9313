/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Feeds a target with files in place of libFuzzer: what is kept of its findings, as an ordinary test of any
 * compiler. Usage: replay-TARGET FILE|DIRECTORY… */

#include <dirent.h>
#include <fcntl.h>

#include "base/file.h"
#include "fuzz/fuzz.h"

#define INPUT_MAX (16U * 1024U * 1024U)

static size_t n_inputs;

static void replay_file(int dir_fd, const char *name) {
        _cleanup_(freep) char *text = NULL;
        _cleanup_(freep) char *input = NULL;
        size_t size;
        int r;

        r = file_read_at(dir_fd, name, INPUT_MAX, &text, &size);
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", name, strerror(-r));
                exit(EXIT_FAILURE);
        }

        /* A target that aborts leaves this as the last word. */
        fprintf(stderr, "%s\n", name);
        input = fuzz_bytes((const uint8_t *) text, size);
        (void) LLVMFuzzerTestOneInput((const uint8_t *) input, size);
        n_inputs++;
}

static void replay(const char *path) {
        struct dirent **entries;
        int dir_fd, n;

        dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0) {
                replay_file(AT_FDCWD, path);
                return;
        }

        n = scandirat(dir_fd, ".", &entries, NULL, alphasort);
        for (int i = 0; i < n; i++) {
                if (entries[i]->d_name[0] != '.')
                        replay_file(dir_fd, entries[i]->d_name);
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        (void) safe_close(dir_fd);
}

int main(int argc, char *argv[]) {
        for (int i = 1; i < argc; i++)
                replay(argv[i]);

        fprintf(stderr, "%zu inputs\n", n_inputs);
        return n_inputs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

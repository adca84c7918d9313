/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Linked into the worker: on a tree of files devices come and go as if a kernel were below it, and what its
 * objects ask memory for fails as the file memory-of-worker beside the tree says. */

#include "kernel.h"

#include "memory-counter.h"

static void __attribute__((constructor)) find_tree(void) {
        static char words[4096];
        ssize_t n;
        int fd;

        fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
        n = read(fd, words, sizeof words - 1);
        (void) close(fd);
        for (char *p = words; p < words + n; p += strlen(p) + 1) {
                const char *root = startswith(p, "--root=");

                if (!root)
                        continue;
                (void) snprintf(tree_root, sizeof tree_root, "%.63s", root);
                tree_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                kernel.attributes[0] = "a";
                use_counter(PATH("%s/../memory-of-worker", root));
                kernel.is_off = strlen(root) >= sizeof tree_root;
        }
}

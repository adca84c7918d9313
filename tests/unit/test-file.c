/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs in two new directories on one file system: "to", which gets the files, and "temporary". The system
 * calls on whose failure and order something depends go through the hooks below. */

#include "looks.h"
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/file.h"

static char root[64];
static int root_fd = -EBADF, to_fd = -EBADF, temporary_fd = -EBADF;
static int n_open; /* descriptors, to find those that are left behind */

/* Hooks */

static struct {
        char log[256];         /* what was called, in order */
        int fsync_file_error;  /* errno that the next fsync of a file gives */
        int fsync_dir_error;   /* … of a directory */
        int rename_error;      /* … renameat2() */
        int write_error;       /* … write(), when @write_total is used up */
        size_t write_max;      /* bytes that one write() takes at most; 0: all */
        size_t write_total;    /* bytes until @write_error */
        bool write_interrupts; /* every other write() is interrupted */
        bool write_nothing;    /* write() returns 0 */
        unsigned n_writes;
        int read_error; /* errno that read() gives, @read_errors times */
        unsigned read_errors;
        unsigned n_reads;
        unsigned collisions; /* numbers that are no random ones: 1… and at last 2… */
        int random_error;
        void (*on_fsync_file)(int fd);
} hooks;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat2(int from_fd, const char *from, int into_fd, const char *into, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int into_fd, const char *into, unsigned flags);
ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);
ssize_t __real_getrandom(void *data, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *data, size_t size, unsigned flags);
ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);

/* Of long sequences, the beginning. */
static void note(const char *what) {
        size_t n = strlen(hooks.log);

        (void) snprintf(hooks.log + n, sizeof hooks.log - n, "%s ", what);
}

static bool same_file(int a, int b) {
        struct stat s, t;

        return fstat(a, &s) >= 0 && fstat(b, &t) >= 0 && s.st_ino == t.st_ino && s.st_dev == t.st_dev;
}

int __wrap_fsync(int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -1;
        note(same_file(fd, to_fd) ? "sync-dir" : S_ISREG(st.st_mode) ? "sync-file" : "sync-?");
        if (S_ISREG(st.st_mode) && hooks.on_fsync_file)
                hooks.on_fsync_file(fd);
        errno = S_ISREG(st.st_mode) ? hooks.fsync_file_error : hooks.fsync_dir_error;

        return errno == 0 ? __real_fsync(fd) : -1;
}

int __wrap_renameat2(int from_fd, const char *from, int into_fd, const char *into, unsigned flags) {
        note(flags == 0 ? "replace" : "rename");
        errno = hooks.rename_error;

        return errno == 0 ? __real_renameat2(from_fd, from, into_fd, into, flags) : -1;
}

ssize_t __wrap_write(int fd, const void *data, size_t size) {
        hooks.n_writes++;
        if (hooks.write_interrupts && hooks.n_writes % 2 == 1) {
                errno = EINTR;
                return -1;
        }
        if (hooks.write_nothing)
                return 0;
        if (hooks.write_error > 0) {
                if (hooks.write_total == 0) {
                        errno = hooks.write_error;
                        return -1;
                }
                size = MIN(size, hooks.write_total);
                hooks.write_total -= size;
        }
        if (hooks.write_max > 0)
                size = MIN(size, hooks.write_max);

        return __real_write(fd, data, size);
}

ssize_t __wrap_read(int fd, void *data, size_t size) {
        hooks.n_reads++;
        if (hooks.read_errors > 0) {
                hooks.read_errors--;
                errno = hooks.read_error;
                return -1;
        }

        return __real_read(fd, data, size);
}

ssize_t __wrap_getrandom(void *data, size_t size, unsigned flags) {
        if (hooks.random_error > 0) {
                errno = hooks.random_error;
                return -1;
        }
        if (hooks.collisions > 0) {
                memset(data, hooks.collisions-- > 1 ? 1 : 2, size);
                return (ssize_t) size;
        }

        return __real_getrandom(data, size, flags);
}

/* Fixture */

static int count_open(void) {
        int n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void remove_all(int dir_fd) {
        DIR *d = fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
                        assert_true(unlinkat(dir_fd, e->d_name, 0) >= 0 ||
                                        unlinkat(dir_fd, e->d_name, AT_REMOVEDIR) >= 0);
        (void) closedir(d);
}

static int setup(void **state) {
        const char *tmp = getenv("TMPDIR");

        (void) state;

        memset(&hooks, 0, sizeof hooks);
        (void) umask(022);
        (void) snprintf(root, sizeof root, "%.40s/test-file-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        assert_non_null(mkdtemp(root));
        root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(root_fd >= 0);
        assert_int_equal(mkdirat(root_fd, "to", 0755), 0);
        assert_int_equal(mkdirat(root_fd, "temporary", 0755), 0);
        to_fd = openat(root_fd, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        temporary_fd = openat(root_fd, "temporary", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(to_fd >= 0 && temporary_fd >= 0);
        n_open = count_open();
        return 0;
}

static int teardown(void **state) {
        int n_left;

        (void) state;

        memset(&hooks, 0, sizeof hooks);
        n_left = count_open() - n_open;
        remove_all(to_fd);
        remove_all(temporary_fd);
        to_fd = safe_close(to_fd);
        temporary_fd = safe_close(temporary_fd);
        (void) unlinkat(root_fd, "to", AT_REMOVEDIR);
        (void) unlinkat(root_fd, "temporary", AT_REMOVEDIR);
        root_fd = safe_close(root_fd);
        if (rmdir(root) < 0)
                return -1;
        if (n_left != 0)
                print_error("descriptors left open: %d\n", n_left);
        return n_left == 0 ? 0 : -1;
}

/* Puts a file there by itself, without the functions under test. */
static void put(const char *name, const char *text) {
        int fd = openat(to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(__real_write(fd, text, strlen(text)), strlen(text));
        (void) close(fd);
}

static bool exists(int dir_fd, const char *name) {
        struct stat st;

        return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) >= 0;
}

static void assert_content(const char *name, const char *expected) {
        char text[256] = "";
        int fd = openat(to_fd, name, O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_true(read(fd, text, sizeof text - 1) >= 0);
        (void) close(fd);
        assert_string_equal(text, expected);
}

static unsigned count_files(int dir_fd) {
        DIR *d = fdopendir(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        unsigned n = 0;

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                n += !streq(e->d_name, ".") && !streq(e->d_name, "..");
        (void) closedir(d);
        return n;
}

/* @n files in "to", and nothing left over in "temporary". */
static void assert_clean(unsigned n) {
        assert_int_equal(count_files(to_fd), n);
        assert_int_equal(count_files(temporary_fd), 0);
}

static int write_text(const char *name, const char *text, bool replace) {
        return file_write_atomic_at(temporary_fd, to_fd, name, text, strlen(text), replace, NULL);
}

/* Reading */

static void assert_reads(const char *name, size_t max, const void *expected, size_t size) {
        _cleanup_(freep) char *text = NULL;
        size_t n = 4711;

        assert_int_equal(file_read_at(to_fd, name, max, &text, &n), 0);
        assert_int_equal(n, size);
        assert_memory_equal(text, expected, size);
        assert_int_equal(text[size], '\0');
}

static void assert_unreadable(int dir_fd, const char *name, size_t max, int error) {
        char untouched[] = "", *text = untouched;
        size_t n = 4711;

        assert_int_equal(file_read_at(dir_fd, name, max, &text, &n), -error);
        assert_ptr_equal(text, untouched);
        assert_int_equal(n, 4711);
}

static void test_read(void **state) {
        (void) state;

        put("empty", "");
        put("short", "{\n}\n");
        assert_reads("empty", 0, "", 0);
        assert_reads("empty", 100, "", 0);
        hooks.n_reads = 0;
        assert_reads("short", 100, "{\n}\n", 4);
        assert_int_equal(hooks.n_reads, 1);
        assert_reads("./short", 100, "{\n}\n", 4);
}

static void test_read_bound(void **state) {
        (void) state;

        put("four", "1234");
        assert_reads("four", 5, "1234", 4);
        assert_reads("four", 4, "1234", 4);
        assert_unreadable(to_fd, "four", 3, EFBIG);
        assert_unreadable(to_fd, "four", 0, EFBIG);
}

static void test_read_binary(void **state) {
        static char data[200000];
        int fd;

        (void) state;

        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (char) (i * 7 + i / 256);
        fd = openat(to_fd, "binary", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(__real_write(fd, data, sizeof data), sizeof data);
        (void) close(fd);

        assert_reads("binary", sizeof data, data, sizeof data);
        assert_unreadable(to_fd, "binary", sizeof data - 1, EFBIG);
}

/* A file that is much too large costs no memory: it has only holes here. */
static void test_read_huge(void **state) {
        int fd = openat(to_fd, "huge", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        (void) state;

        assert_true(fd >= 0);
        if (ftruncate(fd, (off_t) 1 << 40) < 0) {
                (void) close(fd);
                skip();
        }
        (void) close(fd);
        assert_unreadable(to_fd, "huge", 65536, EFBIG);
        assert_int_equal(hooks.n_reads, 0);
}

/* Files of /proc are regular and say that they are empty: the content decides, and so does the bound on it.
 */
static void test_read_without_size(void **state) {
        static const char name[] = "/proc/self/mountinfo";
        static char expected[65536];
        _cleanup_(freep) char *text = NULL;
        size_t n = 0, m, max;
        FILE *f = fopen(name, "re");

        (void) state;

        if (!f)
                skip();
        m = fread(expected, 1, sizeof expected, f);
        (void) fclose(f);
        if (m < 2 || m == sizeof expected)
                skip();

        assert_int_equal(file_read_at(AT_FDCWD, name, sizeof expected, &text, &n), 0);
        assert_int_equal(n, m);
        assert_memory_equal(text, expected, m);
        for (max = 0; max < 40 && max < m; max++)
                assert_unreadable(AT_FDCWD, name, max, EFBIG);
        assert_unreadable(AT_FDCWD, name, m - 1, EFBIG);
}

static void test_read_refuses(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        (void) state;

        put("file", "text");
        assert_int_equal(symlinkat("file", to_fd, "link"), 0);
        assert_int_equal(symlinkat("nothing", to_fd, "dangling"), 0);
        assert_int_equal(symlinkat("loop", to_fd, "loop"), 0);
        assert_int_equal(mkdirat(to_fd, "directory", 0755), 0);
        assert_int_equal(mkfifoat(to_fd, "fifo", 0644), 0);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        (void) snprintf(address.sun_path, sizeof address.sun_path, "%s/to/socket", root);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof address), 0);
        (void) close(fd);

        assert_unreadable(to_fd, "nothing", 100, ENOENT);
        assert_unreadable(to_fd, "", 100, ENOENT);
        assert_unreadable(to_fd, "file/x", 100, ENOTDIR);
        assert_unreadable(to_fd, "link", 100, ELOOP);
        assert_unreadable(to_fd, "dangling", 100, ELOOP);
        assert_unreadable(to_fd, "loop", 100, ELOOP);
        assert_unreadable(to_fd, "directory", 100, ENOTSUP);
        assert_unreadable(to_fd, "fifo", 100, ENOTSUP); /* and is here at once, though nobody writes */
        assert_unreadable(to_fd, "socket", 100, ENOTSUP);
        assert_unreadable(AT_FDCWD, "/dev/null", 100, ENOTSUP);
        assert_unreadable(AT_FDCWD, "/dev/zero", 100, ENOTSUP);
        assert_unreadable(-EBADF, "file", 100, EBADF);
}

/* What is no file is not even opened. */
static void test_read_opens_files_only(void **state) {
        char path[sizeof root + 16], event[4096], *text;
        size_t size;
        int watch;

        (void) state;

        assert_int_equal(mkfifoat(to_fd, "fifo", 0644), 0);
        watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        assert_true(watch >= 0);
        (void) snprintf(path, sizeof path, "%s/to/fifo", root);
        assert_true(inotify_add_watch(watch, path, IN_OPEN) >= 0);

        assert_unreadable(to_fd, "fifo", 100, ENOTSUP);
        assert_int_equal(read(watch, event, sizeof event), -1);
        assert_int_equal(errno, EAGAIN);

        /* What took the place of a listed file is, and refused then. */
        assert_int_equal(file_read_listed_at(to_fd, "fifo", 100, &text, &size), -ENOTSUP);
        assert_true(read(watch, event, sizeof event) > 0);
        (void) close(watch);
}

static void test_read_error(void **state) {
        (void) state;

        put("file", "text");
        hooks.read_errors = 3;
        hooks.read_error = EINTR;
        assert_reads("file", 100, "text", 4);
        if (hooks.n_reads == 0)
                skip(); /* a fortified build calls another function */
        hooks.read_errors = 1;
        hooks.read_error = EIO;
        assert_unreadable(to_fd, "file", 100, EIO);
}

/* Only the last component must not be a link. */
/* The first look only says what is not to be opened. */
static void test_read_fails_to_look(void **state) {
        (void) state;

        put("file", "text");
        look_fails(0);
        assert_reads("file", 10, "text", 4);
        assert_true(look_failed());
        for (unsigned n = 1; n < 3; n++) {
                look_fails(n);
                assert_unreadable(to_fd, "file", 10, EIO);
                assert_true(look_failed());
        }
}

static void test_read_through_link(void **state) {
        (void) state;

        put("file", "text");
        assert_int_equal(symlinkat(".", to_fd, "here"), 0);
        assert_reads("here/file", 100, "text", 4);
}

/* Writing */

static void test_write_new(void **state) {
        struct stat st;

        (void) state;

        for (unsigned replace = 0; replace < 2; replace++) {
                const char *name = replace ? "a" : "b";

                assert_int_equal(write_text(name, "content", replace), 0);
                assert_content(name, "content");
                assert_int_equal(fstatat(to_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
                assert_int_equal(st.st_mode, S_IFREG | 0644);
                assert_int_equal(st.st_nlink, 1);
                assert_clean(replace + 1);
        }
}

static void test_write_sizes(void **state) {
        static char data[1 << 20];

        (void) state;

        memset(data, 'x', sizeof data);
        assert_int_equal(write_text("empty", "", false), 0);
        assert_reads("empty", 0, "", 0);
        assert_int_equal(file_write_atomic_at(temporary_fd, to_fd, "large", data, sizeof data, false, NULL),
                        0);
        assert_reads("large", sizeof data, data, sizeof data);
        assert_int_equal(file_write_atomic_at(temporary_fd, to_fd, "nul", "a\0b", 3, false, NULL), 0);
        assert_reads("nul", 3, "a\0b", 3);
        assert_clean(3);
}

static void test_write_exists(void **state) {
        (void) state;

        put("file", "old");
        assert_int_equal(write_text("file", "new", false), -EEXIST);
        assert_content("file", "old");
        assert_clean(1);
}

static void test_write_replaces(void **state) {
        struct stat before, after;

        (void) state;

        put("file", "a longer old text");
        assert_int_equal(fstatat(to_fd, "file", &before, 0), 0);
        assert_int_equal(write_text("file", "new", true), 0);
        assert_content("file", "new");
        assert_int_equal(fstatat(to_fd, "file", &after, 0), 0);
        assert_int_not_equal(before.st_ino, after.st_ino); /* not written in place */
        assert_clean(1);
}

static void test_write_keeps_mode(void **state) {
        static const mode_t modes[] = { 0600, 0640, 0644, 0664, 0666, 0444, 0400, 0755, 0000 };
        struct stat st;

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(modes); i++) {
                put("file", "old");
                assert_int_equal(fchmodat(to_fd, "file", modes[i], 0), 0);
                assert_int_equal(write_text("file", "new", true), 0);
                assert_int_equal(fstatat(to_fd, "file", &st, 0), 0);
                assert_int_equal(st.st_mode, S_IFREG | modes[i]);
                assert_int_equal(st.st_size, 3);
                assert_int_equal(unlinkat(to_fd, "file", 0), 0);
        }
        assert_clean(0);
}

static void test_write_keeps_owner(void **state) {
        struct stat st;

        (void) state;

        put("file", "old");
        if (fchownat(to_fd, "file", 4711, 4712, 0) < 0)
                skip(); /* only root can */
        assert_int_equal(fchmodat(to_fd, "file", 06751, 0), 0);
        assert_int_equal(write_text("file", "new", true), 0);
        assert_int_equal(fstatat(to_fd, "file", &st, 0), 0);
        assert_int_equal(st.st_uid, 4711);
        assert_int_equal(st.st_gid, 4712);
        assert_int_equal(st.st_mode, S_IFREG | 06751);
        assert_content("file", "new");
}

static void test_write_refuses_what_is_no_file(void **state) {
        (void) state;

        put("file", "text");
        assert_int_equal(symlinkat("file", to_fd, "link"), 0);
        assert_int_equal(symlinkat("nothing", to_fd, "dangling"), 0);
        assert_int_equal(mkdirat(to_fd, "directory", 0755), 0);
        assert_int_equal(mkfifoat(to_fd, "fifo", 0644), 0);

        assert_int_equal(write_text("link", "new", true), -ENOTSUP);
        assert_int_equal(write_text("dangling", "new", true), -ENOTSUP);
        assert_int_equal(write_text("directory", "new", true), -ENOTSUP);
        assert_int_equal(write_text("fifo", "new", true), -ENOTSUP);
        assert_int_equal(write_text("link", "new", false), -EEXIST);
        assert_int_equal(write_text("dangling", "new", false), -EEXIST);
        assert_int_equal(write_text("directory", "new", false), -EEXIST);
        assert_int_equal(write_text("fifo", "new", false), -EEXIST);

        assert_content("file", "text");
        assert_content("link", "text");
        assert_false(exists(to_fd, "nothing"));
        assert_clean(5);
}

static void test_write_order(void **state) {
        (void) state;

        assert_int_equal(write_text("file", "1", false), 0);
        assert_string_equal(hooks.log, "sync-file rename sync-dir ");
        hooks.log[0] = '\0';
        assert_int_equal(write_text("file", "2", true), 0);
        assert_string_equal(hooks.log, "sync-file replace sync-dir ");
}

/* At the time of its fsync the temporary file is whole, the target is what it was, nothing unusual is seen in
 * the target's directory, and whoever cleans up takes the file for somebody's. */
static void while_writing(int fd) {
        struct stat st;
        DIR *d;

        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, 3);
        assert_content("file", "old");
        assert_int_equal(count_files(to_fd), 1);
        assert_int_equal(count_files(temporary_fd), 1);

        d = fdopendir(openat(temporary_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));)
                file_remove_stray_at(temporary_fd, e->d_name);
        (void) closedir(d);
        assert_int_equal(count_files(temporary_fd), 1);
}

static void test_write_meanwhile(void **state) {
        (void) state;

        put("file", "old");
        hooks.on_fsync_file = while_writing;
        assert_int_equal(write_text("file", "new", true), 0);
        assert_content("file", "new");
        assert_clean(1);
}

/* The name of a temporary file may be taken, and then the file is somebody else's. */
static void test_write_name_taken(void **state) {
        static const char name[] = ".mdevd-0101010101010101";
        int fd = openat(temporary_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

        (void) state;

        assert_true(fd >= 0);
        (void) close(fd);
        hooks.collisions = 3;
        assert_int_equal(write_text("file", "text", false), 0);
        assert_int_equal(hooks.collisions, 0);
        assert_content("file", "text");
        assert_int_equal(count_files(temporary_fd), 1);
        assert_true(exists(temporary_fd, name));

        hooks.collisions = 2000; /* more than it tries */
        assert_int_equal(write_text("other", "text", false), -EEXIST);
        assert_true(exists(temporary_fd, name));
        assert_int_equal(unlinkat(temporary_fd, name, 0), 0);
        hooks.collisions = 0;

        hooks.random_error = EPERM;
        assert_int_equal(write_text("other", "text", false), -EPERM);
        assert_clean(1);
}

/* A writer that is killed half-way leaves what file_remove_stray_at() recognises. */
static void die(int fd) {
        (void) fd;

        _exit(7);
}

static void test_write_killed(void **state) {
        int status;
        pid_t pid;

        (void) state;

        put("file", "old");
        hooks.on_fsync_file = die;
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) write_text("file", "new", true);
                _exit(1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 7);
        assert_content("file", "old");
        assert_int_equal(count_files(temporary_fd), 1);

        file_sweep_strays(temporary_fd);
        assert_clean(1);
}

/* Each step fails in turn: with a new file, and with one that is there. */
static void test_write_fails(void **state) {
        (void) state;

        for (unsigned step = 0; step < 4; step++)
                for (unsigned replace = 0; replace < 2; replace++) {
                        int error = (int[]){ ENOSPC, EIO, EXDEV, EDQUOT }[step];

                        if (replace)
                                put("file", "old");
                        memset(&hooks, 0, sizeof hooks);
                        switch (step) {
                        case 0:
                                hooks.write_error = error;
                                hooks.write_total = 2;
                                break;
                        case 1:
                                hooks.fsync_file_error = error;
                                break;
                        case 2:
                                hooks.rename_error = error;
                                break;
                        default:
                                hooks.write_error = error;
                                break;
                        }
                        assert_int_equal(write_text("file", "new", replace), -error);
                        if (replace)
                                assert_content("file", "old");
                        assert_clean(replace);
                        if (replace)
                                assert_int_equal(unlinkat(to_fd, "file", 0), 0);
                }
}

/* What is in place already is taken back. */
static void test_write_fails_last(void **state) {
        struct stat before, after;

        (void) state;

        hooks.fsync_dir_error = EIO;
        assert_int_equal(write_text("file", "new", false), -EIO);
        assert_clean(0);

        put("file", "old");
        assert_int_equal(fstatat(to_fd, "file", &before, 0), 0);
        assert_int_equal(write_text("file", "new", true), -EIO);
        assert_content("file", "old");
        assert_int_equal(fstatat(to_fd, "file", &after, 0), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(after.st_nlink, 1);
        assert_clean(1);
}

/* File systems that cannot rename without replacing: the promise not to replace holds all the same. */
/* What cannot be seen of the old file or of the new one is as good a reason to leave the old one as a full
 * disk. */
static void test_write_fails_to_look(void **state) {
        unsigned n_failed = 0;
        bool failed = true;

        (void) state;

        for (unsigned n = 0; failed; n++) {
                struct stat st;
                int r;

                put("file", "old");
                assert_int_equal(fchmodat(to_fd, "file", 0640, 0), 0);
                if (geteuid() == 0)
                        assert_int_equal(fchownat(to_fd, "file", 4711, 4712, 0), 0);
                look_fails(n);
                r = write_text("file", "new", true);
                failed = look_failed();
                assert_true(r == 0 || r == -EIO);
                assert_content("file", r == 0 ? "new" : "old");
                assert_clean(1);
                assert_int_equal(fstatat(to_fd, "file", &st, 0), 0);
                assert_int_equal(st.st_mode, S_IFREG | 0640);
                assert_int_equal(unlinkat(to_fd, "file", 0), 0);
                n_failed += r < 0;
        }
        assert_true(n_failed >= 5);
}

static void test_write_without_noreplace(void **state) {
        static const int errors[] = { EINVAL, ENOSYS };
        struct stat st;

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                hooks.rename_error = errors[i];
                assert_int_equal(write_text("file", "first", false), 0);
                assert_content("file", "first");
                assert_int_equal(fstatat(to_fd, "file", &st, 0), 0);
                assert_int_equal(st.st_nlink, 1);
                assert_int_equal(write_text("file", "second", false), -EEXIST);
                assert_content("file", "first");
                assert_int_equal(write_text("file", "third", true), -errors[i]);
                assert_content("file", "first");
                assert_clean(1);
                assert_int_equal(unlinkat(to_fd, "file", 0), 0);
        }
}

static void test_write_without_directory(void **state) {
        int gone;

        (void) state;

        assert_int_equal(mkdirat(root_fd, "gone", 0755), 0);
        gone = openat(root_fd, "gone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(gone >= 0);
        assert_int_equal(unlinkat(root_fd, "gone", AT_REMOVEDIR), 0);

        for (unsigned replace = 0; replace < 2; replace++) {
                assert_int_equal(file_write_atomic_at(gone, to_fd, "file", "x", 1, replace, NULL), -ENOENT);
                assert_int_equal(file_write_atomic_at(temporary_fd, gone, "file", "x", 1, replace, NULL),
                                -ENOENT);
                assert_int_equal(file_write_atomic_at(-EBADF, to_fd, "file", "x", 1, replace, NULL), -EBADF);
        }
        (void) close(gone);
        assert_clean(0);
}

/* Of several processes that write one name at a time and do not replace, one gets through. */
static void test_write_race(void **state) {
        unsigned n_won = 0, n_lost = 0;
        pid_t pids[8];
        int gate[2];

        (void) state;

        assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
        for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
                pids[i] = fork();
                assert_true(pids[i] >= 0);
                if (pids[i] == 0) {
                        char text[] = { (char) ('a' + i), '\0' }, c;
                        int r;

                        (void) close(gate[1]);
                        (void) !read(gate[0], &c, 1); /* end of file, for all at once */
                        r = write_text("file", text, false);
                        _exit(r == 0 ? 0 : r == -EEXIST ? 1 : 2);
                }
        }
        (void) close(gate[0]);
        (void) close(gate[1]);

        for (size_t i = 0; i < ELEMENTSOF(pids); i++) {
                int status;

                assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
                assert_true(WIFEXITED(status));
                n_won += WEXITSTATUS(status) == 0;
                n_lost += WEXITSTATUS(status) == 1;
                if (WEXITSTATUS(status) == 0) {
                        char text[] = { (char) ('a' + i), '\0' };

                        assert_content("file", text);
                }
        }
        assert_int_equal(n_won, 1);
        assert_int_equal(n_lost, ELEMENTSOF(pids) - 1);
        assert_clean(1);
}

/* Whoever reads while another replaces gets the one or the other, never a part or nothing. */
static void test_write_is_atomic(void **state) {
        static char a[10000], b[20000];
        unsigned n = 0;
        pid_t pid;

        (void) state;

        memset(a, 'a', sizeof a);
        memset(b, 'b', sizeof b);
        assert_int_equal(file_write_atomic_at(temporary_fd, to_fd, "file", a, sizeof a, false, NULL), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                for (unsigned i = 0; i < 40; i++)
                        if (file_write_atomic_at(temporary_fd, to_fd, "file", i % 2 ? a : b,
                                            i % 2 ? sizeof a : sizeof b, true, NULL) < 0)
                                _exit(1);
                _exit(0);
        }

        for (int status, done = 0; !done; n++) {
                _cleanup_(freep) char *text = NULL;
                size_t size = 0;

                done = waitpid(pid, &status, WNOHANG) == pid;
                if (done)
                        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
                assert_int_equal(file_read_at(to_fd, "file", 30000, &text, &size), 0);
                if (size == sizeof a)
                        assert_memory_equal(text, a, sizeof a);
                else {
                        assert_int_equal(size, sizeof b);
                        assert_memory_equal(text, b, sizeof b);
                }
        }
        assert_true(n > 0);
        assert_clean(1);
}

/* Descriptors */

static void test_fd_write_all(void **state) {
        char text[64] = "";
        int p[2], full;

        (void) state;

        assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
        hooks.write_max = 3;
        hooks.write_interrupts = true;
        assert_int_equal(fd_write_all(p[1], "0123456789", 10), 0);
        assert_int_equal(hooks.n_writes, 8);
        assert_int_equal(read(p[0], text, sizeof text), 10);
        assert_string_equal(text, "0123456789");

        memset(&hooks, 0, sizeof hooks);
        assert_int_equal(fd_write_all(p[1], "", 0), 0);
        assert_int_equal(hooks.n_writes, 0);

        hooks.write_nothing = true;
        assert_int_equal(fd_write_all(p[1], "x", 1), -EIO);
        hooks.write_nothing = false;

        (void) close(p[0]);
        (void) close(p[1]);
        assert_int_equal(fd_write_all(-EBADF, "x", 1), -EBADF);
        full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        if (full < 0)
                skip();
        assert_int_equal(fd_write_all(full, "x", 1), -ENOSPC);
        (void) close(full);
}

/* Strays */

static void test_stray_removed(void **state) {
        (void) state;

        put(".mdevd-0123456789abcdef", "half a fi");
        file_remove_stray_at(to_fd, ".mdevd-0123456789abcdef");
        assert_clean(0);
        file_remove_stray_at(to_fd, ".mdevd-0123456789abcdef");
        assert_clean(0);
}

static void test_stray_in_use(void **state) {
        static const char name[] = ".mdevd-0123456789abcdef";
        int fd, gate[2], status;
        pid_t pid;
        char c;

        (void) state;

        put(name, "half a fi");
        fd = openat(to_fd, name, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
        file_remove_stray_at(to_fd, name);
        assert_true(exists(to_fd, name));
        (void) close(fd);

        /* The lock of another process counts, and goes with it. */
        assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                fd = openat(to_fd, name, O_WRONLY | O_CLOEXEC);
                if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || __real_write(gate[1], "x", 1) != 1)
                        _exit(1);
                for (;;)
                        (void) pause();
        }
        assert_int_equal(read(gate[0], &c, 1), 1);
        file_remove_stray_at(to_fd, name);
        assert_true(exists(to_fd, name));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        file_remove_stray_at(to_fd, name);
        assert_clean(0);
        (void) close(gate[0]);
        (void) close(gate[1]);
}

static void test_stray_is_no_stray(void **state) {
        static const char *const names[] = { "mdevd-0123456789abcdef", ".mdev-0123456789abcdef", ".mdevd",
                "00112233-4455-6677-8899-aabbccddeeff", ".hidden", "x.mdevd-0123456789abcdef" };

        (void) state;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                put(names[i], "text");
                file_remove_stray_at(to_fd, names[i]);
                assert_content(names[i], "text");
        }

        /* Of the right name, but no file: neither removed nor followed nor waited for. */
        assert_int_equal(symlinkat(names[0], to_fd, ".mdevd-0000000000000001"), 0);
        assert_int_equal(mkdirat(to_fd, ".mdevd-0000000000000002", 0755), 0);
        assert_int_equal(mkfifoat(to_fd, ".mdevd-0000000000000003", 0644), 0);
        file_remove_stray_at(to_fd, ".mdevd-0000000000000001");
        file_remove_stray_at(to_fd, ".mdevd-0000000000000002");
        file_remove_stray_at(to_fd, ".mdevd-0000000000000003");
        assert_clean(ELEMENTSOF(names) + 3);
        assert_content(names[0], "text");
}

static void test_sweep(void **state) {
        (void) state;

        put(".mdevd-0123456789abcdef", "stray");
        put("file", "text");
        look_fails(0);
        file_sweep_strays(to_fd);
        assert_true(look_failed());
        assert_clean(2);

        file_sweep_strays(to_fd);
        assert_clean(1);
        assert_content("file", "text");
}

/* A file that has just been made and not yet been locked looks like a stray one. */
static void test_stray_race(void **state) {
        pid_t remover = fork();
        int r = 0;

        (void) state;

        assert_true(remover >= 0);
        if (remover == 0)
                for (;;) {
                        DIR *directory = fdopendir(openat(to_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

                        for (struct dirent *e; (e = readdir(directory));)
                                file_remove_stray_at(to_fd, e->d_name);
                        (void) closedir(directory);
                }

        for (unsigned i = 0; r >= 0 && i < 5000; i++)
                r = file_write_atomic_at(to_fd, to_fd, "file", "text", 4, i > 0, NULL);
        assert_int_equal(kill(remover, SIGKILL), 0);
        assert_int_equal(waitpid(remover, NULL, 0), remover);
        assert_int_equal(r, 0);
        assert_clean(1);
        assert_content("file", "text");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_read),
                TEST(test_read_bound),
                TEST(test_read_binary),
                TEST(test_read_huge),
                TEST(test_read_without_size),
                TEST(test_read_refuses),
                TEST(test_read_opens_files_only),
                TEST(test_read_error),
                TEST(test_read_fails_to_look),
                TEST(test_read_through_link),
                TEST(test_write_new),
                TEST(test_write_sizes),
                TEST(test_write_exists),
                TEST(test_write_replaces),
                TEST(test_write_keeps_mode),
                TEST(test_write_keeps_owner),
                TEST(test_write_refuses_what_is_no_file),
                TEST(test_write_order),
                TEST(test_write_meanwhile),
                TEST(test_write_name_taken),
                TEST(test_write_killed),
                TEST(test_write_fails),
                TEST(test_write_fails_last),
                TEST(test_write_fails_to_look),
                TEST(test_write_without_noreplace),
                TEST(test_write_without_directory),
                TEST(test_write_race),
                TEST(test_write_is_atomic),
                TEST(test_fd_write_all),
                TEST(test_stray_removed),
                TEST(test_stray_in_use),
                TEST(test_stray_is_no_stray),
                TEST(test_sweep),
                TEST(test_stray_race),
        };

        return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}

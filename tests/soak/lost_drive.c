/* Loaded ahead of libc (LD_PRELOAD): makes calls for what lies under a folder fail, as on a drive that was lost.
 *
 * drive_watch(folder, after, error) begins to count calls; after so many (never, where negative) each gives `error`.
 * drive_asked() tells how many there were. Only calls through libc's symbols are seen: not mapped memory, not stdio's own.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_FILES = 65536 };

static char watched[4096];
static size_t length;
static long last = -1;
static int failure;
static atomic_long asked;
static _Atomic char ours[MOST_FILES];

void drive_watch(const char *folder, long after, int error) {
  length = 0;
  last = after;
  failure = error;
  atomic_store(&asked, 0);
  strncpy(watched, folder, sizeof watched - 1);
  length = strlen(watched);
}

long drive_asked(void) { return atomic_load(&asked); }

static int is_lost(int concerns) {
  if (!concerns) return 0;
  long number = atomic_fetch_add(&asked, 1);
  if (last < 0 || number < last) return 0;
  errno = failure;
  return 1;
}

static int path_is_lost(const char *path) {
  return is_lost(path && length && !strncmp(path, watched, length) && (path[length] == '/' || !path[length]));
}

static int file_is_lost(int file) { return is_lost(file >= 0 && file < MOST_FILES && ours[file]); }

static int opened(const char *path, int file) {
  if (file >= 0 && file < MOST_FILES)
    ours[file] = length && !strncmp(path, watched, length);
  return file;
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = va_arg(rest, mode_t); \
    va_end(rest); \
    return path_is_lost(path) ? -1 : opened(path, real(path, flags, mode)); \
  }
#define OPEN_AT(name) \
  int name(int folder, const char *path, int flags, ...) { \
    REAL(name); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = va_arg(rest, mode_t); \
    va_end(rest); \
    return path_is_lost(path) ? -1 : opened(path, real(folder, path, flags, mode)); \
  }
#define BY_FILE(type, name, parameters, arguments) \
  type name parameters { \
    REAL(name); \
    return file_is_lost(file) ? -1 : real arguments; \
  }
#define BY_PATH(name, parameters, arguments) \
  int name parameters { \
    REAL(name); \
    return path_is_lost(path) ? -1 : real arguments; \
  }

OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)
BY_FILE(ssize_t, read, (int file, void *into, size_t size), (file, into, size))
BY_FILE(ssize_t, write, (int file, const void *from, size_t size), (file, from, size))
BY_FILE(ssize_t, pread64, (int file, void *into, size_t size, off64_t at), (file, into, size, at))
BY_FILE(ssize_t, pwrite64, (int file, const void *from, size_t size, off64_t at), (file, from, size, at))
BY_FILE(ssize_t, writev, (int file, const struct iovec *parts, int n), (file, parts, n))
BY_FILE(int, fsync, (int file), (file))
BY_FILE(int, fdatasync, (int file), (file))
BY_FILE(int, ftruncate64, (int file, off64_t size), (file, size))
BY_FILE(int, fstat64, (int file, struct stat64 *told), (file, told))
BY_PATH(stat64, (const char *path, struct stat64 *told), (path, told))
BY_PATH(lstat64, (const char *path, struct stat64 *told), (path, told))
BY_PATH(statx, (int folder, const char *path, int flags, unsigned mask, struct statx *told),
        (folder, path, flags, mask, told))
BY_PATH(access, (const char *path, int mode), (path, mode))
BY_PATH(mkdir, (const char *path, mode_t mode), (path, mode))
BY_PATH(rmdir, (const char *path), (path))
BY_PATH(unlink, (const char *path), (path))
BY_PATH(rename, (const char *path, const char *to), (path, to))
BY_PATH(link, (const char *path, const char *to), (path, to))
BY_PATH(linkat, (int from, const char *path, int folder, const char *to, int flags), (from, path, folder, to, flags))

int posix_fallocate64(int file, off64_t at, off64_t size) {
  REAL(posix_fallocate64);
  return file_is_lost(file) ? failure : real(file, at, size);
}

DIR *opendir(const char *path) {
  REAL(opendir);
  return path_is_lost(path) ? NULL : real(path);
}

int close(int file) {
  REAL(close);
  int lost = file_is_lost(file);
  if (file >= 0 && file < MOST_FILES) ours[file] = 0;
  int closed = real(file);
  if (lost) errno = failure;
  return lost ? -1 : closed;
}

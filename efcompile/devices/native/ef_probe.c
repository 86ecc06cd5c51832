/* What this machine is: its kernel, cores, free space in the working directory, which of
   the features that code for the target uses it lacks, and the TVM that it runs, if any.

   Linux and Android, by system calls alone: so one source serves as a static program and as a
   library inside any server, whatever C library that has. */
#include "ef_probe.h"

#include <stddef.h>

#include "ef_cpu.h"
#include "ef_probe_features.h" /* ef_probe_rows: {name, ef_feature}, ended by a null name */

#define AT_FDCWD -100

#if defined(__x86_64__)
enum { READ = 0, CLOSE = 3, UNAME = 63, STATFS = 137, AFFINITY = 204, OPENAT = 257 };

static long call(long number, long a, long b, long c) {
  register long d __asm__("r10") = 0;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(d)
                   : "rcx", "r11", "memory");
  return result;
}
#else
enum { READ = 63, CLOSE = 57, UNAME = 160, STATFS = 43, AFFINITY = 123, OPENAT = 56 };

static long call(long number, long a, long b, long c) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = 0;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
}
#endif

/* TVM's runtime offers this to all libraries of its process. */
typedef struct {
  uint32_t major, minor, patch;
} ffi_version;
extern void TVMFFIGetVersion(ffi_version *version) __attribute__((weak));

typedef struct {
  char *text;
  int32_t used, capacity;
} page;

static void put(page *out, const char *text) {
  for (; *text; ++text, ++out->used)
    if (out->used < out->capacity) out->text[out->used] = *text;
}

static void put_number(page *out, uint64_t number) {
  char digits[21];
  int at = 20;
  digits[at] = 0;
  do digits[--at] = (char)('0' + number % 10);
  while (number /= 10);
  put(out, digits + at);
}

static void put_line(page *out, const char *name, uint64_t number) {
  put(out, name);
  put(out, " ");
  put_number(out, number);
  put(out, "\n");
}

static void kernel(page *out) {
  char names[6][65]; /* struct utsname: system, node, release, version, machine, domain */
  if (call(UNAME, (long)names, 0, 0) < 0) return;
  put(out, "machine ");
  put(out, names[4]);
  put(out, "\nsystem ");
  put(out, names[0]);
  put(out, " ");
  put(out, names[2]);
  put(out, "\n");
}

static void cores(page *out) {
  uint64_t mask[128], count = 0;
  long bytes = call(AFFINITY, 0, sizeof mask, (long)mask);
  for (long i = 0; i < bytes / 8; ++i)
    for (uint64_t word = mask[i]; word; word &= word - 1) ++count;
  put_line(out, "cores", count);
}

static void space(page *out) {
  /* struct statfs: type, block size, blocks, free ones, those for us, and more. */
  uint64_t fields[64];
  if (call(STATFS, (long)".", (long)fields, 0) < 0) return;
  put_line(out, "free", fields[1] * fields[4]);
}

static void features(page *out) {
  for (const ef_probe_row *row = ef_probe_rows; row->name; ++row) {
    if (ef_cpu_has(&row->feature)) continue;
    put(out, "lacks ");
    put(out, row->name);
    put(out, "\n");
  }
}

static int is_tvm(const char *path) {
  const char *name = path, *want = "libtvm";
  for (; *path; ++path)
    if (*path == '/') name = path + 1;
  while (*want && *name == *want) ++name, ++want;
  return *want == 0;
}

/* The paths of TVM's libraries in this process; one may come several times. */
static void libraries(page *out) {
  long file = call(OPENAT, AT_FDCWD, (long)"/proc/self/maps", 0);
  if (file < 0) return;
  char line[1024], chunk[1024];
  int used = 0;
  for (long got; (got = call(READ, file, (long)chunk, sizeof chunk)) > 0;) {
    for (long i = 0; i < got; ++i) {
      if (chunk[i] != '\n') {
        if (used < (int)sizeof line - 1) line[used++] = chunk[i];
        continue;
      }
      line[used] = 0;
      used = 0;
      char *path = line;
      while (*path && *path != '/') ++path;
      if (!is_tvm(path)) continue;
      put(out, "library ");
      put(out, path);
      put(out, "\n");
    }
  }
  call(CLOSE, file, 0, 0);
}

int32_t ef_probe(char *text, int32_t capacity) {
  page out = {text, 0, capacity};
  kernel(&out);
  cores(&out);
  space(&out);
  features(&out);
  libraries(&out);
  if (TVMFFIGetVersion) {
    ffi_version version = {0, 0, 0};
    TVMFFIGetVersion(&version);
    put(&out, "ffi ");
    put_number(&out, version.major);
    put(&out, ".");
    put_number(&out, version.minor);
    put(&out, ".");
    put_number(&out, version.patch);
    put(&out, "\n");
  }
  return out.used <= capacity ? out.used : -1;
}

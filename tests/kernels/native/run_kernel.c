/* Runs the kernel it is linked with: run_kernel TASKS PIECES SCRATCH_BYTES FILE...

   A file holds what one pointer argument points at; the last one's is the result, which is
   written back.  The tasks are cut into PIECES ranges, run in reverse order. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, GUARD = 64, MOST_POINTERS = 12, PATTERN = 0xA5 };

typedef struct {
  unsigned char *bytes;
  size_t size, whole;
} memory;

void kernel_under_test(void);

static _Noreturn void fail(const char *what, const char *name) {
  fprintf(stderr, "run_kernel: %s %s\n", what, name);
  exit(2);
}

/* `size` bytes and a guard behind them. */
static memory allocate(size_t size) {
  size_t whole = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + GUARD;
  memory m = {aligned_alloc(ALIGNMENT, whole), size, whole};
  if (m.bytes == NULL) fail("no memory for", "an argument");
  memset(m.bytes, PATTERN, whole);
  return m;
}

static void check_guard(memory m, const char *name) {
  for (size_t i = m.size; i < m.whole; ++i)
    if (m.bytes[i] != PATTERN) fail("the kernel wrote past", name);
}

static memory load(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail("cannot read", path);
  memory m = allocate((size_t)ftell(file));
  rewind(file);
  if (fread(m.bytes, 1, m.size, file) != m.size) fail("cannot read", path);
  fclose(file);
  return m;
}

static void store(memory m, const char *path) {
  FILE *file = fopen(path, "wb");
  if (file == NULL || fwrite(m.bytes, 1, m.size, file) != m.size || fclose(file) != 0)
    fail("cannot write", path);
}

#define T2 void *, void *
#define T4 T2, T2
#define T8 T4, T4
#define P2(i) p[i], p[i + 1]
#define P4(i) P2(i), P2(i + 2)
#define P8(i) P4(i), P4(i + 4)
#define CASE(n, types, values)                                                       \
  case n:                                                                            \
    ((void (*)(types, int32_t, int32_t))kernel_under_test)(values, begin, end);      \
    break
#define ALL(...) __VA_ARGS__

static void call(int count, void **p, int32_t begin, int32_t end) {
  switch (count) {
    CASE(2, T2, P2(0));
    CASE(3, ALL(T2, void *), ALL(P2(0), p[2]));
    CASE(4, T4, P4(0));
    CASE(5, ALL(T4, void *), ALL(P4(0), p[4]));
    CASE(6, ALL(T4, T2), ALL(P4(0), P2(4)));
    CASE(7, ALL(T4, T2, void *), ALL(P4(0), P2(4), p[6]));
    CASE(8, T8, P8(0));
    CASE(9, ALL(T8, void *), ALL(P8(0), p[8]));
    CASE(10, ALL(T8, T2), ALL(P8(0), P2(8)));
    CASE(11, ALL(T8, T2, void *), ALL(P8(0), P2(8), p[10]));
    CASE(12, ALL(T8, T4), ALL(P8(0), P4(8)));
    default: fail("a kernel has 2 to 12 pointers, not", "so many");
  }
}

int main(int argc, char **argv) {
  int files = argc - 4;
  if (files < 1 || files >= MOST_POINTERS) fail("wrong arguments:", "see the source");
  int64_t tasks = atoll(argv[1]), pieces = atoll(argv[2]);
  memory memories[MOST_POINTERS];
  void *pointers[MOST_POINTERS];
  for (int i = 0; i < files; ++i) memories[i] = load(argv[4 + i]);
  memories[files] = allocate((size_t)atoll(argv[3]));
  for (int i = 0; i <= files; ++i) pointers[i] = memories[i].bytes;
  for (int64_t i = pieces; i-- > 0;)
    call(files + 1, pointers, (int32_t)(tasks * i / pieces), (int32_t)(tasks * (i + 1) / pieces));
  for (int i = 0; i < files; ++i) check_guard(memories[i], argv[4 + i]);
  check_guard(memories[files], "its scratch");
  store(memories[files - 1], argv[argc - 1]);
  return 0;
}

/* Two models in one program, side by side on two threads, each with an arena and a pool of
   its own: `two_models ALPHA.bin BETA.bin INPUT ALPHA.out BETA.out`. */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alpha.h"
#include "beta.h"

#define RUNS 100

typedef struct {
  const char *weights, *input, *output;
  const ef_info *(*info)(void);
  size_t (*arena_bytes)(int);
  ef_status (*check)(const void *, size_t);
  ef_status (*run)(const void *, size_t, void *, size_t, const void *const *, void *const *,
                   ef_pool *);
} model;

static _Noreturn void fail(const char *what, int code) {
  fprintf(stderr, "%s: %d\n", what, code);
  exit(1);
}

static void expect(const char *what, ef_status found, ef_status wanted) {
  if (found == wanted) return;
  fprintf(stderr, "%s: %s\n", what, ef_status_string(found));
  exit(1);
}

static const void *map(const char *path, size_t *bytes) {
  int file = open(path, O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) fail(path, file);
  *bytes = (size_t)status.st_size;
  void *data = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (data == MAP_FAILED) fail(path, 1);
  return data;
}

/* Exactly as large as declared, so that a sanitizer sees one byte too many. */
static void *take(size_t bytes, size_t alignment) {
  void *data = NULL;
  if (posix_memalign(&data, alignment < sizeof(void *) ? sizeof(void *) : alignment, bytes) != 0)
    fail("memory", 0);
  return data;
}

static void *use(void *argument) {
  const model *m = argument;
  const ef_info *info = m->info();
  size_t weight_bytes, input_bytes;
  const void *weights = map(m->weights, &weight_bytes);
  const void *input = map(m->input, &input_bytes);
  if (input_bytes != info->inputs[0].bytes) fail("input size", (int)input_bytes);
  expect("check", m->check(weights, weight_bytes), EF_OK);
  void *exact_input = take(input_bytes, 4);
  memcpy(exact_input, input, input_bytes);
  void *out[2], *first[2];
  for (int i = 0; i < 2; ++i) {
    out[i] = take(info->outputs[i].bytes, 4);
    first[i] = take(info->outputs[i].bytes, 4);
  }
  for (int threads = 1; threads <= 3; ++threads) {
    size_t arena_bytes = m->arena_bytes(threads);
    void *arena = take(arena_bytes, info->arena_alignment);
    ef_pool *pool = threads == 1 ? NULL : ef_pool_create(threads);
    for (int run = 0; run < RUNS; ++run) {
      bool very_first = threads == 1 && run == 0;
      const void *in[] = {exact_input};
      expect("run",
             m->run(weights, weight_bytes, arena, arena_bytes, in, very_first ? first : out, pool),
             EF_OK);
      for (int i = 0; i < 2 && !very_first; ++i)
        if (memcmp(out[i], first[i], info->outputs[i].bytes) != 0) fail("other result", threads);
    }
    ef_pool_destroy(pool);
    free(arena);
  }
  FILE *file = fopen(m->output, "wb");
  for (int i = 0; i < 2; ++i) fwrite(first[i], 1, info->outputs[i].bytes, file);
  fclose(file);
  for (int i = 0; i < 2; ++i) {
    free(out[i]);
    free(first[i]);
  }
  free(exact_input);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  model alpha = {argv[1], argv[3], argv[4], alpha_info, alpha_arena_bytes, alpha_check, alpha_run};
  model beta = {argv[2], argv[3], argv[5], beta_info, beta_arena_bytes, beta_check, beta_run};
  size_t bytes;
  const void *weights = map(argv[1], &bytes);
  expect("weights of the other model", beta_check(weights, bytes), EF_BAD_WEIGHTS);
  pthread_t thread;
  if (pthread_create(&thread, NULL, use, &alpha) != 0) fail("thread", 0);
  use(&beta);
  pthread_join(thread, NULL);
  puts("ok");
  return 0;
}

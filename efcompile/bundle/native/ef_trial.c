/* Memory, calls, clock and comparison of a trial. Uses little of libc, for it is part of libraries
   too.

   The arena is laid out like a model's, but with a guard behind every array, to notice kernels
   that write where they should not. */
#define _GNU_SOURCE /* madvise */
#include "ef_trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE ((size_t)4096)
#define HUGE_PAGE ((size_t)2 << 20)
/* Whole pages, so that arrays lie as they would side by side: when the low bits of two addresses
   differ by little, loads of one wait for stores to the other. */
#define GUARD_BYTES PAGE
#define GUARD 0xa5
#define NOT_A_NUMBER 0xff /* in every byte: a NaN of any float type */
#define MOST_CALLS ((int64_t)1 << 24)

struct ef_trial {
  const ef_blob *blob;
  const ef_blob_trial *record;
  const ef_blob_part *parts;
  const ef_blob_step *steps;
  ef_pool *pool;
  ef_trial_arena *arena;
  size_t scratch_bytes; /* of each thread; behind all arrays of the arena */
  size_t scratch, arena_bytes;
  void *taken; /* what holds the copies of the constants */
  char *copies;
  size_t copy_bytes, copy_count, next_copy;
  int64_t sample_calls;
  size_t places[]; /* of the parts: offsets in the arena, or in a copy */
};

static size_t up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

/* What an array and its guard take. */
static size_t guarded(size_t bytes) { return up(bytes, EF_ALIGNMENT) + GUARD_BYTES; }

static void set_guard(char *array, size_t bytes) {
  memset(array + bytes, GUARD, guarded(bytes) - bytes);
}

static bool guard_is_whole(const char *array, size_t bytes) {
  for (size_t i = bytes; i < guarded(bytes); ++i)
    if ((unsigned char)array[i] != GUARD) return false;
  return true;
}

static bool constant(const ef_blob_part *part) { return part->kind == EF_PART_CONSTANT; }

static char *scratch_of(const ef_trial *trial, int thread) {
  size_t stride = guarded(trial->scratch_bytes);
  return trial->arena->data + trial->scratch + (size_t)thread * stride;
}

/* Trial `index` with a place for everything, but without constants. */
static ef_trial_status lay_out(const ef_blob *blob, uint32_t index, ef_pool *pool,
                               ef_trial_arena *arena, ef_trial **made) {
  if (index >= blob->trial_count) return EF_TRIAL_BAD_INDEX;
  const ef_blob_trial *record = ef_blob_trial_of(blob, index);
  ef_trial *trial = calloc(1, sizeof *trial + record->part_count * sizeof(size_t));
  if (trial == NULL) return EF_TRIAL_NO_MEMORY;
  trial->blob = blob;
  trial->record = record;
  trial->parts = ef_blob_at(blob, record->parts);
  trial->steps = ef_blob_at(blob, record->steps);
  trial->pool = pool;
  trial->arena = arena;
  trial->sample_calls = 1;
  trial->scratch = GUARD_BYTES;
  for (uint32_t i = 0; i < record->part_count; ++i) {
    size_t bytes = trial->parts[i].bytes;
    size_t *end = constant(&trial->parts[i]) ? &trial->copy_bytes : &trial->scratch;
    trial->places[i] = *end;
    *end += constant(&trial->parts[i]) ? up(bytes, EF_ALIGNMENT) : guarded(bytes);
  }
  for (uint32_t i = 0; i < record->step_count; ++i)
    if (trial->steps[i].scratch_bytes > trial->scratch_bytes)
      trial->scratch_bytes = up(trial->steps[i].scratch_bytes, EF_ALIGNMENT);
  size_t threads = (size_t)ef_pool_threads(pool);
  trial->arena_bytes = trial->scratch + threads * guarded(trial->scratch_bytes);
  *made = trial;
  return EF_TRIAL_OK;
}

ef_trial_status ef_trial_reserve(const ef_blob *blob, uint32_t index, ef_pool *pool,
                                 ef_trial_arena *arena) {
  ef_trial *trial = NULL;
  ef_trial_status status = lay_out(blob, index, pool, arena, &trial);
  if (status != EF_TRIAL_OK) return status;
  size_t wanted = trial->arena_bytes;
  ef_trial_close(trial);
  if (wanted <= arena->bytes) return EF_TRIAL_OK;
  ef_trial_release(arena);
  arena->taken = calloc(1, wanted + PAGE);
  if (arena->taken == NULL) return EF_TRIAL_NO_MEMORY;
  arena->data = (char *)up((uintptr_t)arena->taken, PAGE);
  arena->bytes = wanted;
  return EF_TRIAL_OK;
}

void ef_trial_release(ef_trial_arena *arena) {
  free(arena->taken);
  *arena = (ef_trial_arena){0};
}

/* A model's weights are a mapped file, which lies in larger pieces than fresh memory does: so
   here, or looking up addresses would take longer than there. */
static ef_trial_status copy_constants(ef_trial *trial, int64_t rotate_bytes) {
  size_t unit = trial->copy_bytes > 0 ? trial->copy_bytes : 1;
  trial->copy_count = unit < (size_t)rotate_bytes && trial->copy_bytes > 0
                          ? up((size_t)rotate_bytes, unit) / unit
                          : 1;
  size_t bytes = up(trial->copy_count * trial->copy_bytes, PAGE);
  trial->taken = calloc(1, bytes + HUGE_PAGE);
  if (trial->taken == NULL) return EF_TRIAL_NO_MEMORY;
  trial->copies = (char *)up((uintptr_t)trial->taken, HUGE_PAGE);
  /* Only a wish: where the system does not know it, pages are as small as they are. */
  if (bytes >= HUGE_PAGE) (void)madvise(trial->copies, bytes, MADV_HUGEPAGE);
  for (size_t c = 0; c < trial->copy_count; ++c)
    for (uint32_t i = 0; i < trial->record->part_count; ++i)
      if (constant(&trial->parts[i]))
        memcpy(trial->copies + c * trial->copy_bytes + trial->places[i],
               ef_blob_at(trial->blob, trial->parts[i].data), trial->parts[i].bytes);
  return EF_TRIAL_OK;
}

ef_trial_status ef_trial_open(const ef_blob *blob, uint32_t index, int64_t rotate_bytes,
                              ef_pool *pool, ef_trial_arena *arena, ef_trial **made) {
  ef_trial_status status = ef_trial_reserve(blob, index, pool, arena);
  if (status == EF_TRIAL_OK) status = lay_out(blob, index, pool, arena, made);
  if (status != EF_TRIAL_OK) return status;
  status = copy_constants(*made, rotate_bytes);
  if (status != EF_TRIAL_OK) ef_trial_close(*made);
  return status;
}

void ef_trial_close(ef_trial *trial) {
  free(trial->taken);
  free(trial);
}

void ef_trial_enter(ef_trial *trial) {
  memset(trial->arena->data, GUARD, GUARD_BYTES);
  for (uint32_t i = 0; i < trial->record->part_count; ++i) {
    const ef_blob_part *part = &trial->parts[i];
    if (constant(part)) continue;
    char *array = trial->arena->data + trial->places[i];
    if (part->kind == EF_PART_INPUT)
      memcpy(array, ef_blob_at(trial->blob, part->data), part->bytes);
    else
      memset(array, NOT_A_NUMBER, part->bytes);
    set_guard(array, part->bytes);
  }
  for (int t = 0; t < ef_pool_threads(trial->pool); ++t) {
    memset(scratch_of(trial, t), NOT_A_NUMBER, trial->scratch_bytes);
    set_guard(scratch_of(trial, t), trial->scratch_bytes);
  }
}

typedef struct {
  ef_kernel kernel;
  void *args[EF_TRIAL_MAX_ARGS];
  char *scratch; /* of thread 0; the others' follow */
  size_t scratch_stride;
} frame;

static void run_tasks(void *context, int thread, int32_t begin, int32_t end) {
  const frame *f = context;
  f->kernel(f->args, f->scratch + (size_t)thread * f->scratch_stride, begin, end);
}

void ef_trial_call(ef_trial *trial) {
  frame f = {.scratch = scratch_of(trial, 0), .scratch_stride = guarded(trial->scratch_bytes)};
  char *constants = trial->copies + trial->next_copy * trial->copy_bytes;
  if (++trial->next_copy == trial->copy_count) trial->next_copy = 0;
  for (uint32_t i = 0; i < trial->record->step_count; ++i) {
    const ef_blob_step *step = &trial->steps[i];
    const uint32_t *args = ef_blob_at(trial->blob, step->args);
    f.kernel = ef_trial_kernels[step->kernel].call;
    for (uint32_t a = 0; a < step->arg_count; ++a)
      f.args[a] = (constant(&trial->parts[args[a]]) ? constants : trial->arena->data) +
                  trial->places[args[a]];
    ef_pool_run(trial->pool, run_tasks, &f, step->tasks, step->chained != 0);
  }
}

int64_t ef_trial_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t time_calls(ef_trial *trial, int64_t calls) {
  int64_t start = ef_trial_now();
  for (int64_t i = 0; i < calls; ++i) ef_trial_call(trial);
  return ef_trial_now() - start;
}

double ef_trial_sample(ef_trial *trial) {
  return (double)time_calls(trial, trial->sample_calls) / (double)trial->sample_calls;
}

void ef_trial_prepare(ef_trial *trial, int64_t warmup, int64_t sample_ns) {
  for (int64_t i = 0; i < warmup; ++i) ef_trial_call(trial);
  int64_t calls = 1;
  for (;;) {
    int64_t ns = time_calls(trial, calls);
    if (ns < 8 * sample_ns) { /* one disturbance must not pass for a long call */
      int64_t again = time_calls(trial, calls);
      if (again < ns) ns = again;
    }
    if (ns >= sample_ns || calls >= MOST_CALLS) break;
    calls = ns < sample_ns / 16 ? calls * 8 : calls * sample_ns / ns + 1;
  }
  trial->sample_calls = calls;
}

int64_t ef_trial_measure(ef_trial *trial, const ef_trial_settings *settings, double *samples,
                         int64_t capacity) {
  ef_trial_enter(trial);
  ef_trial_prepare(trial, settings->warmup, ef_trial_sample_ns(settings->nanoseconds, capacity));
  int64_t count = 0, end = ef_trial_now() + settings->nanoseconds;
  while (count < capacity && (count < settings->least || ef_trial_now() < end))
    samples[count++] = ef_trial_sample(trial);
  return count;
}

static bool arena_is_whole(const ef_trial *trial) {
  if (!guard_is_whole(trial->arena->data, 0)) return false;
  for (uint32_t i = 0; i < trial->record->part_count; ++i)
    if (!constant(&trial->parts[i]) &&
        !guard_is_whole(trial->arena->data + trial->places[i], trial->parts[i].bytes))
      return false;
  for (int t = 0; t < ef_pool_threads(trial->pool); ++t)
    if (!guard_is_whole(scratch_of(trial, t), trial->scratch_bytes)) return false;
  return true;
}

ef_trial_status ef_trial_compare(const ef_trial *trial, double *error) {
  double most = 0, scale = 0;
  for (uint32_t i = 0; i < trial->record->part_count; ++i) {
    const ef_blob_part *part = &trial->parts[i];
    if (part->kind != EF_PART_OUTPUT) continue;
    const float *y = (const float *)(trial->arena->data + trial->places[i]);
    const float *e = ef_blob_at(trial->blob, part->data);
    for (size_t j = 0; j < part->bytes / sizeof(float); ++j) {
      if (isfinite(e[j]) && fabs(e[j]) > scale) scale = fabs(e[j]);
      if (y[j] == e[j] || (isnan(y[j]) && isnan(e[j]))) continue;
      double difference = fabs((double)y[j] - (double)e[j]);
      if (isnan(difference) || difference > most) most = difference;
      if (isnan(most)) break;
    }
    if (isnan(most)) break;
  }
  *error = most == 0 ? 0 : most / scale;
  return arena_is_whole(trial) ? EF_TRIAL_OK : EF_TRIAL_OVERRUN;
}

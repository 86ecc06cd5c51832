/* Memory, calls, clock and comparison of a trial. Uses libc's memory and clock only, for it is
   part of libraries too.

   A trial's arena is laid out like a model's, but with a guard behind every array, to notice
   kernels that write where they should not; everything that kernels must write begins as NaN. */
#include "ef_trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE 4096
#define GUARD_BYTES EF_ALIGNMENT
#define GUARD 0xa5
#define NOT_A_NUMBER 0xff /* in every byte: a NaN of any float type */
#define MOST_CALLS ((int64_t)1 << 24)

struct ef_trial {
  const ef_blob *blob;
  const ef_blob_trial *record;
  const ef_blob_part *parts;
  const ef_blob_step *steps;
  ef_pool *pool;
  void *memory;      /* what there is to free */
  size_t *places;    /* of the parts: offsets in the arena, or in a copy of the constants */
  char *arena;       /* inputs, results and what lies between them; then a scratch per thread */
  size_t scratch, scratch_stride;
  char *copies;      /* of the constants */
  size_t copy_bytes, copy_count, next_copy;
  int64_t sample_calls;
};

static size_t up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

/* What an array and its guard take. */
static size_t guarded(size_t bytes) { return up(bytes, EF_ALIGNMENT) + GUARD_BYTES; }

/* Room behind the array up to the next one. */
static void set_guard(char *array, size_t bytes) {
  memset(array + bytes, GUARD, guarded(bytes) - bytes);
}

static bool guard_is_whole(const char *array, size_t bytes) {
  for (size_t i = bytes; i < guarded(bytes); ++i)
    if ((unsigned char)array[i] != GUARD) return false;
  return true;
}

/* Finds a place for every part; returns the bytes of the arena without scratch. */
static size_t place(ef_trial *trial) {
  size_t arena_bytes = GUARD_BYTES;
  for (uint32_t i = 0; i < trial->record->part_count; ++i) {
    const ef_blob_part *part = &trial->parts[i];
    bool constant = part->kind == EF_PART_CONSTANT;
    trial->places[i] = constant ? trial->copy_bytes : arena_bytes;
    if (constant)
      trial->copy_bytes += up(part->bytes, EF_ALIGNMENT);
    else
      arena_bytes += guarded(part->bytes);
  }
  return arena_bytes;
}

static void fill(ef_trial *trial, size_t threads) {
  memset(trial->arena, GUARD, GUARD_BYTES);
  for (uint32_t i = 0; i < trial->record->part_count; ++i) {
    const ef_blob_part *part = &trial->parts[i];
    const void *values = ef_blob_at(trial->blob, part->data);
    if (part->kind == EF_PART_CONSTANT) {
      for (size_t c = 0; c < trial->copy_count; ++c)
        memcpy(trial->copies + c * trial->copy_bytes + trial->places[i], values, part->bytes);
      continue;
    }
    char *array = trial->arena + trial->places[i];
    if (part->kind == EF_PART_INPUT)
      memcpy(array, values, part->bytes);
    else
      memset(array, NOT_A_NUMBER, part->bytes);
    set_guard(array, part->bytes);
  }
  size_t scratch_bytes = trial->scratch_stride - GUARD_BYTES;
  for (size_t t = 0; t < threads; ++t) {
    char *scratch = trial->arena + trial->scratch + t * trial->scratch_stride;
    memset(scratch, NOT_A_NUMBER, scratch_bytes);
    set_guard(scratch, scratch_bytes);
  }
}

ef_trial_status ef_trial_open(const ef_blob *blob, uint32_t index, int64_t rotate_bytes,
                              ef_pool *pool, ef_trial **made) {
  if (index >= blob->trial_count) return EF_TRIAL_BAD_INDEX;
  const ef_blob_trial *record = ef_blob_trial_of(blob, index);
  ef_trial *trial = calloc(1, sizeof *trial + record->part_count * sizeof(size_t));
  if (trial == NULL) return EF_TRIAL_NO_MEMORY;
  trial->blob = blob;
  trial->record = record;
  trial->parts = ef_blob_at(blob, record->parts);
  trial->steps = ef_blob_at(blob, record->steps);
  trial->pool = pool;
  trial->places = (size_t *)(trial + 1);
  trial->sample_calls = 1;
  size_t threads = (size_t)ef_pool_threads(pool), scratch_bytes = 0;
  for (uint32_t i = 0; i < record->step_count; ++i)
    if (trial->steps[i].scratch_bytes > scratch_bytes) scratch_bytes = trial->steps[i].scratch_bytes;
  trial->scratch = place(trial);
  trial->scratch_stride = guarded(scratch_bytes);
  trial->copy_count = 1;
  if (trial->copy_bytes > 0 && rotate_bytes > 0)
    trial->copy_count = up((size_t)rotate_bytes, trial->copy_bytes) / trial->copy_bytes;
  size_t arena_bytes = up(trial->scratch + threads * trial->scratch_stride, PAGE);
  trial->memory = calloc(1, PAGE + arena_bytes + trial->copy_count * trial->copy_bytes);
  if (trial->memory == NULL) {
    ef_trial_close(trial);
    return EF_TRIAL_NO_MEMORY;
  }
  trial->arena = (char *)up((uintptr_t)trial->memory, PAGE);
  trial->copies = trial->arena + arena_bytes;
  fill(trial, threads);
  *made = trial;
  return EF_TRIAL_OK;
}

void ef_trial_close(ef_trial *trial) {
  free(trial->memory);
  free(trial);
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
  frame f = {.scratch = trial->arena + trial->scratch, .scratch_stride = trial->scratch_stride};
  char *constants = trial->copies + trial->next_copy * trial->copy_bytes;
  if (++trial->next_copy == trial->copy_count) trial->next_copy = 0;
  for (uint32_t i = 0; i < trial->record->step_count; ++i) {
    const ef_blob_step *step = &trial->steps[i];
    const uint32_t *args = ef_blob_at(trial->blob, step->args);
    f.kernel = ef_trial_kernels[step->kernel].call;
    for (uint32_t a = 0; a < step->arg_count; ++a) {
      bool constant = trial->parts[args[a]].kind == EF_PART_CONSTANT;
      f.args[a] = (constant ? constants : trial->arena) + trial->places[args[a]];
    }
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
  ef_trial_prepare(trial, settings->warmup, ef_trial_sample_ns(settings->nanoseconds, capacity));
  int64_t count = 0, end = ef_trial_now() + settings->nanoseconds;
  while (count < capacity && (count < settings->least || ef_trial_now() < end))
    samples[count++] = ef_trial_sample(trial);
  return count;
}

static bool arena_is_whole(const ef_trial *trial) {
  for (size_t i = 0; i < GUARD_BYTES; ++i)
    if ((unsigned char)trial->arena[i] != GUARD) return false;
  for (uint32_t i = 0; i < trial->record->part_count; ++i)
    if (trial->parts[i].kind != EF_PART_CONSTANT &&
        !guard_is_whole(trial->arena + trial->places[i], trial->parts[i].bytes))
      return false;
  size_t threads = (size_t)ef_pool_threads(trial->pool);
  size_t scratch_bytes = trial->scratch_stride - GUARD_BYTES;
  for (size_t t = 0; t < threads; ++t)
    if (!guard_is_whole(trial->arena + trial->scratch + t * trial->scratch_stride, scratch_bytes))
      return false;
  return true;
}

ef_trial_status ef_trial_compare(const ef_trial *trial, double *error) {
  double most = 0, scale = 0;
  for (uint32_t i = 0; i < trial->record->part_count; ++i) {
    const ef_blob_part *part = &trial->parts[i];
    if (part->kind != EF_PART_OUTPUT) continue;
    const float *y = (const float *)(trial->arena + trial->places[i]);
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

/* Running and timing trials: kernels by themselves, as they would run in a model. */
#ifndef EF_TRIAL_H
#define EF_TRIAL_H

#include "ef_trial_blob.h"

/* Samples come from at least this much work each, so that reading the clock (some 50 ns) is
   no part of them. */
#define EF_TRIAL_SAMPLE_NS 20000

typedef enum {
  EF_TRIAL_OK = 0,
  EF_TRIAL_BAD_ARG = -1,   /* other arguments than the entry takes, or settings out of range */
  EF_TRIAL_BAD_BLOB = -2,  /* cut off, damaged, or of another program */
  EF_TRIAL_BAD_INDEX = -3, /* the blob has no such trial */
  EF_TRIAL_NO_MEMORY = -4,
  EF_TRIAL_NO_THREADS = -5,
  EF_TRIAL_OVERRUN = -6 /* a kernel wrote outside of its arrays */
} ef_trial_status;

typedef struct {
  int64_t warmup;       /* calls before the first sample */
  int64_t nanoseconds;  /* of timed calls, */
  int64_t least;        /* or this many samples if they take longer */
  int64_t rotate_bytes; /* of copies of the constants; each call uses the next copy */
  int64_t threads;
} ef_trial_settings;

/* Memory for inputs, results, what lies between them, and scratch, which trials use one at a
   time: pages differ in how they meet in the caches, by some per cent of a kernel's time, so
   candidates are compared on the same ones. All zeros at first. */
typedef struct {
  char *data;
  size_t bytes;
  void *taken;
} ef_trial_arena;

/* Makes it large enough for trial `index` of a checked blob on the threads of `pool`. */
EF_INTERNAL ef_trial_status ef_trial_reserve(const ef_blob *blob, uint32_t index, ef_pool *pool,
                                             ef_trial_arena *arena);
EF_INTERNAL void ef_trial_release(ef_trial_arena *arena);

/* A trial with its constants, and an arena for the rest. */
typedef struct ef_trial ef_trial;

/* Trial `index` of a checked blob, for the threads of `pool` (null: the calling one). */
EF_INTERNAL ef_trial_status ef_trial_open(const ef_blob *blob, uint32_t index, int64_t rotate_bytes,
                                          ef_pool *pool, ef_trial_arena *arena, ef_trial **made);
EF_INTERNAL void ef_trial_close(ef_trial *trial);

/* Puts the inputs into the arena, and NaN where kernels write. Before calls of a trial that
   another one's came before. */
EF_INTERNAL void ef_trial_enter(ef_trial *trial);

/* All steps of it, once. */
EF_INTERNAL void ef_trial_call(ef_trial *trial);

/* Warms it and finds out how many calls make one sample, of at least `sample_ns`. */
EF_INTERNAL void ef_trial_prepare(ef_trial *trial, int64_t warmup, int64_t sample_ns);
/* Nanoseconds of one call: the mean over the calls of a sample. */
EF_INTERNAL double ef_trial_sample(ef_trial *trial);

/* Enters and prepares it and takes samples as the settings say, `capacity` at most; returns their
   number. */
EF_INTERNAL int64_t ef_trial_measure(ef_trial *trial, const ef_trial_settings *settings,
                                     double *samples, int64_t capacity);

/* Compares the results of the last call with those expected: max |y - e| / max |e|, nan where one
   is nan and the other is not, infinite where they differ by an infinity. EF_TRIAL_OVERRUN when
   something wrote between the arrays. */
EF_INTERNAL ef_trial_status ef_trial_compare(const ef_trial *trial, double *error);

/* How long a sample must be for `capacity` of them to last for `nanoseconds`. */
static inline int64_t ef_trial_sample_ns(int64_t nanoseconds, int64_t capacity) {
  int64_t even = nanoseconds / capacity;
  return even > EF_TRIAL_SAMPLE_NS ? even : EF_TRIAL_SAMPLE_NS;
}

EF_INTERNAL int64_t ef_trial_now(void);

#endif

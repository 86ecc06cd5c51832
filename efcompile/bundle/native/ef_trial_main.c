/* Times trials: a line of JSON for each, as it ends. Linked statically, so it runs on any Linux
   or Android system of its architecture.

     {"trial": 0, "name": "...", "error": 1.1e-07, "samples": [12345.0, ...]}
     {"trial": 1, "name": "...", "failure": "..."}

   Samples are nanoseconds of a call; `error` is written as Python's json reads it (NaN). */
#define _GNU_SOURCE
#define PROGRAM "trials"
#include <math.h>

#include "ef_command.h"
#include "ef_trial.h"

#define USAGE                                                                                   \
  "usage: trials BLOB [--first I] [--count N] [--skip LIST] [--interleave] [--warmup W]\n"      \
  "              [--seconds S] [--least N] [--rotate BYTES] [--threads T] [--cores LIST]\n"     \
  "       trials BLOB --untimed [--iterations N] [--first I] [--count N] [--skip LIST]\n"       \
  "       trials BLOB --calls\n"                                                                \
  "  --first I, --count N   these trials only; --skip 2,5: not these\n"                         \
  "  --interleave           they take turns, and the lines come at the end\n"                   \
  "  --seconds S            of timed calls for each, or --least N samples\n"                    \
  "  --rotate BYTES         of copies of the constants, so that they come from memory\n"        \
  "  --cores LIST           run on these cores only, such as 4-7 or 0,2\n"                      \
  "  --untimed              just make --iterations calls, and compare: repeats exactly under\n" \
  "                         an emulator\n"                                                      \
  "  --calls                print the address of the code of every call, and end\n"

#define MOST_SAMPLES 4096

typedef struct {
  const char *blob, *cores, *skip;
  long first, count, iterations;
  bool interleave, untimed, calls;
  ef_trial_settings settings;
} options;

/* A trial and what came of it. */
typedef struct {
  uint32_t index;
  ef_trial_status status;
  ef_trial *trial;
  double error;
  int64_t count;
  double samples[MOST_SAMPLES];
} result;

static double seconds_of(const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end != '\0' || !(value >= 0 && value <= 3600))
    fail("--seconds must be a number from 0 to 3600, not '%s'", text);
  return value;
}

static void set(options *o, const char *name, const char *value) {
  if (strcmp(name, "--first") == 0)
    o->first = number(name, value, 0, INT32_MAX);
  else if (strcmp(name, "--count") == 0)
    o->count = number(name, value, 0, INT32_MAX);
  else if (strcmp(name, "--skip") == 0)
    o->skip = value;
  else if (strcmp(name, "--iterations") == 0)
    o->iterations = number(name, value, 1, 1000000);
  else if (strcmp(name, "--warmup") == 0)
    o->settings.warmup = number(name, value, 0, 1000000);
  else if (strcmp(name, "--seconds") == 0)
    o->settings.nanoseconds = (int64_t)(seconds_of(value) * 1e9);
  else if (strcmp(name, "--least") == 0)
    o->settings.least = number(name, value, 1, MOST_SAMPLES);
  else if (strcmp(name, "--rotate") == 0)
    o->settings.rotate_bytes = number(name, value, 0, (long)1 << (sizeof(long) == 8 ? 40 : 30));
  else if (strcmp(name, "--threads") == 0)
    o->settings.threads = number(name, value, 1, EF_MAX_THREADS);
  else if (strcmp(name, "--cores") == 0)
    o->cores = value;
  else
    fail("unknown option '%s'\n%s", name, USAGE);
}

static options parse(int argc, char **argv) {
  options o = {.count = INT32_MAX,
               .iterations = 1,
               .settings = {.warmup = 2, .nanoseconds = 80000000, .least = 7, .threads = 1}};
  for (int i = 1; i < argc; ++i) {
    const char *name = argv[i];
    if (strcmp(name, "--help") == 0) {
      fputs(USAGE, stdout);
      exit(0);
    }
    if (strcmp(name, "--interleave") == 0)
      o.interleave = true;
    else if (strcmp(name, "--untimed") == 0)
      o.untimed = true;
    else if (strcmp(name, "--calls") == 0)
      o.calls = true;
    else if (name[0] != '-' && o.blob == NULL)
      o.blob = name;
    else if (i + 1 == argc)
      fail("%s needs a value", name);
    else
      set(&o, name, argv[++i]);
  }
  if (o.blob == NULL) fail("no blob given\n%s", USAGE);
  return o;
}

/* Whether `index` is in a list such as 2,5. */
static bool listed(const char *list, uint32_t index) {
  bool found = false;
  for (const char *at = list; at != NULL;) {
    char *end;
    long value = strtol(at, &end, 10);
    if (end == at || value < 0 || (*end != '\0' && *end != ','))
      fail("--skip must be a list such as 2,5, not '%s'", list);
    found |= (uint32_t)value == index;
    at = *end == '\0' ? NULL : end + 1;
  }
  return found;
}

static bool chosen(const options *o, uint32_t index) {
  return (long)index >= o->first && (long)index - o->first < o->count && !listed(o->skip, index);
}

static const char *text_of(ef_trial_status status) {
  switch (status) {
    case EF_TRIAL_OK: return "ok";
    case EF_TRIAL_BAD_ARG: return "bad arguments";
    case EF_TRIAL_BAD_BLOB: return "not the blob of this program, or not all of it";
    case EF_TRIAL_BAD_INDEX: return "no such trial";
    case EF_TRIAL_NO_MEMORY: return "not enough memory";
    case EF_TRIAL_NO_THREADS: return "cannot start the threads";
    case EF_TRIAL_OVERRUN: return "wrote outside of its arrays";
  }
  return "unknown status";
}

/* As JSON would have it, but for NaN and Infinity, which it lacks. */
static void print_number(double value) {
  if (isnan(value))
    fputs("NaN", stdout);
  else if (isinf(value))
    fputs("Infinity", stdout);
  else
    printf("%.9g", value);
}

static void print(const ef_blob *blob, const result *r) {
  const char *name = ef_blob_at(blob, ef_blob_trial_of(blob, r->index)->name);
  printf("{\"trial\": %u, \"name\": %s", r->index, name);
  if (r->status != EF_TRIAL_OK) {
    printf(", \"failure\": \"%s\"}\n", text_of(r->status));
  } else {
    fputs(", \"error\": ", stdout);
    print_number(r->error);
    fputs(", \"samples\": [", stdout);
    for (int64_t i = 0; i < r->count; ++i) {
      if (i > 0) fputs(", ", stdout);
      printf("%.1f", r->samples[i]);
    }
    fputs("]}\n", stdout);
  }
  if (fflush(stdout) != 0) fail("cannot write: %s", strerror(errno));
}

static void print_calls(const ef_blob *blob) {
  for (uint32_t i = 0; i < blob->trial_count; ++i) {
    const ef_blob_trial *trial = ef_blob_trial_of(blob, i);
    const ef_blob_step *steps = ef_blob_at(blob, trial->steps);
    for (uint32_t s = 0; s < trial->step_count; ++s)
      printf("%s%zx", s == 0 ? "" : " ", (size_t)(uintptr_t)ef_trial_kernels[steps[s].kernel].call);
    putchar('\n');
  }
}

/* The largest arena first, so that all trials have the same one. One that the memory is too
   small for will say so when it is opened. */
static void reserve(const ef_blob *blob, const options *o, ef_pool *pool, ef_trial_arena *arena) {
  for (uint32_t i = 0; i < blob->trial_count; ++i)
    if (chosen(o, i)) (void)ef_trial_reserve(blob, i, pool, arena);
}

static void one_by_one(const ef_blob *blob, const options *o, ef_pool *pool) {
  static result r;
  ef_trial_arena arena = {0};
  reserve(blob, o, pool, &arena);
  for (uint32_t i = 0; i < blob->trial_count; ++i) {
    if (!chosen(o, i)) continue;
    r.index = i;
    r.count = 0;
    r.status = ef_trial_open(blob, i, o->settings.rotate_bytes, pool, &arena, &r.trial);
    if (r.status == EF_TRIAL_OK) {
      if (o->untimed) {
        ef_trial_enter(r.trial);
        for (long n = 0; n < o->iterations; ++n) ef_trial_call(r.trial);
      } else {
        r.count = ef_trial_measure(r.trial, &o->settings, r.samples, MOST_SAMPLES);
      }
      r.status = ef_trial_compare(r.trial, &r.error);
      ef_trial_close(r.trial);
    }
    print(blob, &r);
  }
  ef_trial_release(&arena);
}

/* A turn is a call untimed, which brings everything into the caches as the network would have
   left it, and then a sample. Rounds begin with another trial each. */
static void rounds(result *results, uint32_t count, const options *o) {
  int64_t sample_ns = ef_trial_sample_ns(o->settings.nanoseconds, MOST_SAMPLES);
  for (uint32_t i = 0; i < count; ++i) {
    ef_trial_enter(results[i].trial);
    ef_trial_prepare(results[i].trial, o->settings.warmup, sample_ns);
    results[i].status = ef_trial_compare(results[i].trial, &results[i].error);
  }
  int64_t end = ef_trial_now() + (int64_t)count * o->settings.nanoseconds;
  for (long n = 0; n < MOST_SAMPLES; ++n) {
    if (n >= o->settings.least && ef_trial_now() >= end) break;
    for (uint32_t turn = 0; turn < count; ++turn) {
      result *r = &results[((uint32_t)n + turn) % count];
      ef_trial_enter(r->trial);
      ef_trial_call(r->trial);
      r->samples[r->count++] = ef_trial_sample(r->trial);
    }
  }
}

static void in_turns(const ef_blob *blob, const options *o, ef_pool *pool) {
  result *results = calloc((size_t)blob->trial_count + 1, sizeof *results);
  if (results == NULL) fail("%s", text_of(EF_TRIAL_NO_MEMORY));
  ef_trial_arena arena = {0};
  reserve(blob, o, pool, &arena);
  uint32_t count = 0;
  for (uint32_t i = 0; i < blob->trial_count; ++i)
    if (chosen(o, i)) results[count++].index = i;
  /* A round uses a copy of each trial's constants: together they are as much as one's alone. */
  int64_t rotate = count == 0 ? 0 : o->settings.rotate_bytes / count;
  for (uint32_t i = 0; i < count; ++i)
    if (ef_trial_open(blob, results[i].index, rotate, pool, &arena, &results[i].trial) !=
        EF_TRIAL_OK)
      fail("%s", text_of(EF_TRIAL_NO_MEMORY));
  rounds(results, count, o);
  for (uint32_t i = 0; i < count; ++i) {
    ef_trial_close(results[i].trial);
    print(blob, &results[i]);
  }
  ef_trial_release(&arena);
  free(results);
}

int main(int argc, char **argv) {
  options o = parse(argc, argv);
  if (o.cores != NULL) pin(o.cores);
  size_t bytes = 0;
  const ef_blob *blob = map_file(o.blob, &bytes);
  if (!ef_blob_check(blob, bytes)) fail("%s: %s", o.blob, text_of(EF_TRIAL_BAD_BLOB));
  if (o.calls) {
    print_calls(blob);
    return 0;
  }
  int threads = (int)o.settings.threads;
  ef_pool *pool = threads > 1 ? ef_pool_create(threads) : NULL;
  if (threads > 1 && pool == NULL) fail("%s", text_of(EF_TRIAL_NO_THREADS));
  if (o.interleave && !o.untimed)
    in_turns(blob, &o, pool);
  else
    one_by_one(blob, &o, pool);
  ef_pool_destroy(pool);
  return 0;
}

/* Times a model: one line of JSON, times in nanoseconds. Linked statically, so it runs on
   any Linux or Android system of its architecture. */
#define _GNU_SOURCE
#define PROGRAM "bench"
#include <time.h>

#include "ef_command.h"
#include "ef_model.h"
#include "ef_pool.h"

/* Of the driver. */
typedef void (*ef_kernel)(void *const *args, void *scratch, int32_t begin, int32_t end);
EF_INTERNAL ef_kernel EF_FN(call_code)(int32_t i);

#define USAGE                                                                              \
  "usage: bench [--warmup W] [--iterations N] [--threads T] [--cores LIST]\n"              \
  "             [--input FILE] [--output FILE] [--weights FILE] [--untimed]\n"             \
  "       bench --calls\n"                                                                  \
  "  --cores LIST     run on these cores only, such as 4-7 or 0,2\n"                       \
  "  --input FILE     the inputs' raw values one after the other (else pseudo-random)\n"   \
  "  --output FILE    write the outputs' raw values there\n"                               \
  "  --weights FILE   weights.bin (else the one beside this program)\n"                    \
  "  --untimed        read no clock, print no times: repeats exactly under an emulator\n"   \
  "  --calls          print the address of the code of every kernel call, and end\n"

typedef struct {
  long warmup, iterations, threads;
  const char *cores, *input, *output, *weights;
  bool untimed;
} options;

static options parse(int argc, char **argv) {
  options o = {.warmup = 3, .iterations = 20, .threads = 1};
  for (int i = 1; i < argc; ++i) {
    const char *name = argv[i];
    if (strcmp(name, "--help") == 0) {
      fputs(USAGE, stdout);
      exit(0);
    }
    if (strcmp(name, "--calls") == 0) {
      for (int32_t call = 0; EF_FN(call_code)(call) != NULL; ++call)
        printf("%zx\n", (size_t)(uintptr_t)EF_FN(call_code)(call));
      exit(0);
    }
    if (strcmp(name, "--untimed") == 0) {
      o.untimed = true;
      continue;
    }
    const char *known[] = {"--warmup", "--iterations", "--threads", "--cores",
                           "--input",  "--output",     "--weights"};
    int which = 0;
    while (which < 7 && strcmp(name, known[which]) != 0) ++which;
    if (which == 7) fail("unknown option '%s'\n%s", name, USAGE);
    if (++i == argc) fail("%s needs a value", name);
    const char *value = argv[i];
    switch (which) {
      case 0: o.warmup = number(name, value, 0, 1000000); break;
      case 1: o.iterations = number(name, value, 1, 1000000); break;
      case 2: o.threads = number(name, value, 1, EF_MAX_THREADS); break;
      case 3: o.cores = value; break;
      case 4: o.input = value; break;
      case 5: o.output = value; break;
      default: o.weights = value;
    }
  }
  return o;
}

static void *take(size_t bytes) {
  void *memory = NULL;
  if (posix_memalign(&memory, EF_ALIGNMENT, bytes) != 0) fail("no memory for %zu bytes", bytes);
  return memory;
}

/* weights.bin in this program's folder. */
static const char *beside(const char *program) {
  static char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length < 0) length = snprintf(path, sizeof path, "%s", program);
  if ((size_t)length >= sizeof path) fail("the path of this program is too long");
  path[length] = '\0';
  char *slash = strrchr(path, '/');
  char *name = slash == NULL ? path : slash + 1;
  if ((size_t)(path + sizeof path - name) < sizeof "weights.bin")
    fail("the path of this program is too long");
  memcpy(name, "weights.bin", sizeof "weights.bin");
  return path;
}

/* float32 in [-1, 1), the same on every run; bytes of another dtype get plain noise. */
static void fill(const ef_tensor *tensor, void *data) {
  uint32_t state = 1;
  bool floats = strcmp(tensor->dtype, "float32") == 0;
  for (size_t i = 0; i < tensor->bytes / (floats ? 4 : 1); ++i) {
    state = state * 1664525u + 1013904223u;
    if (floats)
      ((float *)data)[i] = (float)(int32_t)state * (1.0f / 2147483648.0f);
    else
      ((uint8_t *)data)[i] = (uint8_t)(state >> 24) & 0x3b; /* finite as float16 too */
  }
}

static void read_inputs(const char *path, const ef_info *info, void *const *data) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail("cannot open %s: %s", path, strerror(errno));
  size_t want = 0, got = 0;
  for (int32_t i = 0; i < info->input_count; ++i) {
    want += info->inputs[i].bytes;
    got += fread(data[i], 1, info->inputs[i].bytes, file);
  }
  if (got != want || fgetc(file) != EOF)
    fail("%s must hold exactly the %zu bytes of the inputs", path, want);
  fclose(file);
}

static void write_outputs(const char *path, const ef_info *info, void *const *data) {
  FILE *file = fopen(path, "wb");
  if (file == NULL) fail("cannot open %s: %s", path, strerror(errno));
  bool good = true;
  for (int32_t i = 0; i < info->output_count; ++i)
    good &= fwrite(data[i], 1, info->outputs[i].bytes, file) == info->outputs[i].bytes;
  if (fclose(file) != 0 || !good) fail("cannot write %s: %s", path, strerror(errno));
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Between the two nearest of the ascending times, as Python's inclusive quantiles. */
static double quantile(const int64_t *ns, long count, double share) {
  double at = share * (double)(count - 1);
  long below = (long)at;
  double rest = at - (double)below;
  return rest == 0 ? (double)ns[below]
                   : (double)ns[below] * (1 - rest) + (double)ns[below + 1] * rest;
}

static void print_times(int64_t *ns, long count) {
  qsort(ns, (size_t)count, sizeof *ns, ascending);
  double sum = 0;
  for (long i = 0; i < count; ++i) sum += (double)ns[i];
  int64_t median = (ns[(count - 1) / 2] + ns[count / 2]) / 2;
  long p90 = (count * 9 + 9) / 10 - 1; /* nearest rank */
  printf(", \"unit\": \"ns\", \"min\": %lld, \"q1\": %.1f, \"median\": %lld, \"q3\": %.1f, "
         "\"mean\": %.0f, \"p90\": %lld, \"max\": %lld",
         (long long)ns[0], quantile(ns, count, 0.25), (long long)median,
         quantile(ns, count, 0.75), sum / (double)count, (long long)ns[p90],
         (long long)ns[count - 1]);
}

int main(int argc, char **argv) {
  options o = parse(argc, argv);
  if (o.cores != NULL) pin(o.cores);
  const ef_info *info = EF_FN(info)();
  size_t weight_bytes = 0;
  const void *weights = map_file(o.weights ? o.weights : beside(argv[0]), &weight_bytes);
  int32_t count = info->input_count + info->output_count;
  void **data = take((size_t)count * sizeof *data);
  void **out = data + info->input_count;
  for (int32_t i = 0; i < info->input_count; ++i) {
    data[i] = take(info->inputs[i].bytes);
    fill(&info->inputs[i], data[i]);
  }
  for (int32_t i = 0; i < info->output_count; ++i) out[i] = take(info->outputs[i].bytes);
  if (o.input != NULL) read_inputs(o.input, info, data);
  ef_pool *pool = o.threads > 1 ? ef_pool_create((int)o.threads) : NULL;
  if (o.threads > 1 && pool == NULL) fail("cannot start %ld threads", o.threads);
  size_t arena_bytes = EF_FN(arena_bytes)((int)o.threads);
  void *arena = take(arena_bytes);
  int64_t *ns = take((size_t)o.iterations * sizeof *ns);
  for (long i = -o.warmup; i < o.iterations; ++i) {
    int64_t start = o.untimed ? 0 : now();
    ef_status status = EF_FN(run)(weights, weight_bytes, arena, arena_bytes,
                                  (const void *const *)data, out, pool);
    if (status != EF_OK) fail("%s", ef_status_string(status));
    if (i >= 0 && !o.untimed) ns[i] = now() - start;
  }
  if (o.output != NULL) write_outputs(o.output, info, out);
  printf("{\"model\": \"%s\", \"target\": \"%s\", \"threads\": %ld, \"warmup\": %ld, "
         "\"iterations\": %ld",
         info->model, info->target, o.threads, o.warmup, o.iterations);
  if (!o.untimed) print_times(ns, o.iterations);
  puts("}");
  ef_pool_destroy(pool);
  return 0;
}

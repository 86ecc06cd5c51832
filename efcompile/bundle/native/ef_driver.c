/* Runs a model: checks what it is given, then makes the calls of its table in order.

   The tables are in ef_tables.h, written for each model; this file is the same for all. */
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "ef_cpu.h"
#include "ef_model.h"
#include "ef_pool.h"

typedef enum { EF_INPUT, EF_OUTPUT, EF_ARENA, EF_CONSTANT } ef_space;

/* Where an argument lives: a position in the boundary's list, or an offset in bytes; and how many
   of its bytes to ask for during the call before. */
typedef struct {
  ef_space space;
  uint32_t ahead;
  size_t offset;
} ef_arg;

/* Does tasks begin <= t < end of one call. */
typedef void (*ef_kernel)(void *const *args, void *scratch, int32_t begin, int32_t end);

/* Where a kernel's code begins, whatever its arguments. */
typedef void (*ef_code)(void);

typedef struct {
  ef_kernel kernel;
  int32_t tasks;
  int32_t arg_count;
  bool chained; /* tasks build on one another: see ef_pool_run */
  size_t first_arg;
  ef_code code;
  uint32_t code_ahead; /* bytes of it to ask for during the call before */
} ef_call;

/* First bytes of weights.bin; the constants follow, aligned. Little-endian. */
typedef struct {
  char magic[8];
  uint32_t abi;
  uint32_t header_bytes;
  uint64_t bytes;
  uint8_t build_id[32];
  uint8_t reserved[8];
} ef_weights;

_Static_assert(sizeof(ef_weights) == EF_ALIGNMENT, "the constants must stay aligned");

#include "ef_tables.h"

const ef_info *EF_FN(info)(void) { return &ef_table_info; }

size_t EF_FN(arena_bytes)(int threads) {
  if (threads < 1 || threads > EF_MAX_THREADS) return 0;
  size_t bytes = EF_ARENA_BYTES + (size_t)threads * EF_SCRATCH_BYTES;
  return bytes == 0 ? EF_ALIGNMENT : bytes;
}

static bool cpu_fits(void) {
  static atomic_int known; /* 0 not yet, 1 fits, 2 does not */
  int state = atomic_load_explicit(&known, memory_order_relaxed);
  if (state == 0) {
    state = 1;
    for (int i = 0; i < EF_FEATURE_COUNT; ++i)
      if (!ef_cpu_has(&ef_table_features[i])) state = 2;
    atomic_store_explicit(&known, state, memory_order_relaxed);
  }
  return state == 1;
}

static bool aligned(const void *pointer, size_t alignment) {
  return (uintptr_t)pointer % alignment == 0;
}

ef_status EF_FN(check)(const void *weights, size_t bytes) {
  if (weights == NULL) return EF_BAD_ARG;
  if (!aligned(weights, EF_ALIGNMENT)) return EF_BAD_ALIGN;
  const ef_weights *header = weights;
  if (bytes < sizeof *header || memcmp(header->magic, "EFWEIGHT", 8) != 0) return EF_BAD_WEIGHTS;
  if (header->abi != EF_ABI) return EF_BAD_ABI;
  if (bytes != EF_WEIGHT_BYTES || header->bytes != bytes ||
      memcmp(header->build_id, ef_table_info.build_id, sizeof header->build_id) != 0)
    return EF_BAD_WEIGHTS;
  return cpu_fits() ? EF_OK : EF_BAD_CPU;
}

static ef_status check_tensors(const ef_tensor *tensors, int32_t count, const void *const *data) {
  for (int32_t i = 0; i < count; ++i) {
    if (data[i] == NULL) return EF_BAD_ARG;
    if (!aligned(data[i], tensors[i].alignment)) return EF_BAD_ALIGN;
  }
  return EF_OK;
}

/* The spaces that arguments point into. */
typedef struct {
  const char *weights;
  char *arena;
  const void *const *in;
  void *const *out;
} ef_memory;

/* The kernels do not write to inputs and constants: only their signature has no const. */
static void *resolve(const ef_memory *memory, ef_arg arg) {
  switch (arg.space) {
    case EF_INPUT: return (void *)(uintptr_t)memory->in[arg.offset];
    case EF_OUTPUT: return memory->out[arg.offset];
    case EF_ARENA: return memory->arena + arg.offset;
    default: return (void *)(uintptr_t)(memory->weights + sizeof(ef_weights) + arg.offset);
  }
}

typedef struct {
  ef_kernel kernel;
  void *args[EF_MAX_ARGS];
  char *scratch; /* of thread 0; the others' follow */
} ef_frame;

static void run_tasks(void *context, int thread, int32_t begin, int32_t end) {
  const ef_frame *frame = context;
  frame->kernel(frame->args, frame->scratch + (size_t)thread * EF_SCRATCH_BYTES, begin, end);
}

enum { EF_LINE = 64 };

static void ask(const char *bytes, uint32_t count) {
  for (uint32_t i = 0; i < count; i += EF_LINE) __builtin_prefetch(bytes + i, 0, 2);
}

/* A run goes over more weights and code than L2 holds, so a call finds its own in L3: its first
   weights and its code are on the way while the call before computes. */
static void ask_ahead(const ef_call *call, const ef_memory *memory) {
  if (call->code_ahead && call->code != call[-1].code)
    ask((const char *)(uintptr_t)call->code, call->code_ahead);
  for (int32_t i = 0; i < call->arg_count; ++i) {
    const ef_arg arg = ef_table_args[call->first_arg + (size_t)i];
    if (arg.ahead) ask(resolve(memory, arg), arg.ahead);
  }
}

static void run_call(int32_t number, const ef_memory *memory, ef_pool *pool) {
  const ef_call *call = &ef_table_calls[number];
  if (number + 1 < EF_CALL_COUNT) ask_ahead(call + 1, memory);
  ef_frame frame = {.kernel = call->kernel, .scratch = memory->arena + EF_ARENA_BYTES};
  for (int32_t i = 0; i < call->arg_count; ++i)
    frame.args[i] = resolve(memory, ef_table_args[call->first_arg + (size_t)i]);
  ef_pool_run(pool, run_tasks, &frame, call->tasks, call->chained);
}

/* All that can be wrong with the arguments of a run; when nothing is, the pool is claimed. */
static ef_status enter(const ef_memory *memory, size_t weight_bytes, size_t arena_bytes,
                       ef_pool *pool) {
  if (memory->weights == NULL || memory->arena == NULL || memory->in == NULL || memory->out == NULL)
    return EF_BAD_ARG;
  if (ef_pool_abi(pool) != EF_ABI) return EF_BAD_ABI;
  ef_status status = EF_FN(check)(memory->weights, weight_bytes);
  if (status == EF_OK)
    status = check_tensors(ef_table_info.inputs, ef_table_info.input_count, memory->in);
  if (status == EF_OK)
    status = check_tensors(ef_table_info.outputs, ef_table_info.output_count,
                           (const void *const *)memory->out);
  if (status != EF_OK) return status;
  if (!aligned(memory->arena, EF_ALIGNMENT)) return EF_BAD_ALIGN;
  if (arena_bytes < EF_FN(arena_bytes)(ef_pool_threads(pool))) return EF_ARENA_SMALL;
  return ef_pool_enter(pool) ? EF_OK : EF_BAD_ARG;
}

ef_status EF_FN(run)(const void *weights, size_t weight_bytes, void *arena, size_t arena_bytes,
                     const void *const *in, void *const *out, ef_pool *pool) {
  const ef_memory memory = {.weights = weights, .arena = arena, .in = in, .out = out};
  ef_status status = enter(&memory, weight_bytes, arena_bytes, pool);
  if (status != EF_OK) return status;
  for (int32_t i = 0; i < EF_CALL_COUNT; ++i) run_call(i, &memory, pool);
  ef_pool_leave(pool);
  return EF_OK;
}

/* For the benchmark: the code that call `i` enters; null behind the last. */
EF_INTERNAL ef_kernel EF_FN(call_code)(int32_t i);
ef_kernel EF_FN(call_code)(int32_t i) {
  return i < EF_CALL_COUNT ? ef_table_calls[i].kernel : NULL;
}

static uint64_t now(void) {
#ifdef __APPLE__
  const clockid_t clock = CLOCK_UPTIME_RAW; /* its CLOCK_MONOTONIC counts in microseconds */
#else
  const clockid_t clock = CLOCK_MONOTONIC;
#endif
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

ef_status EF_FN(profile)(const void *weights, size_t weight_bytes, void *arena, size_t arena_bytes,
                         const void *const *in, void *const *out, ef_pool *pool, int32_t repeats,
                         uint64_t *ns, int32_t count) {
  if (ns == NULL || count != EF_CALL_COUNT || repeats < 1) return EF_BAD_ARG;
  const ef_memory memory = {.weights = weights, .arena = arena, .in = in, .out = out};
  ef_status status = enter(&memory, weight_bytes, arena_bytes, pool);
  if (status != EF_OK) return status;
  for (int32_t i = 0; i < EF_CALL_COUNT; ++i) {
    /* No call writes what it reads, so it may be made again. */
    for (int32_t r = 1; r < repeats; ++r) run_call(i, &memory, pool);
    uint64_t start = now();
    run_call(i, &memory, pool);
    ns[i] = now() - start;
  }
  ef_pool_leave(pool);
  return EF_OK;
}

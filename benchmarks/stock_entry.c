/* A function as TVM compiles it, under the signature of our kernels.

   ENTRY is the kernel's symbol, STOCK the function's.  PARAMS declares a pointer for each operand,
   POINTERS lists them, RANKS and SHAPES describe them as float32 tensors.  What the function asks
   of TVM's runtime is here: parallel loops run as one task on the caller's thread, and workspace
   that was given back is kept for the next call, as in the runtime's pool. */
#include <stdint.h>
#include <stdlib.h>

#include "ef_ffi_values.h"

#define MOST_RANK 16
#define MOST_WORKSPACES 64
#define ALIGNMENT 64
#define FLOAT 2

typedef struct {
  void *sync;
  int32_t tasks;
} group;

typedef int (*lambda)(int task, group *env, void *data);

typedef struct {
  void *data;
  size_t bytes;
  bool taken;
} workspace;

/* TVM's code defines those of these that it uses. */
#define SHARED __attribute__((weak))
SHARED int (*__TVMBackendParallelLaunch)(lambda run, void *data, int tasks);
SHARED void *(*__TVMBackendAllocWorkspace)(int device, int id, uint64_t bytes, int code, int bits);
SHARED int (*__TVMBackendFreeWorkspace)(int device, int id, void *data);
int32_t STOCK(void *self, const ffi_any *args, int32_t count, ffi_any *result);

static workspace kept[MOST_WORKSPACES];

static int launch(lambda run, void *data, int tasks) {
  group env = {NULL, 1};
  (void)tasks;
  return run(0, &env, data);
}

static void *take(int device, int id, uint64_t bytes, int code, int bits) {
  (void)device, (void)id, (void)code, (void)bits;
  for (int i = 0; i < MOST_WORKSPACES; ++i) {
    workspace *w = &kept[i];
    if (w->taken || (w->data != NULL && w->bytes < bytes)) continue;
    if (w->data == NULL) {
      w->bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
      w->data = aligned_alloc(ALIGNMENT, w->bytes);
      if (w->data == NULL) abort();
    }
    w->taken = true;
    return w->data;
  }
  abort();
}

static int give_back(int device, int id, void *data) {
  (void)device, (void)id;
  for (int i = 0; i < MOST_WORKSPACES; ++i)
    if (kept[i].data == data) kept[i].taken = false;
  return 0;
}

/* The runtime's own takes the message apart; here a refused call just ends the program. */
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
  (void)kind, (void)parts, (void)count;
  abort();
}

void ENTRY(PARAMS, void *scratch, int32_t begin, int32_t end) {
  static const int32_t ranks[] = {RANKS};
  static int64_t shapes[][MOST_RANK] = {SHAPES};
  void *const data[] = {POINTERS};
  enum { COUNT = sizeof data / sizeof *data };
  dl_tensor tensors[COUNT];
  ffi_any args[COUNT], result = {0};
  (void)scratch;
  if (begin >= end) return;
  for (int i = 0; i < COUNT; ++i) {
    tensors[i] = (dl_tensor){.data = data[i],
                             .device_type = DEVICE_CPU,
                             .rank = ranks[i],
                             .type_code = FLOAT,
                             .type_bits = 32,
                             .type_lanes = 1,
                             .shape = shapes[i]};
    args[i] = (ffi_any){.type_index = FFI_DLTENSOR, .value.pointer = &tensors[i]};
  }
  __TVMBackendParallelLaunch = launch;
  __TVMBackendAllocWorkspace = take;
  __TVMBackendFreeWorkspace = give_back;
  if (STOCK(NULL, args, COUNT, &result) != 0) abort();
}

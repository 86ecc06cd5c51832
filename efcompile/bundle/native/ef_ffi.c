/* An entry that TVM's module loader (and so a TVM RPC server) finds in the shared library
   under the name <model>_run. It takes DLPack tensors: weights (uint8), arena (uint8), the
   inputs, the outputs; runs on the calling thread; and returns the ef_status as an integer. */
#include <stdbool.h>
#include <string.h>

#include "ef_ffi_values.h"
#include "ef_model.h"

#define MAX_TENSORS 64

static ef_status run(const ffi_any *args, int32_t count) {
  const ef_info *info = EF_FN(info)();
  int32_t tensors = info->input_count + info->output_count;
  if (count != tensors + 2 || tensors > MAX_TENSORS) return EF_BAD_ARG;
  void *data[MAX_TENSORS];
  size_t bytes = 0, weight_bytes = 0, arena_bytes = 0;
  for (int32_t i = 0; i < tensors; ++i) {
    bool is_input = i < info->input_count;
    const ef_tensor *want = is_input ? &info->inputs[i] : &info->outputs[i - info->input_count];
    data[i] = data_of(&args[i + 2], &bytes);
    if (data[i] == NULL || bytes != want->bytes) return EF_BAD_ARG;
  }
  void *weights = data_of(&args[0], &weight_bytes);
  void *arena = data_of(&args[1], &arena_bytes);
  return EF_FN(run)(weights, weight_bytes, arena, arena_bytes, (const void *const *)data,
                    data + info->input_count, NULL);
}

__attribute__((visibility("default"))) int32_t EF_FFI_RUN(void *self, const ffi_any *args,
                                                          int32_t count, ffi_any *result) {
  (void)self;
  memset(result, 0, sizeof *result);
  result->type_index = FFI_INT;
  result->value.integer = run(args, count);
  return 0;
}

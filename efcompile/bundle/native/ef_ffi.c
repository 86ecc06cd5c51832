/* An entry that TVM's module loader (and so a TVM RPC server) finds in the shared library
   under the name <model>_run. It takes DLPack tensors: weights (uint8), arena (uint8), the
   inputs, the outputs; runs on the calling thread; and returns the ef_status as an integer.

   The two structures are those of TVM FFI 0.1 and DLPack 1, declared here so that a bundle
   needs neither. */
#include <stdbool.h>
#include <string.h>

#include "ef_model.h"

#define FFI_INT 1
#define FFI_DLTENSOR 7
#define FFI_TENSOR 70
#define FFI_OBJECT_HEADER 24 /* a tensor object holds its DLTensor after this header */
#define MAX_TENSORS 64
#define DEVICE_CPU 1

typedef struct {
  int32_t type_index;
  uint32_t padding;
  union {
    int64_t integer;
    void *pointer;
  } value;
} ffi_any;

typedef struct {
  void *data;
  int32_t device_type, device_id;
  int32_t rank;
  uint8_t type_code, type_bits;
  uint16_t type_lanes;
  int64_t *shape;
  int64_t *strides;
  uint64_t byte_offset;
} dl_tensor;

static const dl_tensor *tensor_of(const ffi_any *arg) {
  if (arg->type_index == FFI_DLTENSOR) return arg->value.pointer;
  if (arg->type_index != FFI_TENSOR) return NULL;
  return (const dl_tensor *)((const char *)arg->value.pointer + FFI_OBJECT_HEADER);
}

static bool contiguous(const dl_tensor *tensor) {
  if (tensor->strides == NULL) return true;
  int64_t step = 1;
  for (int32_t i = tensor->rank - 1; i >= 0; --i) {
    if (tensor->shape[i] != 1 && tensor->strides[i] != step) return false;
    step *= tensor->shape[i];
  }
  return true;
}

static size_t byte_size(const dl_tensor *tensor) {
  size_t bytes = ((size_t)tensor->type_bits * tensor->type_lanes + 7) / 8;
  for (int32_t i = 0; i < tensor->rank; ++i) bytes *= (size_t)tensor->shape[i];
  return bytes;
}

/* The data of argument `arg` and its size; null unless it is contiguous and on the CPU. */
static void *data_of(const ffi_any *arg, size_t *bytes) {
  const dl_tensor *tensor = tensor_of(arg);
  if (tensor == NULL || tensor->device_type != DEVICE_CPU || !contiguous(tensor)) return NULL;
  *bytes = byte_size(tensor);
  return (char *)tensor->data + tensor->byte_offset;
}

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

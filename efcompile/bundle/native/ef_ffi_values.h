/* What TVM's runtime passes to a function of ours, and how to get at it.

   The two structures are those of TVM FFI 0.1 and DLPack 1, declared here so that a library
   needs neither. */
#ifndef EF_FFI_VALUES_H
#define EF_FFI_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FFI_INT 1
#define FFI_DLTENSOR 7
#define FFI_TENSOR 70
#define FFI_OBJECT_HEADER 24 /* a tensor object holds its DLTensor after this header */
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

static inline const dl_tensor *tensor_of(const ffi_any *arg) {
  if (arg->type_index == FFI_DLTENSOR) return arg->value.pointer;
  if (arg->type_index != FFI_TENSOR) return NULL;
  return (const dl_tensor *)((const char *)arg->value.pointer + FFI_OBJECT_HEADER);
}

static inline bool contiguous(const dl_tensor *tensor) {
  if (tensor->strides == NULL) return true;
  int64_t step = 1;
  for (int32_t i = tensor->rank - 1; i >= 0; --i) {
    if (tensor->shape[i] != 1 && tensor->strides[i] != step) return false;
    step *= tensor->shape[i];
  }
  return true;
}

static inline size_t byte_size(const dl_tensor *tensor) {
  size_t bytes = ((size_t)tensor->type_bits * tensor->type_lanes + 7) / 8;
  for (int32_t i = 0; i < tensor->rank; ++i) bytes *= (size_t)tensor->shape[i];
  return bytes;
}

/* The data of argument `arg` and its size; null unless it is contiguous and on the CPU. */
static inline void *data_of(const ffi_any *arg, size_t *bytes) {
  const dl_tensor *tensor = tensor_of(arg);
  if (tensor == NULL || tensor->device_type != DEVICE_CPU || !contiguous(tensor)) return NULL;
  *bytes = byte_size(tensor);
  return (char *)tensor->data + tensor->byte_offset;
}

#endif

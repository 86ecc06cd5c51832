/* What every compiled model shares: statuses, descriptions, the thread pool. */
#ifndef EF_H
#define EF_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of these declarations, of weights.bin's header and of the pool's layout. */
#define EF_ABI 1
/* Bytes to which arena and weights must be aligned. */
#define EF_ALIGNMENT 64
#define EF_MAX_RANK 8
#define EF_MAX_THREADS 256

typedef enum {
  EF_OK,
  EF_BAD_ARG,     /* a null pointer, or a pool that another run is using */
  EF_BAD_ALIGN,   /* arena or weights off 64 bytes, or a tensor off its element's size */
  EF_ARENA_SMALL, /* fewer bytes than <model>_arena_bytes(threads) */
  EF_BAD_WEIGHTS, /* not the weights.bin of this build */
  EF_BAD_CPU,     /* this CPU lacks a feature the code uses */
  EF_BAD_ABI,     /* weights or pool of another version of this interface */
  EF_KERNEL       /* a kernel failed; kernels of this version cannot */
} ef_status;

/* A tensor at the boundary: contiguous, row-major over `dims`. */
typedef struct {
  const char *name;
  const char *dtype;  /* numpy's name: "float32" */
  const char *layout; /* "NCHW", "NC", or "row-major" for other ranks */
  int32_t rank;
  int64_t dims[EF_MAX_RANK];
  size_t bytes;
  size_t alignment;
} ef_tensor;

typedef struct {
  uint32_t abi;
  uint8_t build_id[32]; /* the same in weights.bin */
  const char *model;
  const char *target;
  const char *cpu_features; /* what <model>_check asks of the CPU, comma-separated */
  size_t weight_bytes;      /* size of weights.bin */
  size_t weight_alignment;
  size_t arena_alignment;
  int32_t input_count;
  int32_t output_count;
  const ef_tensor *inputs;
  const ef_tensor *outputs;
} ef_info;

/* Threads that runs share work with. One run at a time may use a pool. */
typedef struct ef_pool ef_pool;

/* A pool of `threads` threads, the caller of a run included; null when it cannot be had.
   Nothing else in a compiled model allocates. */
ef_pool *ef_pool_create(int threads);
/* Ends the threads. No run may be using the pool; null is allowed. */
void ef_pool_destroy(ef_pool *pool);

static inline const char *ef_status_string(ef_status status) {
  switch (status) {
    case EF_OK: return "ok";
    case EF_BAD_ARG: return "a null pointer, or a pool that another run is using";
    case EF_BAD_ALIGN: return "arena or weights not aligned to 64 bytes, or a tensor to its element";
    case EF_ARENA_SMALL: return "the arena is smaller than arena_bytes(threads)";
    case EF_BAD_WEIGHTS: return "not the weights.bin of this build";
    case EF_BAD_CPU: return "this CPU lacks a feature the code uses";
    case EF_BAD_ABI: return "weights or pool of another version of the interface";
    case EF_KERNEL: return "a kernel failed";
  }
  return "unknown status";
}

#ifdef __cplusplus
}
#endif

#endif

/* The blob of a batch of trials: everything about them but the code. Version 1.

   Little-endian; offsets count from the blob's first byte, which is aligned to 64; every array
   and every list of records begins at a multiple of 64. Written by trial_blob.py:

     header            magic, version, size, the id of the program it belongs to
     trials            a record each
     parts, steps      lists of records, and lists of positions (uint32), named by the trials
     names             JSON strings that end with a zero byte
     arrays            each different one once */
#ifndef EF_TRIAL_BLOB_H
#define EF_TRIAL_BLOB_H

#include "ef_pool.h"

#define EF_BLOB_MAGIC "EFTRIALS"
#define EF_BLOB_VERSION 1
#define EF_TRIAL_ID_BYTES 32
/* Pointers a kernel of a trial may take. */
#define EF_TRIAL_MAX_ARGS 64

typedef struct {
  char magic[8];
  uint32_t version;
  uint32_t trial_count;
  uint64_t bytes; /* of the whole blob */
  uint64_t trials;
  uint8_t id[EF_TRIAL_ID_BYTES];
} ef_blob;

typedef struct {
  uint64_t name;
  uint64_t parts;
  uint64_t steps;
  uint32_t part_count;
  uint32_t step_count;
} ef_blob_trial;

typedef enum { EF_PART_INPUT, EF_PART_CONSTANT, EF_PART_MIDDLE, EF_PART_OUTPUT } ef_part_kind;

/* `data` is the offset of the values, or for an output of those expected; 0 for a middle. */
typedef struct {
  uint64_t kind;
  uint64_t bytes;
  uint64_t data;
} ef_blob_part;

/* `args` is the offset of `arg_count` positions in the trial's parts. */
typedef struct {
  uint32_t kernel; /* a row of ef_trial_kernels */
  int32_t tasks;
  uint32_t chained;
  uint32_t arg_count;
  uint64_t scratch_bytes;
  uint64_t args;
} ef_blob_step;

_Static_assert(sizeof(ef_blob) == 64 && sizeof(ef_blob_trial) == 32 && sizeof(ef_blob_part) == 24 &&
                   sizeof(ef_blob_step) == 32,
               "records as trial_blob.py writes them");

/* Does tasks begin <= t < end of one call. */
typedef void (*ef_kernel)(void *const *args, void *scratch, int32_t begin, int32_t end);

/* The table written for each batch, ef_trial_table.c: the code, and whose blob it takes. */
typedef struct {
  ef_kernel call;
  uint32_t arity;
} ef_trial_kernel;
EF_INTERNAL extern const ef_trial_kernel ef_trial_kernels[];
EF_INTERNAL extern const uint32_t ef_trial_kernel_count;
EF_INTERNAL extern const uint8_t ef_trial_id[EF_TRIAL_ID_BYTES];

/* Whether these bytes are a whole blob of this program: nothing in it points outside of it. */
EF_INTERNAL bool ef_blob_check(const void *blob, size_t bytes);

/* The record of one trial of a checked blob, and what an offset points to. */
EF_INTERNAL const ef_blob_trial *ef_blob_trial_of(const ef_blob *blob, uint32_t index);
static inline const void *ef_blob_at(const ef_blob *blob, uint64_t offset) {
  return (const char *)blob + offset;
}

#endif

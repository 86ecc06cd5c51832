/* An entry that TVM's module loader (and so a TVM RPC server) finds in a library of trials:

     efcompile_trial(index, blob: uint8 tensor, settings: int64 tensor [5], samples: float64 tensor)

   runs trial `index` with the settings [warmup, nanoseconds, least, rotate_bytes, threads], puts
   its error into samples[0] and nanoseconds of a call into those behind, as many as fit, and
   returns how many these are; or a negative ef_trial_status, and then samples mean nothing. */
#include <string.h>

#include "ef_ffi_values.h"
#include "ef_trial.h"

#define CODE_INT 0
#define CODE_UINT 1
#define CODE_FLOAT 2

/* As `data_of`, for elements of that type alone. */
static void *typed_data(const ffi_any *arg, uint8_t code, uint8_t bits, size_t *count) {
  const dl_tensor *tensor = tensor_of(arg);
  if (tensor == NULL || tensor->type_code != code || tensor->type_bits != bits ||
      tensor->type_lanes != 1)
    return NULL;
  void *data = data_of(arg, count);
  *count /= bits / 8;
  return data;
}

static bool good(const ef_trial_settings *s, int64_t capacity) {
  return s->warmup >= 0 && s->nanoseconds >= 0 && s->least >= 1 && s->least <= capacity &&
         s->rotate_bytes >= 0 && s->threads >= 1 && s->threads <= EF_MAX_THREADS;
}

static int64_t run(const ffi_any *args, int32_t count) {
  size_t blob_bytes = 0, setting_count = 0, capacity = 0;
  if (count != 4 || args[0].type_index != FFI_INT) return EF_TRIAL_BAD_ARG;
  int64_t index = args[0].value.integer;
  const void *blob = typed_data(&args[1], CODE_UINT, 8, &blob_bytes);
  const int64_t *set = typed_data(&args[2], CODE_INT, 64, &setting_count);
  double *samples = typed_data(&args[3], CODE_FLOAT, 64, &capacity);
  if (blob == NULL || set == NULL || setting_count != 5 || samples == NULL || capacity < 2)
    return EF_TRIAL_BAD_ARG;
  const ef_trial_settings settings = {set[0], set[1], set[2], set[3], set[4]};
  if (!good(&settings, (int64_t)capacity - 1)) return EF_TRIAL_BAD_ARG;
  if (!ef_blob_check(blob, blob_bytes)) return EF_TRIAL_BAD_BLOB;
  if (index < 0 || index >= ((const ef_blob *)blob)->trial_count) return EF_TRIAL_BAD_INDEX;
  ef_pool *pool = settings.threads > 1 ? ef_pool_create((int)settings.threads) : NULL;
  if (settings.threads > 1 && pool == NULL) return EF_TRIAL_NO_THREADS;
  ef_trial *trial = NULL;
  ef_trial_arena arena = {0};
  int64_t taken = 0;
  int64_t status =
      ef_trial_open(blob, (uint32_t)index, settings.rotate_bytes, pool, &arena, &trial);
  if (status == EF_TRIAL_OK) {
    taken = ef_trial_measure(trial, &settings, samples + 1, (int64_t)capacity - 1);
    status = ef_trial_compare(trial, &samples[0]);
    ef_trial_close(trial);
  }
  ef_trial_release(&arena);
  ef_pool_destroy(pool);
  return status == EF_TRIAL_OK ? taken : status;
}

__attribute__((visibility("default"))) int32_t __tvm_ffi_efcompile_trial(void *self,
                                                                         const ffi_any *args,
                                                                         int32_t count,
                                                                         ffi_any *result) {
  (void)self;
  memset(result, 0, sizeof *result);
  result->type_index = FFI_INT;
  result->value.integer = run(args, count);
  return 0;
}

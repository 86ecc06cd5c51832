/* The probe inside a TVM RPC server: `efcompile_probe(text: uint8 tensor)` returns how many
   bytes it wrote, or -1. */
#include <string.h>

#include "ef_ffi_values.h"
#include "ef_probe.h"

__attribute__((visibility("default"))) int32_t __tvm_ffi_efcompile_probe(void *self,
                                                                         const ffi_any *args,
                                                                         int32_t count,
                                                                         ffi_any *result) {
  (void)self;
  memset(result, 0, sizeof *result);
  result->type_index = FFI_INT;
  result->value.integer = -1;
  size_t bytes = 0;
  char *text = count == 1 ? data_of(&args[0], &bytes) : NULL;
  if (text != NULL) result->value.integer = ef_probe(text, (int32_t)bytes);
  return 0;
}

/* Compiles only if the structures in ef_ffi.c are laid out like TVM's own. */
#include <tvm/ffi/c_api.h>

#include "ef_ffi.c"

#define SAME(ours, field, theirs, other)                                                    \
  _Static_assert(offsetof(ours, field) == offsetof(theirs, other) &&                        \
                     sizeof(((ours *)0)->field) == sizeof(((theirs *)0)->other),            \
                 #ours "." #field)

_Static_assert(FFI_INT == kTVMFFIInt, "int");
_Static_assert(FFI_DLTENSOR == kTVMFFIDLTensorPtr, "DLTensor");
_Static_assert(FFI_TENSOR == kTVMFFITensor, "tensor");
_Static_assert(FFI_OBJECT_HEADER == sizeof(TVMFFIObject), "object header");
_Static_assert(DEVICE_CPU == kDLCPU, "device");

_Static_assert(sizeof(ffi_any) == sizeof(TVMFFIAny), "any");
SAME(ffi_any, type_index, TVMFFIAny, type_index);
SAME(ffi_any, value.integer, TVMFFIAny, v_int64);
SAME(ffi_any, value.pointer, TVMFFIAny, v_ptr);

_Static_assert(sizeof(dl_tensor) == sizeof(DLTensor), "tensor");
SAME(dl_tensor, data, DLTensor, data);
SAME(dl_tensor, device_type, DLTensor, device.device_type);
SAME(dl_tensor, device_id, DLTensor, device.device_id);
SAME(dl_tensor, rank, DLTensor, ndim);
SAME(dl_tensor, type_code, DLTensor, dtype.code);
SAME(dl_tensor, type_bits, DLTensor, dtype.bits);
SAME(dl_tensor, type_lanes, DLTensor, dtype.lanes);
SAME(dl_tensor, shape, DLTensor, shape);
SAME(dl_tensor, strides, DLTensor, strides);
SAME(dl_tensor, byte_offset, DLTensor, byte_offset);

"""Constants of the C interface that Python shares with `native/ef.h`; a test compares them."""

ABI = 1
"""`EF_ABI`: version of the interface, of weights.bin's header and of the pool's layout."""

MAX_RANK = 8
"""`EF_MAX_RANK`: dimensions a boundary tensor may have."""

HEADER_BYTES = 64
"""Size of weights.bin's header, which keeps the constants behind it aligned."""

STATUSES = (
    "EF_OK",
    "EF_BAD_ARG",
    "EF_BAD_ALIGN",
    "EF_ARENA_SMALL",
    "EF_BAD_WEIGHTS",
    "EF_BAD_CPU",
    "EF_BAD_ABI",
    "EF_KERNEL",
)
"""`ef_status` by value."""

_LIBM = """
acos acosh asin asinh atan atan2 atanh ceil cos cosh erf erfc exp exp2 expm1 fabs floor fma fmod
hypot ldexp log log10 log1p log2 nearbyint pow rint round sin sinh sqrt tan tanh trunc
"""
_PTHREAD = """
cond_broadcast cond_destroy cond_init cond_signal cond_wait create join
mutex_destroy mutex_init mutex_lock mutex_unlock
"""
# bzero and sysctlbyname are Apple's: LLVM clears memory with the former there.
_LIBC = """
bzero calloc clock_gettime free getauxval memcmp memcpy memmove memset
sched_getaffinity sched_getcpu sched_setaffinity sysctlbyname
"""

LIBC = frozenset(_LIBC.split())
"""What a library may use of libc."""

LIBM = frozenset(name + suffix for name in _LIBM.split() for suffix in ("", "f"))
"""What a library may use of libm."""

PTHREAD = frozenset(f"pthread_{name}" for name in _PTHREAD.split())
"""What a library may use of the threads library (part of libc but on old glibc)."""

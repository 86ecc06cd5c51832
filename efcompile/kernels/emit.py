"""A small statement builder for explicit-loop kernels.

TVM's TIR is used as a portable assembler: loops, scalar index arithmetic, and vectors of
constant width that LLVM keeps in registers.  A kernel is a raw C function, see
`efcompile.lowering.program`; nothing in it calls a runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from struct import pack, unpack
from typing import Any

from efcompile.tvm_api import ForKind, PointerType, PrimType, stmt, tirx

Expr = Any
"""A TIR expression (or a Python number, which the node constructors convert)."""


@dataclass(frozen=True)
class View:
    """A typed pointer plus an element offset; `at` moves the offset."""

    buffer: Any
    dtype: str
    offset: Expr = 0

    def at(self, delta: Expr) -> View:
        """The same memory, `delta` elements further."""
        return View(self.buffer, self.dtype, _sum(self.offset, delta))


@dataclass(frozen=True)
class Register:
    """A vector (or scalar) variable that LLVM promotes to a machine register.

    It is a one-element stack buffer of *vector* type: a scalar buffer read through ramps
    would be merged with its neighbours by LLVM into one wide value and spill.
    """

    buffer: Any
    lanes: int


class Emitter:
    """Collects statements; `finish` turns them into a PrimFunc with the raw signature."""

    def __init__(self) -> None:
        self._blocks: list[list[Any]] = [[]]
        self._params: list[Any] = []

    # -- parameters ------------------------------------------------------------------
    def pointer(self, name: str, dtype: str = "float32") -> View:
        """Declare the next pointer argument."""
        var = tirx.Var(name, PointerType(PrimType(dtype)))
        self._params.append(var)
        return self._declare(var, name, dtype)

    def optional(self, name: str, present: bool) -> View | None:
        """Declare the next pointer argument if it is `present`."""
        return self.pointer(name) if present else None

    def integer(self, name: str) -> Expr:
        """Declare the next int32 argument."""
        var = tirx.Var(name, "int32")
        self._params.append(var)
        return var

    def _declare(self, var: Any, name: str, dtype: str) -> View:
        buffer = tirx.decl_buffer((_UNBOUNDED,), dtype, name=f"{name}_data", data=var, layout=None)
        self._add(stmt.DeclBuffer(buffer, data=var))
        return View(buffer, dtype)

    # -- statements ------------------------------------------------------------------
    @contextmanager
    def loop(self, extent: Expr, name: str = "i", begin: Expr = 0) -> Iterator[Expr]:
        """``for name in begin .. begin + extent``; a constant extent of one emits no loop."""
        if isinstance(extent, int) and extent == 1:
            yield begin
            return
        var = tirx.Var(name, "int32")
        self._blocks.append([])
        yield var
        body = self._close()
        self._add(stmt.For(var, int32(begin), int32(extent), ForKind.SERIAL, body))

    @contextmanager
    def when(self, condition: Expr) -> Iterator[None]:
        """``if condition:``"""
        self._blocks.append([])
        yield
        self._add(stmt.IfThenElse(condition, self._close(), None))

    def let(self, value: Expr, name: str = "v") -> Expr:
        """Bind an expression to a name for the rest of the block, so it is computed once.

        TVM's simplifier puts the expression back wherever the name is used, which doubles
        code at every step of a chain; values other than indices are therefore kept in a
        register, which it does not look into.
        """
        if isinstance(value, int | float):
            return value
        if str(value.ty) not in _INDEX_TYPES:
            buffer = tirx.decl_buffer((1,), value.ty, name=name, layout=None, scope="global")
            self._add(stmt.AllocBuffer(buffer))
            self._add(stmt.BufferStore(buffer, value, [int32(0)]))
            return tirx.BufferLoad(buffer, [int32(0)])
        var = tirx.Var(name, value.ty)
        self._add(stmt.Bind(var, value))
        return var

    def hold(self, value: Expr, name: str = "held") -> Expr:
        """`let` for an int32 that the simplifier is not to see through.

        It would put the whole expression (bounds with choices and divisions) into every index
        that uses it, and take a second where the code takes a tenth; LLVM keeps it in a register.
        """
        if isinstance(value, int):
            return value
        buffer = tirx.decl_buffer((1,), "int32", name=name, layout=None, scope="global")
        self._add(stmt.AllocBuffer(buffer))
        self._add(stmt.BufferStore(buffer, value, [int32(0)]))
        return self.let(tirx.BufferLoad(buffer, [int32(0)]), name)

    def load(self, view: View, index: Expr = 0, lanes: int = 1) -> Expr:
        """`lanes` consecutive elements from `index`."""
        return tirx.BufferLoad(view.buffer, [_ramp(_sum(view.offset, index), lanes)])

    def store(self, view: View, index: Expr, value: Expr, lanes: int = 1) -> None:
        """Store `lanes` consecutive elements at `index`."""
        self._add(stmt.BufferStore(view.buffer, value, [_ramp(_sum(view.offset, index), lanes)]))

    def prefetch(self, view: View, index: Expr = 0, l2: bool = False) -> None:
        """Ask for the cache line of element `index`, into L1 or only into `l2`; any address will
        do, even an invalid one."""
        address = tirx.address_of(self.load(view, index))
        read, keep, data = int32(0), int32(2 if l2 else 3), int32(1)
        self._add(
            stmt.Evaluate(tirx.call_llvm_intrin("void", "llvm.prefetch", address, read, keep, data))
        )

    def register(self, lanes: int, name: str = "acc", value: Expr | None = None) -> Register:
        """A new float32 register variable, optionally initialised."""
        dtype = "float32" if lanes == 1 else f"float32x{lanes}"
        buffer = tirx.decl_buffer((1,), dtype, name=name, layout=None, scope="global")
        self._add(stmt.AllocBuffer(buffer))
        made = Register(buffer, lanes)
        if value is not None:
            self.set(made, value)
        return made

    def get(self, register: Register) -> Expr:
        """The register's value."""
        return tirx.BufferLoad(register.buffer, [int32(0)])

    def set(self, register: Register, value: Expr) -> None:
        """Assign the register."""
        self._add(stmt.BufferStore(register.buffer, value, [int32(0)]))

    def finish(self, symbol: str) -> Any:
        """The PrimFunc named `symbol`."""
        function = tirx.PrimFunc(self._params, self._close(), ret_type=None)
        return function.with_attr("global_symbol", symbol)

    def _add(self, statement: Any) -> None:
        self._blocks[-1].append(statement)

    def _close(self) -> Any:
        block = self._blocks.pop()
        if not block:
            return stmt.Evaluate(int32(0))
        return block[0] if len(block) == 1 else stmt.SeqStmt(block)


_INDEX_TYPES = ("int32", "int64", "bool")

_UNBOUNDED = 1 << 30
"""Declared extent of pointer arguments: kernels index flat memory, extents are not used."""


def int32(value: Expr) -> Expr:
    """A Python int as an int32 constant; anything else unchanged."""
    return tirx.IntImm("int32", value) if isinstance(value, int) else value


def float32(value: float, lanes: int = 1) -> Expr:
    """A float32 constant, repeated over `lanes`."""
    return splat(tirx.FloatImm("float32", value), lanes)


def reinterpret(value: Expr, dtype: str, lanes: int) -> Expr:
    """The same bits as `dtype` (``float32`` or ``int32``); the simplifier does not see through."""
    return tirx.reinterpret(dtype if lanes == 1 else f"{dtype}x{lanes}", value)


def integers(value: int, lanes: int) -> Expr:
    """An int32 constant, repeated over `lanes`."""
    return splat(int32(value), lanes)


def splat(value: Expr, lanes: int) -> Expr:
    """A scalar repeated over `lanes`."""
    return value if lanes == 1 else tirx.Broadcast(value, lanes)


def lane(vector: Expr, index: int) -> Expr:
    """One element of a vector value (NEON reads it inside the multiply-add)."""
    return tirx.Shuffle([vector], [index])


def lanes_of(vector: Expr, indices: Iterable[int]) -> Expr:
    """The chosen elements of a vector, as a shorter vector (or a scalar)."""
    return tirx.Shuffle([vector], list(indices))


def select(condition: Expr, yes: Expr, no: Expr) -> Expr:
    """Lane-wise choice without a branch."""
    return tirx.Select(condition, yes, no)


def square_root(value: Expr) -> Expr:
    """The square root of a scalar."""
    return tirx.sqrt(value)


def maximum(a: Expr, b: Expr) -> Expr:
    """The larger, NaN if either is NaN."""
    return tirx.call_llvm_pure_intrin(a.ty, "llvm.maximum", a, b)


def minimum(a: Expr, b: Expr) -> Expr:
    """The smaller, NaN if either is NaN."""
    return tirx.call_llvm_pure_intrin(a.ty, "llvm.minimum", a, b)


def negative_part(value: Expr, lanes: int) -> Expr:
    """``min(value, 0)``; of NaN it is 0 or NaN.

    With AVX-512 (16 lanes) LLVM makes of a choice that is subtracted a comparison into a mask,
    which takes a pipe from the multiply-adds; a minimum does not.
    """
    zero = float32(0.0, lanes)
    if lanes == _AVX512:
        current = int32(4)  # the rounding in force
        return tirx.call_llvm_pure_intrin(
            value.ty, "llvm.x86.avx512.min.ps.512", value, zero, current
        )
    return minimum(value, zero) if lanes <= _NEON else select(value < zero, value, zero)


def magnitude(value: Expr, most: float, lanes: int) -> Expr:
    """``min(|value|, most)``; `most` (not negative) of NaN."""
    if lanes == _AVX512:
        smaller_magnitude, every, current = int32(0b1010), tirx.IntImm("int16", -1), int32(4)
        top = float32(most, lanes)
        return tirx.call_llvm_pure_intrin(
            value.ty, "llvm.x86.avx512.mask.range.ps.512", value, top, smaller_magnitude, value,
            every, current,
        )  # fmt: skip
    bits = reinterpret(value, "int32", lanes) & integers(0x7FFFFFFF, lanes)
    # Bits of non-negative floats order as the floats do; one instruction on NEON too.
    cut = integers(unpack("<i", pack("<f", most))[0], lanes)
    return reinterpret(select(bits < cut, bits, cut), "float32", lanes)


def positive_part(value: Expr) -> Expr:
    """``max(value, 0)``, NaN of NaN: one instruction, for 16 lanes of AVX-512."""
    current = int32(4)  # the rounding in force
    zero = float32(0.0, _AVX512)
    return tirx.call_llvm_pure_intrin(value.ty, "llvm.x86.avx512.max.ps.512", zero, value, current)


def table_of(index: Expr, entries: Sequence[float]) -> Expr:
    """Of at most 32 `entries` those that the lowest five bits of the float32 `index` name (zero
    past the last): a permutation of two registers, for 16 lanes of AVX-512."""
    padded = [*entries, *[0.0] * (2 * _AVX512 - len(entries))]
    low, high = (
        tirx.Shuffle([float32(value) for value in half], list(range(_AVX512)))
        for half in (padded[:_AVX512], padded[_AVX512:])
    )
    bits = reinterpret(index, "int32", _AVX512)
    name = "llvm.x86.avx512.vpermi2var.ps.512"
    return tirx.call_llvm_pure_intrin(index.ty, name, low, bits, high)


_NEON, _AVX512 = 4, 16
"""Lanes of a vector; only x86 with AVX-512 has as many as 16."""


def _sum(a: Expr, b: Expr) -> Expr:
    if isinstance(a, int) and a == 0:
        return b
    if isinstance(b, int) and b == 0:
        return a
    return a + b


def _ramp(base: Expr, lanes: int) -> Expr:
    return int32(base) if lanes == 1 else tirx.Ramp(int32(base), int32(1), lanes)

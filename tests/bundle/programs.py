"""Small programs for the bundle's tests, with their results in numpy."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcompile.kernels.emit import Emitter
from efcompile.lowering.program import Buffer, Call, KernelFunction, Program
from efcompile.targets.host import detect_host
from efcompile.targets.resolve import resolve
from efcompile.targets.target import Target

Floats = NDArray[np.float32]
CHANNELS, SIDE = 24, 8
PIXELS = SIDE * SIDE
SHAPE = (1, CHANNELS, SIDE, SIDE)

HOST = detect_host()


def tiny_program(name: str = "tiny", target: Target = HOST, factor: float = 2.0) -> Program:
    """``y = x * w + reversed-by-pixel(x * w)`` and ``z = x * w``, a task per channel.

    It has what a model has: constants, an arena buffer, scratch, two outputs, a kernel that
    is called twice.
    """
    values = np.random.default_rng(7).standard_normal(SHAPE).astype(np.float32) * factor
    size = values.nbytes
    buffers = [
        Buffer("x", SHAPE, "float32", "input", 0),
        Buffer("w", SHAPE, "float32", "constant", 64),
        Buffer("one", SHAPE, "float32", "constant", 64 + size),
        Buffer("h", SHAPE, "float32", "arena", 128),
        Buffer("y", SHAPE, "float32", "output", 0),
        Buffer("z", SHAPE, "float32", "output", 1),
    ]
    multiply = KernelFunction("multiply", "affine", _multiply(), 3, 0)
    mirror = KernelFunction("mirror", "permute", _mirror(), 2, PIXELS * 4)

    def call(kernel: KernelFunction, *args: str) -> Call:
        return Call(kernel.symbol, args, CHANNELS, "test", (f"net.{kernel.symbol}",), 0, 0)

    return Program(
        name=name,
        target=target,
        buffers={buffer.name: buffer for buffer in buffers},
        constants={"w": values, "one": np.ones(SHAPE, np.float32)},
        kernels={kernel.symbol: kernel for kernel in (multiply, mirror)},
        calls=(
            call(multiply, "x", "w", "h"),
            call(mirror, "h", "y"),
            call(multiply, "h", "one", "z"),
        ),
        inputs=("x",),
        outputs=("y", "z"),
        arena_bytes=128 + size,
    )


def expected(program: Program, x: Floats) -> list[Floats]:
    """The outputs of `tiny_program`."""
    h = x * program.constants["w"]
    return [h + h.reshape(*SHAPE[:2], -1)[..., ::-1].reshape(SHAPE), h]


def sample(seed: int = 0) -> Floats:
    """An input."""
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def target_named(name: str) -> Target:
    """A target by alias."""
    return resolve(name)


def with_features(target: Target, *features: str) -> Target:
    """The target, asking for more of its CPU."""
    return replace(target, features=(*target.features, *features))


def _kernel(pointers: int, body: Callable[[Emitter, list[Any], Any, Any], None]) -> Any:
    """A PrimFunc of the raw signature; `body` emits one task."""
    e = Emitter()
    views = [e.pointer(f"p{i}") for i in range(pointers)]
    scratch = e.pointer("scratch")
    begin, end = e.integer("begin"), e.integer("end")
    with e.loop(end - begin, "t", begin) as task:
        body(e, views, scratch, task * PIXELS)
    return e.finish("unnamed")


def _multiply() -> Any:
    def body(e: Emitter, views: list[Any], scratch: Any, at: Any) -> None:
        a, b, out = views
        with e.loop(PIXELS // 4, "i") as i:
            here = at + i * 4
            e.store(out, here, e.load(a, here, 4) * e.load(b, here, 4), 4)

    return _kernel(3, body)


def _mirror() -> Any:
    def body(e: Emitter, views: list[Any], scratch: Any, at: Any) -> None:
        a, out = views
        with e.loop(PIXELS, "i") as i:
            e.store(scratch, (PIXELS - 1) - i, e.load(a, at + i))
        with e.loop(PIXELS, "j") as j:
            e.store(out, at + j, e.load(a, at + j) + e.load(scratch, j))

    return _kernel(2, body)

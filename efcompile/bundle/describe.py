"""A program in the words of its bundle's manifest."""

from importlib import metadata

from efcompile.bundle.abi import ABI
from efcompile.bundle.manifest import (
    FORMAT,
    ZEROS,
    CallEntry,
    FileEntry,
    KernelEntry,
    Manifest,
    PlanEntry,
    SizesEntry,
    TensorEntry,
)
from efcompile.bundle.names import identifier, kernel_symbol, layout
from efcompile.kernels.work import Work, work_of
from efcompile.lowering.program import Buffer, Call, KernelFunction, Program

_PACKAGES = ("efcompile", "apache-tvm", "apache-tvm-ffi", "torch", "numpy")
_COPIES = ("strided_copy", "gather")
"""Kernels that may touch only a part of their operand."""


def describe(
    program: Program,
    build_id: bytes,
    cpu_features: tuple[str, ...],
    files: dict[str, FileEntry],
    structure: str = "",
) -> Manifest:
    """The manifest of a bundle that holds `files`; its checksum is still zeros."""
    model = identifier(program.name)
    return Manifest(
        format=FORMAT,
        checksum=ZEROS,
        model=program.name,
        prefix=model,
        abi=ABI,
        build_id=build_id.hex(),
        versions=_versions(),
        target=program.target,
        cpu_features=cpu_features,
        inputs=tuple(_tensor(program.buffers[name]) for name in program.inputs),
        outputs=tuple(_tensor(program.buffers[name]) for name in program.outputs),
        structure=structure,
        sizes=SizesEntry(
            arena=program.arena_bytes,
            scratch=program.scratch_bytes,
            weights=program.weight_bytes,
            library=_library_bytes(files),
        ),
        kernels=tuple(_kernel(program, model, symbol) for symbol in program.kernels),
        calls=tuple(_call(program, call) for call in program.calls),
        plan=_plan(program),
        leftovers=program.leftovers,
        files=files,
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a source tree that is not installed
            found[package] = "unknown"
    return found


def _tensor(buffer: Buffer) -> TensorEntry:
    return TensorEntry(
        name=buffer.name,
        dtype=buffer.dtype,
        layout=layout(buffer.shape),
        dims=buffer.shape,
        bytes=buffer.bytes,
    )


def _kernel(program: Program, model: str, symbol: str) -> KernelEntry:
    calls = [call for call in program.calls if call.symbol == symbol]
    return KernelEntry(
        name=program.kernels[symbol].kernel,
        symbol=kernel_symbol(model, symbol),
        calls=len(calls),
        flops=sum(call.flops for call in calls),
        bytes=sum(call.bytes for call in calls),
        sources=tuple(dict.fromkeys(source for call in calls for source in call.sources)),
        work=known_work(program.kernels[symbol]),
        knobs=program.kernels[symbol].origin,
    )


def known_work(kernel: KernelFunction) -> Work:
    """What a call of `kernel` must do; of one without a shape, such as leftovers, nothing is
    known but its memory traffic."""
    return Work() if kernel.shape is None else work_of(kernel.kernel, kernel.shape)


def operand_bytes(program: Program, call: Call) -> tuple[int, int]:
    """The bytes of constants that a call reads, and of all else that it reads and writes, each
    byte once."""
    kernel = program.kernels[call.symbol]
    buffers = [program.buffers[name] for name in dict.fromkeys(call.args)]
    constants = sum(b.bytes for b in buffers if b.kind == "constant")
    touched = sum(b.bytes for b in buffers if b.kind != "constant")
    if kernel.kernel in _COPIES and kernel.shape is not None:
        work = known_work(kernel)
        touched = min(touched, int(4 * (work.loads + work.stores)))
    return constants, touched


def _call(program: Program, call: Call) -> CallEntry:
    weight_bytes, activation_bytes = operand_bytes(program, call)
    return CallEntry(
        kernel=list(program.kernels).index(call.symbol),
        op=call.op,
        sources=call.sources,
        flops=call.flops,
        bytes=call.bytes,
        weight_bytes=weight_bytes,
        activation_bytes=activation_bytes,
    )


def _plan(program: Program) -> tuple[PlanEntry, ...]:
    """The arena's tensors in the order of their first write."""
    touched: dict[str, list[int]] = {}
    for index, call in enumerate(program.calls):
        for name in call.args:
            if program.buffers[name].kind == "arena":
                touched.setdefault(name, []).append(index)
    return tuple(
        PlanEntry(
            name=name,
            offset=program.buffers[name].offset,
            bytes=program.buffers[name].bytes,
            first=calls[0],
            last=calls[-1],
        )
        for name, calls in touched.items()
    )


def _library_bytes(files: dict[str, FileEntry]) -> int:
    for suffix in (".so", ".a", ".o"):
        sizes = [entry.bytes for name, entry in files.items() if name.endswith(suffix)]
        if sizes:
            return max(sizes)
    return files["bench"].bytes if "bench" in files else 0

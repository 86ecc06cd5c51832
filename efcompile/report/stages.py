"""Stages as bundles: every distinct program is built once, and checked before it is measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.fx import GraphModule

from efcompile.bundle import sample
from efcompile.bundle.build import Part
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.bundle.write import write_bundle
from efcompile.compiler import lower_stage
from efcompile.devices.device import Device
from efcompile.errors import DeviceError, ParityError
from efcompile.passes.verification import run_graph
from efcompile.report.same_program import digest
from efcompile.report.subject import Subject
from efcompile.targets.target import Target


@dataclass(frozen=True, eq=False)
class Built:
    """A program as a bundle, and what is known of it without running it.

    `label` is the first stage's that has this program, and unlike any other's.  `calls` counts
    kernel calls, `flops` and `moved_bytes` add up their nominal costs, `leftovers` are the
    operations that no kernel of ours takes.
    """

    label: str
    bundle: Bundle
    calls: int
    flops: int
    moved_bytes: int
    arena_bytes: int
    leftovers: tuple[str, ...]

    @property
    def bundle_bytes(self) -> int:
        """What an application ships: the shared library and the weights."""
        manifest = self.bundle.manifest
        return manifest.sizes.library + manifest.files["weights.bin"].bytes


@dataclass
class Stages:
    """Builds stages of `subject` for `target` into `folder`, and checks them on `device`.

    Raises what `check_runs` does.
    """

    subject: Subject
    target: Target
    device: Device
    threads: int
    folder: Path
    _by_graph: dict[GraphModule, Built] = field(default_factory=dict)
    _by_digest: dict[bytes, Built] = field(default_factory=dict)
    _wanted: dict[GraphModule, list[NDArray[Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_runs(self.device, self.target)

    @property
    def distinct(self) -> tuple[Built, ...]:
        """Everything built so far."""
        return tuple(self._by_digest.values())

    def build(self, label: str, graph_module: GraphModule, judge: GraphModule) -> Built:
        """The stage `graph_module`; the same object for stages whose programs are the same.

        A new one is run on the example inputs and held against the graph `judge` in eager
        PyTorch.  Raises `ParityError` with `label` if it differs by more than
        `efcompile.bundle.sample.TOLERANCE`, and what lowering and bundling raise.
        """
        known = self._by_graph.get(graph_module)
        if known is None:
            known = self._build(label, graph_module, judge)
            self._by_graph[graph_module] = known
        return known

    def _build(self, label: str, graph_module: GraphModule, judge: GraphModule) -> Built:
        subject = self.subject
        inputs = subject.captured.example_inputs
        program = lower_stage(
            graph_module, inputs, self.target, subject.name, subject.knobs, verify=False
        )
        key = digest(program)
        if key in self._by_digest:
            return self._by_digest[key]
        given, wanted = _arrays(inputs), self._expected(judge)
        path = write_bundle(
            program,
            self.folder / str(len(self._by_digest)),
            parts=_parts(self.device),
            attachments={sample.NAME: sample.dump(given, wanted)},
        )
        built = Built(
            label=self._unused(label),
            bundle=load_bundle(path),
            calls=len(program.calls),
            flops=sum(call.flops for call in program.calls),
            moved_bytes=sum(call.bytes for call in program.calls),
            arena_bytes=program.arena_bytes,
            leftovers=program.leftovers,
        )
        self._check(built, given, wanted)
        self._by_digest[key] = built
        return built

    def _unused(self, label: str) -> str:
        """A pass may stand in a pipeline twice."""
        same = sum(built.label.partition(" #")[0] == label for built in self.distinct)
        return f"{label} #{same + 1}" if same else label

    def _expected(self, judge: GraphModule) -> list[NDArray[Any]]:
        if judge not in self._wanted:
            outputs = run_graph(judge, self.subject.captured.example_inputs)
            self._wanted[judge] = _arrays(outputs)
        return self._wanted[judge]

    def _check(self, built: Built, given: list[Any], wanted: list[Any]) -> None:
        got = self.device.run(built.bundle, given, threads=self.threads)
        error = sample.relative_error(got, wanted)
        if not error <= sample.TOLERANCE:
            raise ParityError(
                f"{self.subject.name}, stage {built.label}: the bundle for {self.target.name} "
                f"differs from eager PyTorch by {error:.2e} of the output's scale on "
                f"{self.device.name} (limit {sample.TOLERANCE:.0e}), so it was not measured; "
                "the graph itself was right, so a kernel is wrong: please report it"
            )


def check_runs(device: Device, target: Target) -> None:
    """Raise `DeviceError` if the device is not available or cannot run code for `target`."""
    if reason := device.unavailable():
        raise DeviceError(reason)
    if reason := device.refuses(target):
        raise DeviceError(f"{device.name}: {reason}; choose another device or target")


def _parts(device: Device) -> tuple[Part, ...]:
    """The library is what ships, so every stage has it; the emulator runs the benchmark."""
    return ("shared",) if device.name == "local" else ("shared", "bench")


def _arrays(tensors: Sequence[Any]) -> list[NDArray[Any]]:
    return [np.asarray(tensor.detach().cpu().numpy()) for tensor in tensors]

"""The gate's decisions in a file: which passes to leave out of which model for which target.

TOML, a table per decision, made to be committed beside the model's code.  A decision is about one
model at one size, compiled for one target and CPU by one set of versions, measured on one device;
it says nothing about any other, and asking a lock about one it has no decision on is an error.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from efcompile import __version__
from efcompile.errors import ReportError
from efcompile.passes.base import Pass
from efcompile.passes.legalise import Legalise
from efcompile.report.document import Report
from efcompile.report.files import write_text
from efcompile.targets.target import Target
from efcompile.tvm_api import installed_versions

VERSION: Literal[1] = 1
HEADER = """\
# Decisions of `efcompile report --gate`, obeyed by `--lock FILE`. Made by a program: to change one,
# gate again.

"""
DEVICES = ("local", "adb", "rpc", "qemu")
"""Whose decision is taken where several have one: times before counts."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LeftOut(_Strict):
    """A pass that is left out, and why."""

    name: str
    reason: str


class Decision(_Strict):
    """What the gate decided.

    It is about `model` with `inputs` (shapes as ``1x3x224x224``), for `target` and `cpu`, on
    `device`, by `versions`; the rest says how it came about.
    """

    model: str
    inputs: list[str]
    target: str
    cpu: str
    device: str
    versions: dict[str, str]
    gate: list[str]
    threads: int
    date: str
    left_out: list[LeftOut] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The passes to leave out."""
        return tuple(entry.name for entry in self.left_out)

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for decisions of which one file holds the last one."""
        versions = sorted(self.versions.items())
        return (self.model, self.inputs, self.target, self.cpu, self.device, versions)


class _Lock(_Strict):
    version: Literal[1]
    decision: list[Decision] = []


def decision_of(
    report: Report, target: Target, gate: Sequence[str], left_out: Sequence[LeftOut]
) -> Decision:
    """The decision that a gated `report` for `target` records."""
    where = report.provenances[report.ledger.whole.provenance]
    return Decision(
        model=report.model,
        inputs=[_shape(shape) for shape in report.input_shapes],
        target=target.name,
        cpu=target.cpu,
        device=where.device,
        versions=compiler_versions(),
        gate=list(gate),
        threads=where.threads,
        date=where.date,
        left_out=list(left_out),
    )


def compiler_versions() -> dict[str, str]:
    """What decides which code comes out: efcompile and TVM.  PyTorch only traces the model."""
    return {"efcompile": __version__, **installed_versions()}


def write_lock(decision: Decision, path: Path) -> None:
    """Put `decision` into the lock at `path` in one step; others there stay, one about the same
    is replaced.  Raises `ReportError` if there is another kind of file, or it cannot be written.
    """
    others = read_lock(path) if path.exists() else []
    kept = [entry for entry in others if entry.key != decision.key]
    entries = sorted([*kept, decision], key=lambda entry: repr(entry.key))
    lock = _Lock(version=VERSION, decision=entries)
    write_text(HEADER + tomli_w.dumps(lock.model_dump()), path)


def read_lock(path: Path) -> list[Decision]:
    """All decisions of a lock; `ReportError` saying what is wrong with the file."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(
            f"cannot read the lock {path}: {error.strerror or error}; "
            "`efcompile report ... --gate latency,numerics --lock FILE` writes one"
        ) from error
    except ValueError as error:
        raise ReportError(f"the lock {path} is damaged: it is not TOML ({error})") from error
    if document.get("version") != VERSION:
        raise ReportError(
            f"{path} is no lock of version {VERSION}, which this efcompile reads (it says "
            f"version {document.get('version', 'nothing')}): gate again"
        )
    try:
        return _Lock.model_validate(document).decision
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReportError(f"the lock {path} is damaged: {place}: {first['msg']}") from error


def find_decision(
    path: Path,
    model: str,
    inputs: Sequence[Sequence[int]],
    target: Target,
) -> Decision:
    """The lock's decision on `model` with inputs of these shapes for `target`, made by the
    versions installed here; of several devices', that of the first of `DEVICES`.

    Raises `ReportError` naming what the lock does decide on if there is none.
    """
    decisions = read_lock(path)
    asked: dict[str, Any] = {
        "model": model,
        "inputs": [_shape(shape) for shape in inputs],
        "target": target.name,
        "cpu": target.cpu,
        "versions": compiler_versions(),
    }
    left = decisions
    for what, wanted in asked.items():
        fitting = [entry for entry in left if getattr(entry, what) == wanted]
        if not fitting:
            raise ReportError(_does_not_apply(path, what, wanted, left))
        left = fitting
    known = {entry.device: entry for entry in left}
    return next((known[name] for name in DEVICES if name in known), left[0])


def _does_not_apply(path: Path, what: str, wanted: Any, left: Sequence[Decision]) -> str:
    have = sorted({_text(getattr(entry, what)) for entry in left})
    return (
        f"the lock {path} does not apply: it decides on {what} {'; '.join(have) or 'nothing'}, "
        f"and this is {_text(wanted)}. Gate again with `efcompile report ... --gate "
        f"latency,numerics --lock {path}`, or leave out --lock"
    )


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(value)
    return str(value)


def _shape(dims: Sequence[int]) -> str:
    return "x".join(str(d) for d in dims)


def obey(decision: Decision, pipeline: Sequence[Pass], path: Path) -> tuple[Pass, ...]:
    """`pipeline` without the passes that `decision`, read from `path`, leaves out.

    Raises `ReportError` if it leaves out what lowering requires.
    """
    if Legalise.name in decision.names:
        raise ReportError(
            f"the lock {path} leaves out {Legalise.name}, without which nothing has a kernel: "
            "no gate decides that, so the file was changed; gate again"
        )
    return tuple(step for step in pipeline if step.name not in decision.names)

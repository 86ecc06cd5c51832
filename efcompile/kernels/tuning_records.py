"""The winners in a user's folder: what tuning wrote there, or what a bundle was made with.

A folder of records, ``efcompile tune --work-dir``, has one of its own for every class of targets,
real and emulated devices apart::

    W/measured/<class>/winners.json           times on hardware
    W/emulated/<class>/winners.json           instructions, counted under emulation
    W/emulated-times/<class>/winners.json     times under emulation, which mean nothing: rehearsals

A bundle has the winners that its kernels were built with in ``tuning.json``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from efcompile.errors import InputError, TuningError
from efcompile.kernels.knob_source import FOLDER, KnobSource, knob_source
from efcompile.kernels.tuned import FORMAT, Kind, TargetClass, Winners, read_model, text_of
from efcompile.targets.target import Target

WINNERS = "winners.json"
ATTACHMENT = "tuning.json"
"""The bundle's file."""


class Attachment(BaseModel):
    """The winners that a bundle was made with, by where they were found, the most important
    first."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = FORMAT
    used: tuple[Winners, ...]

    def dump(self) -> bytes:
        """The file's content."""
        return text_of(self.model_dump(mode="json")).encode()


@dataclass(frozen=True)
class Knobs:
    """Where the knobs of a compilation come from, and what its user should be told of that."""

    source: KnobSource
    notes: tuple[str, ...] = ()


def winners_file(folder: Path, kind: Kind, target: Target, unit: str = "instructions") -> Path:
    """Where the winners of `target`'s class are in a folder of records.  What is emulated is kept
    by its `unit`, ``instructions`` or ``ns``: the two cannot be compared."""
    name = "emulated-times" if (kind, unit) == ("emulated", "ns") else kind
    return folder / name / TargetClass.of(target).name / WINNERS


def related_winners(folder: Path, kind: Kind, target: Target) -> tuple[Winners, ...]:
    """The winners of other classes in a folder of records, and of those that ship with the
    package, which are worth trying first on `target`.  Raises `TuningError` for a damaged file."""
    found = [Winners.load(path) for path in (*_paths(folder, kind), *sorted(FOLDER.glob("*.json")))]
    return tuple(w for w in found if w.related_to(target) and not w.applies_to(target))


def find_knobs(
    target: Target,
    records: str | Path | None = None,
    *,
    emulated: bool = False,
    tuned: bool = True,
) -> Knobs:
    """The knobs to compile for `target` with: the winners in `records`, a folder that tuning or a
    bundle left, over those that ship with the package; not `tuned`: the analytic defaults alone.
    Of a folder that has both, `emulated` takes those found under emulation, not the measured ones.

    Records of this CPU's instruction set but of another class are not used, which `Knobs.notes`
    says.  Raises `TuningError` if there are none of this instruction set, or a file is damaged,
    and `InputError` for arguments that contradict each other.
    """
    if not tuned:
        if records is not None or emulated:
            raise InputError("tuning records cannot be used and left aside: give one of the two")
        return Knobs(knob_source(shipped=False))
    if records is None:
        if emulated:
            raise InputError("emulated records are of a folder: name it as the tuning records")
        return Knobs(knob_source())
    folder = Path(records)
    every = _read(folder)
    kind: Kind = "emulated" if emulated else "measured"
    wanted = [winners for winners in every if winners.kind == kind]
    if not any(winners.target.arch == target.arch for winners in wanted):
        raise TuningError(_nothing(folder, every, kind, target))
    fitting = [winners for winners in wanted if winners.applies_to(target)]
    if not fitting:
        here = TargetClass.of(target).name
        note = f"{folder} has no {kind} records of {here}, so none were used; {_classes(wanted)}"
        return Knobs(knob_source(), (note,))
    return Knobs(knob_source(fitting))


def _read(folder: Path) -> list[Winners]:
    """Everything in a folder of records, or in a bundle."""
    if not folder.is_dir():
        raise TuningError(
            f"{folder} is no folder of tuning records: give the --work-dir of `efcompile tune`, or "
            "a bundle"
        )
    if (folder / ATTACHMENT).exists():
        return list(read_model(Attachment, folder / ATTACHMENT).used)
    return [Winners.load(path) for kind in get_args(Kind) for path in _paths(folder, kind)]


def _paths(folder: Path, kind: Kind) -> list[Path]:
    """The files of one kind, the most important first: instructions tell more than the times of
    an emulator."""
    names = (kind, "emulated-times") if kind == "emulated" else (kind,)
    return [path for name in names for path in sorted(folder.glob(f"{name}/*/{WINNERS}"))]


def _nothing(folder: Path, every: list[Winners], kind: Kind, target: Target) -> str:
    other: Kind = "measured" if kind == "emulated" else "emulated"
    text = f"{folder} has no {kind} tuning records for {target.arch}; {_classes(every)}. "
    if any(w.kind == other and w.applies_to(target) for w in every):
        option = "add" if other == "emulated" else "leave out"
        return f"{text}To use the {other} ones {option} --emulated-records (emulated_records)"
    return f"{text}Tune first: `efcompile tune MODEL --target {target.name} --work-dir {folder}`"


def _classes(winners: list[Winners]) -> str:
    names = sorted({f"{w.target.name} ({w.kind})" for w in winners})
    return f"it has {', '.join(names)}" if names else "it has none at all"

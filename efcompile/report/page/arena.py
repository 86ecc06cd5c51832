"""Memory over the plan: every tensor a rectangle, calls to the right, the arena upwards."""

from dataclasses import dataclass

from efcompile.report.digest import stage_name
from efcompile.report.document import Profile, Report, Tensor
from efcompile.report.page.breakdown import SURVEY_CLASSES, colour_of
from efcompile.report.units import human

LARGEST = 10
"""Tensors named in the table under the charts."""


@dataclass(frozen=True)
class Block:
    """A tensor: its rectangle in percent of the chart, from its top left corner; the colour of
    the kernel class that writes it, and what to say of it."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    title: str


@dataclass(frozen=True)
class Plan:
    """A stage's memory plan, drawn on the scale of the largest arena; `top` is its own arena's
    upper edge in percent from above."""

    stage: str
    calls: int
    arena: str
    tensors: int
    top: float
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Large:
    """A tensor of the last stage for the table."""

    name: str
    text: str
    bytes: int
    calls: str


def plans(report: Report) -> tuple[Plan, ...]:
    """One for each profile that has tensors."""
    found = [profile for profile in report.profiles if profile.tensors]
    highest = max((_top(profile) for profile in found), default=1)
    return tuple(_plan(stage_name(report, profile.stage), profile, highest) for profile in found)


def largest(report: Report) -> tuple[Large, ...]:
    """The largest tensors of the last stage."""
    if not report.profiles:
        return ()
    tensors = sorted(report.profiles[-1].tensors, key=lambda tensor: -tensor.bytes)[:LARGEST]
    return tuple(
        Large(tensor.name, human(tensor.bytes, "bytes"), tensor.bytes, _calls(tensor))
        for tensor in tensors
    )


def _plan(stage: str, profile: Profile, highest: int) -> Plan:
    calls = 1 + max(
        len(profile.kernels) - 1,
        max(tensor.last for tensor in profile.tensors),
    )
    colours = {kernel.index: colour_of(kernel) for kernel in profile.kernels}
    return Plan(
        stage=stage,
        calls=calls,
        arena=human(profile.arena_bytes, "bytes"),
        tensors=len(profile.tensors),
        top=_percent(highest - profile.arena_bytes, highest),
        blocks=tuple(_block(tensor, calls, highest, colours) for tensor in profile.tensors),
    )


def _block(tensor: Tensor, calls: int, highest: int, colours: dict[int, int]) -> Block:
    return Block(
        x=_percent(tensor.first, calls),
        y=_percent(highest - tensor.offset - tensor.bytes, highest),
        width=_percent(tensor.last - tensor.first + 1, calls),
        height=_percent(tensor.bytes, highest),
        colour=colours.get(tensor.first, SURVEY_CLASSES.index("other")),
        title=f"{tensor.name}: {human(tensor.bytes, 'bytes')} ({tensor.bytes:,} bytes at "
        f"{tensor.offset:,}), {_calls(tensor)}",
    )


def _calls(tensor: Tensor) -> str:
    if tensor.first == tensor.last:
        return f"call {tensor.first}"
    return f"calls {tensor.first} to {tensor.last}"


def _top(profile: Profile) -> int:
    ends = [tensor.offset + tensor.bytes for tensor in profile.tensors]
    return max(1, profile.arena_bytes, *ends)


def _percent(part: float, whole: float) -> float:
    return round(100 * min(max(part / whole, 0.0), 1.0), 3)

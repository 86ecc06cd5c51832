"""Numbers for people: three digits and a fitting unit; exact ones where there is room."""

import math
from dataclasses import dataclass

from efcompile.report.document import Figure, Provenance

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"

_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "ns": ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")),
    "instructions": ((1e9, "G instr"), (1e6, "M instr"), (1e3, "K instr"), (1, "instr")),
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1, "B")),
    "FLOP": ((1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "KFLOP"), (1, "FLOP")),
    "FLOP/s": ((1e12, "TFLOP/s"), (1e9, "GFLOP/s"), (1e6, "MFLOP/s"), (1, "FLOP/s")),
    "B/s": ((1e9, "GB/s"), (1e6, "MB/s"), (1e3, "KB/s"), (1, "B/s")),
}


@dataclass(frozen=True)
class Scale:
    """A unit to print in: `name` is `factor` of the unit of `Figure`, with `digits` decimals."""

    factor: float
    name: str
    digits: int

    def number(self, value: float, *, signed: bool = False) -> str:
        """`value` without the unit; `signed` puts a plus before what is above zero."""
        text = f"{abs(value) / self.factor:,.{self.digits}f}"
        if not any(digit in text for digit in "123456789"):
            return text  # no minus before a zero
        return f"{MINUS if value < 0 else '+' if signed else ''}{text}"

    def text(self, value: float, *, signed: bool = False) -> str:
        """`value` with the unit."""
        return f"{self.number(value, signed=signed)} {self.name}"


def scale_for(unit: str, *values: float) -> Scale:
    """The scale that gives the largest of `values` three digits; `unit` is one of `Figure`'s, or
    ``FLOP``."""
    largest = max((abs(value) for value in values), default=0.0)
    scales = _SCALES[unit]
    # 999.96 ms would be printed as 1,000 ms: what rounds up to the next unit takes it.
    factor, name = next((scale for scale in scales if largest >= 0.9995 * scale[0]), scales[-1])
    if factor == 1 and all(value == int(value) for value in values):
        return Scale(factor, name, 0)
    whole_digits = 1 + math.floor(math.log10(max(largest / factor * 1.0005, 1.0)))
    return Scale(factor, name, max(0, 3 - whole_digits))


def human(value: float, unit: str, *, signed: bool = False) -> str:
    """`value` in a fitting unit: ``12.3 ms``, ``441 M instr``, ``1.80 MB``."""
    return scale_for(unit, value).text(value, signed=signed)


def interval(figure: Figure, scale: Scale, *, signed: bool = False) -> str:
    """``-1.31 to -1.02``: the interval alone, without unit; empty for an exact figure."""
    if is_exact(figure):
        return ""
    low, high = (scale.number(end, signed=signed) for end in (figure.low, figure.high))
    return f"{low} to {high}"


def is_exact(figure: Figure) -> bool:
    """Whether a figure is its own interval: counted, not sampled."""
    return figure.low == figure.high == figure.value


def exact(figure: Figure, provenance: Provenance) -> str:
    """All that there is to say of a figure in one line."""
    text = f"{_plain(figure.value)} {figure.unit}"
    if not is_exact(figure):
        text += f" ({_plain(figure.low)} to {_plain(figure.high)})"
    samples = "1 sample" if figure.samples == 1 else f"{figure.samples:,} samples"
    return f"{text}; {samples}, {where(provenance)}"


def where(provenance: Provenance) -> str:
    """``measured on local, 1 thread``."""
    threads = "1 thread" if provenance.threads == 1 else f"{provenance.threads} threads"
    return f"{provenance.kind} on {provenance.device}, {threads}"


def percent(share: float, digits: int = 0) -> str:
    """``37 %`` of a share of 0.37; with a minus below zero."""
    text = f"{abs(share) * 100:.{digits}f}"
    return f"{MINUS if share < 0 and text.strip('0.') else ''}{text} %"


def error(value: float) -> str:
    """A deviation: ``3.9e-06``; a plain ``0`` where there is none."""
    return f"{value:.1e}" if value else "0"


def _plain(value: float) -> str:
    text = f"{abs(value):,.0f}" if value == int(value) else f"{abs(value):,.1f}"
    return f"{MINUS if value < 0 else ''}{text}"

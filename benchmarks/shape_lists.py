"""Shape lists: the distinct kernels of a model, as a file named after it.

``shapes/<model>.json`` holds a line per kernel: its name, its `Shape` (everything that
decides the code, operands aside) and how often the model calls it, in the network's order.
They do not depend on the target.
"""

import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypedDict

from efcompile.lowering.program import Program

FOLDER = Path(__file__).parent / "shapes"


class Entry(TypedDict):
    """A distinct kernel; `shape` is None for leftovers, which have none."""

    kernel: str
    calls: int
    shape: dict[str, Any] | None


def shape_list(program: Program) -> list[Entry]:
    """The distinct kernels of a program, as JSON reads them back."""
    counts: dict[str, int] = {}
    for call in program.calls:
        counts[call.symbol] = counts.get(call.symbol, 0) + 1
    entries = []
    for symbol, calls in counts.items():
        kernel = program.kernels[symbol]
        shape = None if kernel.shape is None else json.loads(json.dumps(asdict(kernel.shape)))
        entries.append(Entry(kernel=kernel.kernel, calls=calls, shape=shape))
    return entries


def path_of(title: str) -> Path:
    """The file of a model, by the name its bundles have."""
    return FOLDER / f"{title}.json"


def write(title: str, entries: list[Entry]) -> Path:
    """Write a model's list, one kernel a line."""
    path = path_of(title)
    path.parent.mkdir(exist_ok=True)
    lines = ",\n ".join(json.dumps(entry) for entry in entries)
    path.write_text(f"[{lines}]\n")
    return path


def read(title: str) -> list[Entry]:
    """A model's list."""
    entries: list[Entry] = json.loads(path_of(title).read_text())
    return entries


def describe(shape: Any) -> str:
    """A shape in a few words: the fields that are numbers, and what is switched on."""
    if shape is None:
        return "-"
    words = []
    for field in fields(shape):
        value = getattr(shape, field.name)
        if isinstance(value, bool):
            words += [field.name] if value else []
        elif field.name in _LAYOUT or value is None or value == _USUAL.get(field.name, "none"):
            continue
        elif is_dataclass(value) or isinstance(value, tuple):
            words.append(f"{field.name}={_numbers(value)}")
        elif isinstance(value, float):
            words.append(f"{field.name}={value:.3g}")
        else:
            words.append(f"{field.name}={value}")
    return " ".join(words)


_LAYOUT = frozenset({"q_view", "k_view", "v_view", "extents", "dtype", "eps"})
"""Fields that say little at a glance."""


_USUAL = {
    "batch": 1,
    "images": 1,
    "groups": 1,
    "scale": 1.0,
    "dilation": (1, 1),
}
"""Values not worth a word."""


def _numbers(value: Any) -> str:
    if is_dataclass(value):
        value = tuple(getattr(value, field.name) for field in fields(value))
    if not isinstance(value, tuple):
        return str(value)
    nested = any(isinstance(part, tuple) or is_dataclass(part) for part in value)
    return ("," if nested else "x").join(map(_numbers, value))

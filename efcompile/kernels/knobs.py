"""Knobs as plain data: nested frozen dataclasses of integers and booleans, by dotted path."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from efcompile.errors import TuningError

K = TypeVar("K")


def flatten(knobs: Any) -> dict[str, int]:
    """Every leaf of `knobs` by its path, booleans as 0 and 1:
    ``{"tile.rows": 9, "tile.lane_a": 0, "task_row_tiles": 4}``."""
    leaves: dict[str, int] = {}
    for field in fields(knobs):
        value = getattr(knobs, field.name)
        if is_dataclass(value):
            leaves |= {f"{field.name}.{path}": leaf for path, leaf in flatten(value).items()}
        else:
            leaves[field.name] = int(value)
    return leaves


def with_values(knobs: K, values: Mapping[str, int]) -> K:
    """`knobs` with the leaves at those paths replaced.

    Raises `TuningError` for a path that these knobs do not have.
    """
    known = flatten(knobs)
    unknown = sorted(values.keys() - known.keys())
    if unknown:
        raise TuningError(
            f"{type(knobs).__module__}.{type(knobs).__qualname__} has no knob "
            f"{', '.join(unknown)}; it has {', '.join(known)}"
        )
    replaced: K = _replaced(knobs, values)
    return replaced


def _replaced(knobs: Any, values: Mapping[str, int]) -> Any:
    changed: dict[str, Any] = {}
    for field in fields(knobs):
        value = getattr(knobs, field.name)
        if is_dataclass(value):
            prefix = f"{field.name}."
            inner = {
                path.removeprefix(prefix): leaf
                for path, leaf in values.items()
                if path.startswith(prefix)
            }
            changed[field.name] = _replaced(value, inner)
        elif field.name in values:
            # A boolean stays one: knobs are compared, and named by their text.
            changed[field.name] = type(value)(values[field.name])
    return replace(knobs, **changed)

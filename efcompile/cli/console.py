"""Where output goes: results to stdout, everything said along the way to stderr."""

import json
import sys
from typing import Any

from rich.console import Console

# Tables in a file or a pipe are not squeezed into the 80 columns that rich would assume.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line of what happens along the way, as it is, on stderr."""
    err.print(text, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2))


def ms(nanoseconds: float) -> str:
    """A duration for people."""
    return f"{nanoseconds / 1e6:.2f} ms"


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"

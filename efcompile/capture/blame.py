"""Where in the user's code an exception came from."""

import linecache
import sysconfig
from pathlib import Path
from types import FrameType, TracebackType

import torch
from torch import nn


def first_line(error: Exception) -> str:
    """The first line of an exception's message, or its type if it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def place_of(error: Exception, model: nn.Module) -> str:
    """`` (in submodule PATH, at FILE:LINE: CODE)``: the innermost submodule of `model` and line
    of code outside torch and the standard library that `error` passed through; "" if none."""
    paths = {id(module): path for path, module in model.named_modules()}
    parts = []
    frames = _frames(error.__traceback__)
    for frame, _ in reversed(frames):
        path = paths.get(id(frame.f_locals.get("self")))
        if path is not None:
            parts.append(f"in submodule {path}" if path else f"in {type(model).__name__}")
            break
    for frame, line in reversed(frames):
        name = frame.f_code.co_filename
        if not _is_library(name):
            parts.append(f"at {Path(name).name}:{line}: {linecache.getline(name, line).strip()}")
            break
    return f" ({', '.join(parts)})" if parts else ""


def _frames(step: TracebackType | None) -> list[tuple[FrameType, int]]:
    found = []
    while step is not None:
        found.append((step.tb_frame, step.tb_lineno))
        step = step.tb_next
    return found


def _is_library(filename: str) -> bool:
    """Whether a file belongs to torch, the standard library, or this package."""
    inside = (Path(torch.__file__).parent, Path(__file__).parent)
    standard = Path(sysconfig.get_paths()["stdlib"])
    path = Path(filename)
    if filename.startswith("<") or any(path.is_relative_to(folder) for folder in inside):
        return True
    return path.is_relative_to(standard) and "site-packages" not in path.parts

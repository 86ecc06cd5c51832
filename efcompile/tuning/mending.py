"""Damaged database files: what can be kept is kept, in its place.

A record points at its workload by that one's line number.  So a workload line that cannot be
read is replaced by a stand-in, its records go, and every other line stays where it is; a record
line that cannot be read goes.  MetaSchedule itself refuses the whole database for one bad line,
and a last line that was half-written would swallow the next one.
"""

import itertools
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efcompile import tvm_api

_SHOWN = 5


def mend(workloads: Path, records: Path) -> None:
    """Make both files readable for MetaSchedule, with one warning for each that was damaged; the
    damaged file is kept beside as ``<name>.damaged``."""
    kept: list[str] = []
    modules: list[Any] = []
    bad: list[int] = []
    for number, line in enumerate(_lines(workloads), 1):
        module = _workload(line)
        if module is None:
            bad.append(number)
            kept.append(json.dumps(_stand_in(number).as_json()))
        else:
            kept.append(line)
        modules.append(module)
    _rewrite(workloads, kept, bad, "what was recorded for them is left out")

    kept, bad = [], []
    orphans = 0
    for number, line in enumerate(_lines(records), 1):
        place = _record(line, modules)
        if place is None:
            bad.append(number)
        elif modules[place] is None:
            orphans += 1
        else:
            kept.append(line)
    _rewrite(records, kept, bad, "they are left out", also=orphans)


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    # Bytes that are no text must not stop us: such a line is damaged like any other.
    text = path.read_bytes().decode("utf-8", "replace")
    return text.removesuffix("\n").split("\n") if text else []


def _json(line: str) -> Any:
    # Python reads NaN and Infinity, which are no JSON and which TVM refuses.
    return json.loads(line, parse_constant=lambda name: int(name))


def _workload(line: str) -> Any | None:
    """The workload in a line, or None if it is damaged."""
    try:
        return tvm_api.meta_schedule().database.Workload.from_json(_json(line))
    except Exception:  # whatever of the many things TVM raises for what is no workload
        return None


def _record(line: str, workloads: Sequence[Any | None]) -> int | None:
    """Where the workload of the record in a line stands, or None if the line is damaged."""
    try:
        place, record = _json(line)
        if not isinstance(place, int) or not 0 <= place < len(workloads):
            return None
        if workloads[place] is not None:
            # Parsing replays the trace: what passes here passes when the database is opened.
            tvm_api.meta_schedule().database.TuningRecord.from_json(record, workloads[place])
    except Exception:  # see _workload
        return None
    return place


def _stand_in(number: int) -> Any:
    """A workload that is no kernel's, and unlike that of any other line."""
    te = tvm_api.te
    x = te.placeholder((1,), name="x")
    function = te.create_prim_func([x, te.compute((1,), lambda i: x[i], name="y")])
    named = function.with_attr("efcompile.damaged_line", number)
    return tvm_api.meta_schedule().database.Workload(tvm_api.tvm.IRModule({"main": named}))


def _rewrite(path: Path, lines: list[str], bad: list[int], result: str, also: int = 0) -> None:
    """Put `lines` into `path`, if its `bad` ones or `also` others had to go."""
    if not path.exists():
        return
    text = "".join(f"{line}\n" for line in lines)
    if not bad and not also:
        if path.read_bytes() != text.encode():
            # Only the end of the last line can differ.
            _replace(path, text)
        return
    aside = _free(f"{path}.damaged")
    shutil.copyfile(path, aside)
    _replace(path, text)
    if bad:
        shown = ", ".join(map(str, bad[:_SHOWN])) + (", ..." if len(bad) > _SHOWN else "")
        warnings.warn(
            f"{path}: {len(bad)} damaged line(s) ({shown}); {result}, the rest is used; "
            f"the file as it was is kept as {aside.name}",
            stacklevel=5,
        )


def _free(name: str) -> Path:
    """`name`, or if that is taken ``<name>-2`` and so on."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for path in map(Path, names) if not path.exists())


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise

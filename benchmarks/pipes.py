"""What binds a loop on an arm64 core, by llvm-mca's model of it.

LLVM describes few phone cores.  Each is analysed with the model of its closest relative that
LLVM has, and with its own width where the model's is a formality:

- Cortex-A55: its own; it issues two 128-bit multiply-adds a cycle, the core one.
- Cortex-A76: Neoverse N1, the same core for servers.
- Cortex-X1: Neoverse V1, the same core for servers with SVE.
- Apple A14: Cyclone's, which is all LLVM has of Apple: three vector pipes, the core has four.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from benchmarks.loops import Instruction

_OLDEST = 17
"""The first LLVM with models of Neoverse N1 and V1."""
_NEWEST = 30
_ITERATIONS = 200
_FULL = 0.95
"""A pipe or the front end binds from this much of its capacity."""


@dataclass(frozen=True)
class Core:
    """A core: llvm-mca's `cpu`, and instructions that start in a cycle (0: as in the model)."""

    name: str
    cpu: str
    width: int
    floats: str


CORES = (
    Core("cortex-a55", "cortex-a55", 0, "FPMAC"),
    Core("cortex-a76", "neoverse-n1", 4, "V"),
    Core("cortex-x1", "neoverse-v1", 8, "V"),
    Core("apple-a14", "apple-a14", 0, "V"),
)
"""`floats` is the model's name of the pipes that multiply and add."""


@dataclass(frozen=True)
class Analysis:
    """A loop on a core: `cycles` of one iteration, `pressure` of each class of pipes (share of
    its capacity), and the one that `binds`: a class of pipes, ``width`` (instructions started
    per cycle) or ``latency`` (none is full: results are waited for)."""

    core: str
    cycles: float
    pressure: dict[str, float]
    binds: str


def analyse(body: Sequence[Instruction], core: Core) -> Analysis:
    """Run llvm-mca over a loop.  Raises `SystemExit` where it is missing or too old."""
    command = [tool("llvm-mca"), "-mtriple=aarch64", f"-mcpu={core.cpu}", "--json"]
    command += [f"-iterations={_ITERATIONS}", *([f"-dispatch={core.width}"] if core.width else [])]
    done = subprocess.run(command, input=assembly(body), capture_output=True, text=True, check=True)
    return _read(json.loads(done.stdout), core)


def assembly(body: Sequence[Instruction]) -> str:
    """The loop's text for an assembler: branches go to a label before it."""
    lines = [
        i.text if i.jumps_to is None else re.sub(r"0x[0-9a-f]+$", "start", i.text) for i in body
    ]
    return "\n".join(["start:", *lines, ""])


def _read(document: dict[str, Any], core: Core) -> Analysis:
    (region,) = document["CodeRegions"]
    summary = region["SummaryView"]
    cycles = summary["TotalCycles"] / summary["Iterations"]
    count = summary["Instructions"] // summary["Iterations"]
    names = [_pipes(name) for name in document["TargetInfo"]["Resources"]]
    used = dict.fromkeys(names, 0.0)
    for entry in region["ResourcePressureView"]["ResourcePressureInfo"]:
        if entry["InstructionIndex"] == count:  # the row below the instructions: all of them
            used[names[entry["ResourceIndex"]]] += entry["ResourceUsage"]
    pressure = {
        name: usage / names.count(name) / cycles for name, usage in used.items() if usage > 0
    }
    most = max(pressure, key=lambda name: (pressure[name], name == core.floats))
    if pressure[most] >= _FULL:
        binds = most
    else:
        full = summary["uOpsPerCycle"] >= _FULL * summary["DispatchWidth"]
        binds = "width" if full else "latency"
    return Analysis(core.name, cycles, pressure, binds)


def _pipes(resource: str) -> str:
    """``N1UnitV0``, ``CyUnitV.\\x01`` -> ``V``: the class that a unit belongs to."""
    return re.sub(r"(\d|[.\x00-\x1f])+$", "", resource.partition("Unit")[2])


@cache
def tool(name: str) -> str:
    """The newest `name` of LLVM that is installed, 17 at least; `SystemExit` if there is none."""
    for version in range(_NEWEST, _OLDEST - 1, -1):
        if found := shutil.which(f"{name}-{version}"):
            return found
    plain = shutil.which(name)
    if plain is not None:
        said = subprocess.run([plain, "--version"], capture_output=True, text=True, check=True)
        stated = re.search(r"version (\d+)", said.stdout)
        if stated is not None and int(stated[1]) >= _OLDEST:
            return plain
    raise SystemExit(f"no {name} of LLVM {_OLDEST} or newer: apt-get install llvm-19")

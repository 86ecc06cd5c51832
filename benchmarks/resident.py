"""Resident memory of this process, as Linux accounts for it."""

import re
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True)
class Resident:
    """Bytes: now, at most since `reset_peak` (or the start), and what `now` consists of: pages
    of its own, and pages of files, which other processes may share and the system can drop."""

    now: int
    peak: int
    own: int
    file: int


def resident() -> Resident:
    """What ``/proc/self/status`` says."""
    return parse(_STATUS.read_text())


def reset_peak() -> None:
    """Start a new maximum at what is resident now; `OSError` where the system does not allow."""
    _CLEAR.write_text(_RESET_PEAK)


def parse(status: str) -> Resident:
    """From the text of ``/proc/PID/status``."""
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE))
    own, file, shared = (1024 * int(found[f"Rss{kind}"]) for kind in ("Anon", "File", "Shmem"))
    return Resident(1024 * int(found["VmRSS"]), 1024 * int(found["VmHWM"]), own, file + shared)

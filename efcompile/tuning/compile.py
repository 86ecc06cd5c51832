"""Candidates' code, each made in a forked child: a crash or hang costs that candidate alone.

A fork inherits TVM, the kernels and the shapes, so a candidate costs what LLVM takes (0.1 to
0.3 s) and nothing is sent between processes but the finished files.  MetaSchedule's own
`LocalBuilder` starts workers anew, which import for half a minute each.
"""

import gc
import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efcompile import tvm_api
from efcompile.kernels.kernel import Kernel
from efcompile.targets.target import Target

_POLL_SECONDS = 0.002
_CODE, _FACTS, _FAULT = "kernel.o", "kernel.json", "fault.txt"


@dataclass(frozen=True)
class Job:
    """A kernel to compile: everything that `Kernel.build` takes, and what makes an object of it."""

    kernel: Kernel
    shape: Any
    target: Target
    knobs: Any
    assemble: Callable[[Sequence[Any], Target], bytes] = tvm_api.build_object


@dataclass(frozen=True)
class Compiled:
    """A kernel's object file, and what running it needs to know (see `kernels.kernel.Built`)."""

    symbol: str
    object: Path
    tasks: int
    scratch_bytes: int
    chained: bool

    @classmethod
    def read(cls, folder: Path) -> "Compiled":
        """What `compile_all` left in `folder`."""
        facts = json.loads((folder / _FACTS).read_text())
        return cls(object=folder / _CODE, **facts)


def compile_all(
    jobs: Sequence[Job], folders: Sequence[Path], *, timeout: float = 60.0
) -> list[Compiled | str]:
    """Compile each job into its folder, as many at a time as there are cores: the result, or in
    words why there is none.  `timeout` is in seconds, for one job."""
    waiting = list(enumerate(zip(jobs, folders, strict=True)))[::-1]
    running: dict[int, tuple[int, float]] = {}  # process: position, deadline
    done: dict[int, Compiled | str] = {}
    workers = len(os.sched_getaffinity(0))
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                position, (job, folder) = waiting.pop()
                running[_fork(job, folder)] = position, time.monotonic() + timeout
            for process, (position, deadline) in list(running.items()):
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    del running[process]
                    done[position] = _result(folders[position], status)
                elif time.monotonic() > deadline:
                    _end(process)
                    del running[process]
                    done[position] = f"compiling it did not end within {timeout:g} s"
            time.sleep(_POLL_SECONDS)
    finally:
        for process in running:
            _end(process)
    return [done[position] for position in range(len(jobs))]


def _fork(job: Job, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    gc.freeze()  # a collection in the child would touch, and so copy, all of our memory
    try:
        process = os.fork()
    finally:
        gc.unfreeze()
    if process:
        return process
    # The child.  Nothing of the parent's may run in it, its exit handlers included.
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
        _compile(job, folder)
        status = 0
    except BaseException:
        (folder / _FAULT).write_text(traceback.format_exc(limit=-3))
    finally:
        os._exit(status)


def _compile(job: Job, folder: Path) -> None:
    symbol = f"{job.kernel.name}_candidate"
    built = job.kernel.build(symbol, job.shape, job.target, job.knobs)
    code = job.assemble([built.func.with_attr("global_symbol", symbol)], job.target)
    (folder / _CODE).write_bytes(code)
    facts = {
        "symbol": symbol,
        "tasks": built.tasks,
        "scratch_bytes": built.scratch_bytes,
        "chained": built.chained,
    }
    (folder / _FACTS).write_text(json.dumps(facts))


def _result(folder: Path, status: int) -> Compiled | str:
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return Compiled.read(folder)
    if code < 0:
        return f"compiling it was ended by signal {-code} ({signal.Signals(-code).name})"
    fault = folder / _FAULT
    said = fault.read_text().strip().splitlines() if fault.exists() else []
    return f"compiling it failed: {said[-1] if said else 'no message'}"


def _end(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)

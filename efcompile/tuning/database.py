"""Records of tuning: MetaSchedule's JSON database in a folder.

``workloads.json`` has a workload a line, ``records.json`` a measured candidate a line:
``[workload's line, [trace, [seconds], target, arguments]]``, where the trace names the knobs and
their values (see `tuning.space`).  Which kind of seconds they are (measured, or instructions
times 1e-9 under emulation) and of which target says the folder, not the record.
"""

import fcntl
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from efcompile import tvm_api
from efcompile.errors import TuningError
from efcompile.tuning.mending import mend
from efcompile.tuning.space import (
    KnobSpace,
    Values,
    forced_schedule,
    key_of,
    knob_space,
    values_of,
)
from efcompile.tuning.task import Task

_FAILED = 1e10
"""The seconds that MetaSchedule gives a candidate that failed."""


class Database:
    """What `open_database` returns.  `native` is MetaSchedule's database."""

    def __init__(self, folder: Path, lock: TextIO) -> None:
        self._lock = lock
        workloads, records = folder / "workloads.json", folder / "records.json"
        mend(workloads, records)
        self.native: Any = tvm_api.meta_schedule().database.JSONDatabase(
            path_workload=str(workloads), path_tuning_record=str(records)
        )
        self._history: dict[tuple[str, str], list[tuple[Values, float]]] = {}
        for record in self.native.get_all_tuning_records():
            self._note(record)

    def record(
        self,
        task: Task,
        values: Mapping[str, int],
        seconds: float | None,
        space: KnobSpace | None = None,
    ) -> Any:
        """The ``TuningRecord``, to `commit`, of a candidate that was measured (None: failed),
        whether a search proposed it or not.  `values` name every knob of the task's `space`
        (which is made if it is not given); they need not be among its choices."""
        ms = tvm_api.meta_schedule()
        space = space or knob_space(task)
        if not space.covers(values):
            raise TuningError(
                f"{task.name}: a record needs the knobs {', '.join(space.values)}, "
                f"not {', '.join(sorted(values))}"
            )
        if seconds is not None and not 0 < seconds < _FAILED:
            raise TuningError(f"{task.name}: a candidate cannot have taken {seconds} seconds")
        return ms.database.TuningRecord(
            forced_schedule(space, values).trace,
            self.native.commit_workload(space.workload),
            [_FAILED if seconds is None else seconds],
            tvm_api.tvm.target.Target(tvm_api.tvm_target(task.target)),
        )

    def commit(self, record: Any) -> None:
        """Append `record` to the file and to the history of its task."""
        self.native.commit_tuning_record(record)
        self._note(record)

    def _note(self, record: Any) -> None:
        key = key_of(record.workload.mod)
        if key is not None:
            known = self._history.setdefault(key, [])
            known.append((values_of(record.trace), _seconds(record)))

    def history(self, task: Task) -> list[tuple[Values, float]]:
        """All that was measured for `task`, fastest first, in seconds; infinite for failures."""
        return sorted(self._history.get(task.key, []), key=lambda pair: pair[1])

    def values_of(self, trace: Any) -> Values:
        """The knobs that a record's trace holds."""
        return values_of(trace)

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_database(folder: Path) -> Database:
    """The database in `folder`, which is made if need be; damaged lines are mended with a
    warning, see `tuning.mending`.

    Raises `TuningError` while another process has it open: two that append would give each
    other's workloads the same numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Database(folder, lock)
    except BlockingIOError:
        lock.close()
        raise TuningError(
            f"{folder}: another tuning run uses these records; wait for it, or give another folder"
        ) from None
    except BaseException:
        lock.close()
        raise


def _seconds(record: Any) -> float:
    seconds: Sequence[float] = [float(value) for value in record.run_secs or []]
    mean = sum(seconds) / len(seconds) if seconds else _FAILED
    return mean if mean < _FAILED else math.inf

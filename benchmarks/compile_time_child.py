"""A process that compiles a model twice and says how long that took.

    python benchmarks/compile_time_child.py MODEL THREADS

`benchmarks/compile_time.py` starts it.  Prints one JSON object, see `Times`.
"""

import json
import sys
import time
from pathlib import Path
from typing import TypedDict

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))


class Times(TypedDict):
    """Seconds: importing the compiler, TVM and torch (and timm for its models); the first call
    of `efcompile.optimize`, and the second; by step (see `efcompile.steps`), with what no step
    accounts for as ``other``.  ``total`` is the sum."""

    imports: float
    first: dict[str, float]
    second: dict[str, float]


def main(model: str, threads: str) -> None:
    """Import, compile, compile again."""
    start = time.perf_counter()
    import torch.export

    import efcompile.compiler
    from efcompile.tvm_api import tvm

    assert torch.export and tvm
    if model.startswith("timm:"):
        import timm

        assert timm
    imports = time.perf_counter() - start

    def call() -> dict[str, float]:
        start = time.perf_counter()
        compiled = efcompile.optimize(model, target="host", threads=int(threads))
        total = time.perf_counter() - start
        assert compiled.history is not None
        seconds = compiled.history.seconds
        return {"total": total, **seconds, "other": total - sum(seconds.values())}

    times: Times = {"imports": imports, "first": call(), "second": call()}
    # On a line of its own: some libraries print.
    print("\n" + json.dumps(times))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A process that only loads and runs a prepared model, and says what memory that took.

    python benchmarks/memory_child.py PEER FOLDER INPUT.npy OUTPUTS.npz THREADS

`benchmarks/memory.py` starts it, once for every contestant.  Prints one JSON object, see `Usage`.
"""

import gc
import json
import sys
from pathlib import Path
from typing import TypedDict

import numpy as np

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers.registry import FILE_PEERS
from benchmarks.resident import reset_peak, resident

RUNS = 3


class Usage(TypedDict):
    """Bytes: resident with the runtime imported, before the model; how much more at most while
    loading it and running it three times (`growth`); how much more after that, by kind; the
    most ever (`total`).  `torch` says whether PyTorch was imported."""

    runtime: int
    growth: int
    own: int
    file: int
    total: int
    torch: bool


def main(name: str, folder: str, input_file: str, output_file: str, threads: str) -> None:
    """Load and run; the outputs go to `output_file`."""
    peer = FILE_PEERS[name]
    x = np.load(input_file)
    peer.runtime()
    gc.collect()
    importing = resident().peak
    reset_peak()
    before = resident()
    run = peer.load(Path(folder), x, int(threads))
    for _ in range(RUNS):
        outputs = run()
    after = resident()
    np.savez(output_file, *outputs)
    usage: Usage = {
        "runtime": before.now,
        "growth": after.peak - before.now,
        "own": after.own - before.own,
        "file": after.file - before.file,
        "total": max(importing, after.peak),
        "torch": "torch" in sys.modules,
    }
    # On a line of its own: some runtimes print.
    print("\n" + json.dumps(usage))


if __name__ == "__main__":
    main(*sys.argv[1:])

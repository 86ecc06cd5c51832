"""A process, run by the emulated Python, that loads a prepared model and runs it some times.

    python3 benchmarks/arm64_child.py PEER FOLDER INPUT.npy OUTPUTS.npz CALLS

`benchmarks/arm64_count.py` starts it.  Everything but the calls is the same whatever CALLS is.
"""

import sys
from pathlib import Path

import numpy as np

# Python puts this file's folder on the path, not the one above it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers.registry import FILE_PEERS


def main(name: str, folder: str, input_file: str, output_file: str, calls: str) -> None:
    """Load and run with one thread; the last call's outputs go to `output_file`."""
    run = FILE_PEERS[name].load(Path(folder), np.load(input_file), 1)
    for _ in range(int(calls)):
        outputs = run()
    np.savez(output_file, *outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])

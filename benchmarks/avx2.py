"""Contestants held to AVX2, for a machine that has AVX-512: what most laptops and servers run.

Ours is compiled for ``x86-64-v3``.  oneDNN, under OpenVINO and torch's eager, reads a variable for
this, and torch one for its own kernels.  The others go by the CPU alone and are left out.
"""

import os
from collections.abc import Sequence

from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import Peer

CPU = "x86-64-v3"
_VARIABLES = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
_HELD = ("eager", "openvino")


def hold(peers: Sequence[Peer]) -> tuple[Ours, list[Peer]]:
    """Ours and those of `peers` that can be held to AVX2, which from here on they are: in this
    process, and only if none of them has computed anything yet."""
    os.environ.update(_VARIABLES)
    return Ours(CPU), [peer for peer in peers if peer.name in _HELD]

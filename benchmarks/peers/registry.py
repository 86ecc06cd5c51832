"""Every contestant by name."""

from collections.abc import Mapping
from types import MappingProxyType

from benchmarks.peers.in_torch import Eager, Inductor
from benchmarks.peers.mnn_cpu import Mnn
from benchmarks.peers.ncnn_cpu import Ncnn
from benchmarks.peers.onnx_runtime import OnnxRuntime
from benchmarks.peers.openvino_cpu import OpenVino
from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import FilePeer, Peer

OURS = Ours()

_PEERS: tuple[Peer, ...] = (Eager(), Inductor(), OnnxRuntime(), OpenVino(), Ncnn(), Mnn())

PEERS: Mapping[str, Peer] = MappingProxyType({peer.name: peer for peer in _PEERS})
"""All but ours."""

FILE_PEERS: Mapping[str, FilePeer] = MappingProxyType(
    {peer.name: peer for peer in (OURS, *_PEERS) if isinstance(peer, FilePeer)}
)
"""Those that load files, ours among them."""


def chosen(names: str | None) -> list[Peer]:
    """The peers of a comma-separated list, by default all that are installed.

    Raises `ValueError` for a name that is unknown or not installed.
    """
    if names is None:
        return [peer for peer in PEERS.values() if not peer.missing()]
    wanted = [name for name in names.split(",") if name]
    unknown = [name for name in wanted if name not in PEERS]
    if unknown or not wanted:
        raise ValueError(f"unknown peers {unknown}; choose from {', '.join(PEERS)}")
    for name in wanted:
        if missing := PEERS[name].missing():
            raise ValueError(
                f"{name} needs {', '.join(missing)}: pip install -e '.[bench]', or choose "
                "others with --peers"
            )
    return [PEERS[name] for name in wanted]

"""Where figures come from: everything needed to say what they mean later."""

import datetime
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import efcompile
from benchmarks.avx2_host import NATIVE, Host
from benchmarks.peers.peer import Peer, version
from efcompile.targets.host import cpu_name


class Provenance(TypedDict):
    """`isa` is what our code is compiled for (peers choose for themselves), `held` what was kept
    from everyone and how, `cores` those this process may use, `date` UTC in ISO 8601."""

    date: str
    cpu: str
    isa: str
    held: str
    cores: int
    system: str
    versions: dict[str, str]


def provenance(contestants: Iterable[Peer], host: Host = NATIVE) -> Provenance:
    """This machine, now, and the versions of what the contestants need."""
    packages = ["torch", "numpy"]
    packages += [package for peer in contestants for package in peer.packages]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": cpu_name(Path("/proc/cpuinfo").read_text()),
        "isa": host.target.cpu,
        "held": host.how,
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "versions": {
            "efcompile": efcompile.__version__,
            **{name: version(name) or "not installed" for name in dict.fromkeys(packages)},
        },
    }


def lines(where: Provenance) -> list[str]:
    """The same for people."""
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    machine = f"{where['cpu']}, {where['cores']} core(s), our code for {where['isa']}"
    return [f"{machine}, {where['date']}", where["held"], versions]

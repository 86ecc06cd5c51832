from datetime import datetime

import torch

from benchmarks.peers.registry import OURS, PEERS
from benchmarks.provenance import lines, provenance


def test_it_names_machine_date_and_versions() -> None:
    found = provenance([OURS, *PEERS.values()])
    assert datetime.fromisoformat(found["date"]).tzinfo is not None
    assert found["versions"]["torch"] == torch.__version__
    assert {"efcompile", "apache-tvm", "onnxruntime", "ncnn"} <= set(found["versions"])
    assert found["cpu"] in lines(found)[0] and found["isa"] in lines(found)[0]

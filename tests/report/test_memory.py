"""The plan as the report has it."""

import efcompile
from efcompile.bundle.describe import describe
from efcompile.bundle.manifest import FileEntry
from efcompile.report.document import Tensor
from efcompile.report.memory import alive, tensors
from tests.bundle.programs import tiny_program


def test_tensors_are_the_plans() -> None:
    files = {"libtiny.so": FileEntry(sha256="1", bytes=9)}
    manifest = describe(tiny_program(), bytes(32), (), files)
    assert tensors(manifest) == (Tensor(name="h", offset=128, bytes=6144, first=0, last=2),)


def test_bytes_alive_at_each_call() -> None:
    plan = (
        Tensor(name="a", offset=0, bytes=10, first=0, last=1),
        Tensor(name="b", offset=64, bytes=5, first=1, last=3),
    )
    assert alive(plan, 5) == (10, 15, 5, 5, 0)


def test_no_two_living_tensors_share_bytes() -> None:
    """Of a real network: what the plan promises, read from a bundle."""
    bundle = efcompile.optimize("tests.small:small", target="host", threads=1).bundle
    plan = tensors(bundle.manifest)
    assert plan
    for one in plan:
        assert one.offset + one.bytes <= bundle.manifest.sizes.arena
        for other in plan:
            together = one.first <= other.last and other.first <= one.last
            apart = one.offset + one.bytes <= other.offset or other.offset + other.bytes <= (
                one.offset
            )
            assert one is other or not together or apart

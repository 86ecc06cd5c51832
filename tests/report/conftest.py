"""A report that was really measured, once for all tests."""

import pytest

from efcompile.devices.local import Local
from efcompile.report.document import Report
from efcompile.report.ledger import measure_ledger
from efcompile.targets.resolve import resolve
from tests.report.blocks import Swapped, Wasteful, subject


@pytest.fixture(scope="session")
def measured() -> Report:
    """`Blocks` on this machine, with a slow pass and one that changes nothing planted."""
    passes = (
        "fold-batchnorm",
        "fold-layer-scale",
        Wasteful(),
        Swapped(),
        "legalise",
        "cancel-reshapes",
        "fuse-epilogue",
    )
    return measure_ledger(
        subject(*passes),
        resolve("host"),
        Local(),
        threads=1,
        budget=10,
        leave_one_out=True,
        command="measured in a test",
    )

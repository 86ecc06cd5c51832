"""The doctor's fixed trial is the product it says it is."""

from pathlib import Path

import numpy as np

from efcompile.devices.probe_trial import SHAPE, SYMBOL, make_trial
from efcompile.targets.host import detect_host


def test_the_trial_is_whole(tmp_path: Path) -> None:
    trial = make_trial(detect_host(), tmp_path)
    (step,) = trial.steps
    assert step.symbol == SYMBOL and step.object.read_bytes()[:4] == b"\x7fELF"
    kinds = [trial.parts[position].kind for position in step.args]
    assert kinds == ["input", "constant", "constant", "output"]
    rows, k, n = SHAPE
    x, bias, expected = (trial.parts[position].data for position in (0, 2, 3))
    assert x is not None and bias is not None and expected is not None
    assert x.shape == (rows, k) and expected.shape == (rows, n)
    # The weight is packed (and with pairs the bias too): another product would not fit.
    assert bias.size in (n, n + 1) and np.abs(expected - bias[:n]).max() > 1
    assert all(part.bytes == part.data.nbytes for part in trial.parts if part.data is not None)

"""The examples run; here with less training."""

from types import ModuleType

import pytest
import torch

from examples import swap_patch_embed


def test_swap_patch_embed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example: ModuleType = swap_patch_embed
    train = example.train

    def short(model: torch.nn.Module, data: object, epochs: int, rate: float) -> None:
        train(model, data, epochs=min(epochs, 8), rate=rate)

    monkeypatch.setattr(example, "train", short)
    example.main()
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if "%" in line and "│" in line]
    trained, raw, fitted, tuned, compiled = (float(r.split("│")[2].strip(" %")) for r in rows)
    assert raw < 40 < 80 < trained
    assert fitted > trained - 10 and tuned > trained - 5
    assert compiled == tuned

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

from efcompile.errors import InputError, ToolchainError
from efcompile.models.timm_source import create_timm, import_timm


def test_a_model_by_name(timm: ModuleType) -> None:
    model = create_timm("mobilenetv3_small_050")
    assert isinstance(model, nn.Module)
    assert import_timm() is timm


def test_unknown_name_suggests_the_nearest(timm: ModuleType) -> None:
    with pytest.raises(InputError, match=r"no model 'levit_265'; did you mean .*levit_256"):
        create_timm("levit_265")


@pytest.mark.parametrize("missing", ["timm", "torchvision"])
def test_missing_package_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == missing else found("torch"),
    )
    with pytest.raises(
        ToolchainError, match=rf"^{missing} is not installed; run: pip install 'efcompile\[timm\]'$"
    ):
        create_timm("levit_256")


# A torchvision that describes its detection operators without having declared them, as the real
# one does where its extension does not load; and a timm that needs it.
TORCHVISION = """
import torch
torch.library.register_fake("torchvision::nms")(print)
torch.library.register_fake("torchvision::qnms")(print)
"""


def _import_in_a_new_process(packages: Path, torchvision: str) -> subprocess.CompletedProcess[str]:
    (packages / "torchvision.py").write_text(torchvision)
    (packages / "timm.py").write_text("import torchvision")
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(packages)!r})\n"
        "from efcompile.models.timm_source import import_timm\n"
        "print(import_timm().__file__)"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_torchvision_without_its_extension(tmp_path: Path) -> None:
    done = _import_in_a_new_process(tmp_path, TORCHVISION)
    assert done.stdout == f"{tmp_path / 'timm.py'}\n", done.stderr


def test_other_errors_of_torchvision_are_left_alone(tmp_path: Path) -> None:
    done = _import_in_a_new_process(tmp_path, "raise RuntimeError('out of luck')")
    assert done.returncode == 1
    assert "RuntimeError: out of luck" in done.stderr

"""What pyproject.toml promises is what the code and the licence say."""

import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from efcompile.tvm_api import PINS

ROOT = Path(__file__).parents[1]


def _project() -> dict[str, Any]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project: dict[str, Any] = document["project"]
    return project


def _requirements() -> dict[str, Requirement]:
    parsed = [Requirement(line) for line in _project()["dependencies"]]
    return {requirement.name: requirement for requirement in parsed}


def test_the_tvm_pair_is_pinned_to_what_the_code_checks() -> None:
    required = _requirements()
    assert {name: str(required[name].specifier) for name in PINS} == {
        name: f"=={version}" for name, version in PINS.items()
    }


def test_phones_get_the_pinned_pair() -> None:
    page = (ROOT / "docs" / "on-phone.md").read_text()
    installed = [line for line in page.splitlines() if "pip install apache-tvm" in line]
    assert installed
    for line in installed:
        assert all(f"{name}=={version}" in line for name, version in PINS.items())


def test_the_torch_range_is_the_tried_one() -> None:
    torch = _requirements()["torch"].specifier
    assert all(torch.contains(version) for version in ("2.13.0", "2.15.0"))
    assert not any(torch.contains(version) for version in ("2.12.1", "2.16.0"))


def test_all_is_every_other_extra() -> None:
    extras = _project()["optional-dependencies"]
    (everything,) = (Requirement(line) for line in extras["all"])
    assert everything.extras == set(extras) - {"all"}


def test_licence() -> None:
    assert _project()["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()

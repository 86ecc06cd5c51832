"""What a whole model asks of the system it is linked into: libc, libm and threads only."""

from pathlib import Path

import pytest

import efcompile
from efcompile.bundle.load import Bundle
from efcompile.models.randomize import randomize
from efcompile.models.zoo import create
from tests.bundle.binaries import ALLOWED, OPTIONAL, elf_symbols, linked, macho_symbols, members

MODELS = ["efficientformerv2_s0", pytest.param("efficientformer_l1", marks=pytest.mark.parity)]


def _bundle(name: str, target: str, folder: Path) -> Bundle:
    module = randomize(create(name).eval(), seed=0)
    return efcompile.optimize(module, target=target, out=folder, name="model").bundle


@pytest.mark.parametrize("name", MODELS)
def test_iphone_archive(name: str, tmp_path: Path) -> None:
    symbols = macho_symbols(_bundle(name, "iphone12", tmp_path).file("libmodel.a"))
    defined = {s.name for s in symbols if s.defined}
    assert {s.name for s in symbols if not s.defined} - defined <= {f"_{n}" for n in ALLOWED}
    assert "_model_run" in defined


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("target", ["arm64", "android"])
def test_elf_archive_and_library(name: str, target: str, tmp_path: Path) -> None:
    bundle = _bundle(name, target, tmp_path)
    folder = tmp_path / "members"
    folder.mkdir()
    symbols = [s for m in members(bundle.file("libmodel.a"), folder) for s in elf_symbols(m)]
    defined = {s.name for s in symbols if s.defined}
    assert {s.name for s in symbols if not s.defined} - defined <= ALLOWED
    library = elf_symbols(bundle.file("libmodel.so"), ".dynsym")
    assert {s.name for s in library if not s.defined} <= ALLOWED | OPTIONAL
    if target == "android":
        assert set(linked(bundle.file("libmodel.so")).needed) <= {"libc.so", "libm.so"}

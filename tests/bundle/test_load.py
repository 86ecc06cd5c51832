import shutil
from pathlib import Path

import pytest

from efcompile.bundle import load as loading
from efcompile.bundle.load import Bundle, load_bundle
from efcompile.errors import BundleError

FILES = ["manifest.json", "tiny.h", "weights.bin", "libtiny.so", "libtiny.a", "bench"]


@pytest.fixture
def copy(host_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(host_bundle.path, tmp_path / "copy"))


def test_the_list_above_is_complete(copy: Path) -> None:
    assert sorted(FILES) == sorted(path.name for path in copy.iterdir())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_one_flipped_byte_is_noticed_in_every_file(copy: Path, name: str, where: float) -> None:
    data = bytearray((copy / name).read_bytes())
    data[int(where * (len(data) - 1))] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} is damaged"):
        load_bundle(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"cannot read .*{name}: No such file"):
        load_bundle(copy)


def test_a_cut_file_is_noticed(copy: Path) -> None:
    data = (copy / "weights.bin").read_bytes()
    (copy / "weights.bin").write_bytes(data[:-1])
    with pytest.raises(BundleError, match=r"weights\.bin is damaged"):
        load_bundle(copy)


def test_another_interface_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "ABI", 99)
    with pytest.raises(BundleError, match=r"version 1 of the C interface.*reads version 99"):
        load_bundle(copy)


def test_a_part_that_was_not_made_is_named(host_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="has no app; it has bench"):
        host_bundle.file("app")

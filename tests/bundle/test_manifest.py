import pytest

from efcompile.bundle.describe import describe
from efcompile.bundle.load import Bundle
from efcompile.bundle.manifest import FileEntry, Manifest, dump, parse
from efcompile.errors import BundleError
from efcompile.tvm_api import PINS
from tests.bundle.programs import SHAPE, tiny_program

FILES = {
    "tiny.h": FileEntry(sha256="0" * 64, bytes=3),
    "libtiny.so": FileEntry(sha256="1", bytes=9),
}


def _manifest() -> Manifest:
    return describe(tiny_program(), bytes(range(32)), ("avx2",), FILES)


def test_it_survives_the_disk() -> None:
    written = _manifest()
    read = parse(dump(written))
    assert read.checksum != written.checksum
    assert read.model_copy(update={"checksum": written.checksum}) == written


def test_it_says_what_the_bundle_is() -> None:
    manifest = _manifest()
    assert manifest.build_id == bytes(range(32)).hex()
    assert manifest.target == tiny_program().target
    assert [t.name for t in manifest.outputs] == ["y", "z"]
    assert (manifest.inputs[0].dims, manifest.inputs[0].layout) == (SHAPE, "NCHW")
    assert manifest.sizes.library == 9
    assert manifest.versions.items() >= PINS.items()
    kernel = manifest.kernels[0]
    assert (kernel.name, kernel.symbol, kernel.calls) == ("affine", "tiny_k_multiply", 2)
    assert kernel.sources == ("net.multiply",)


def test_any_flipped_byte_is_noticed() -> None:
    data = dump(_manifest())
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x20
        with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
            parse(bytes(damaged))


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b'{\n  "checksum": "12"\n}'])
def test_other_content_is_no_manifest(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is damaged"):
        parse(data)


def test_another_format_is_refused() -> None:
    other = _manifest().model_copy(update={"format": 1})
    with pytest.raises(BundleError, match="not of format 3"):
        parse(dump(other))


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", ".hidden"])
def test_files_cannot_lie_elsewhere(name: str) -> None:
    evil = _manifest().model_copy(update={"files": {name: FILES["tiny.h"]}})
    with pytest.raises(BundleError, match="is not a plain file name"):
        parse(dump(evil))


def test_a_written_bundle_lists_all_its_files(host_bundle: Bundle) -> None:
    there = {path.name for path in host_bundle.path.iterdir()}
    assert there == {*host_bundle.manifest.files, "manifest.json"}

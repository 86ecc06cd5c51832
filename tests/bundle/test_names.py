from dataclasses import replace

import pytest

from efcompile.bundle.names import bundle_name, identifier, kernel_symbol, layout
from efcompile.errors import BundleError
from tests.bundle.programs import tiny_program


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("efficientformer_l1", "efficientformer_l1"),
        ("timm:levit-256.fb", "timm_levit_256_fb"),
        ("3x3", "m_3x3"),
        ("ef", "m_ef"),
        ("ef_pool", "m_ef_pool"),
        ("modèle", "mod_le"),
    ],
)
def test_identifier_is_a_free_c_name(name: str, prefix: str) -> None:
    assert identifier(name) == prefix


def test_a_name_without_letters_is_refused() -> None:
    with pytest.raises(BundleError, match="pass another name"):
        identifier("--")


def test_kernel_symbols_must_be_c_names() -> None:
    assert kernel_symbol("m", "gemm_1") == "m_k_gemm_1"
    with pytest.raises(BundleError, match="not a C identifier"):
        kernel_symbol("m", "gemm-1")


@pytest.mark.parametrize(
    ("shape", "tail"),
    [
        ((1, 3, 224, 224), "b1x224"),
        ((3, 3, 160, 256), "b3x160x256"),
        ((2, 197, 384), "b2x197x384"),
        ((5, 10), "b5x10"),
    ],
)
def test_bundle_name_shows_the_first_input(shape: tuple[int, ...], tail: str) -> None:
    program = tiny_program("a-b")
    buffers = program.buffers | {"x": replace(program.buffers["x"], shape=shape)}
    named = bundle_name(replace(program, buffers=buffers))
    assert named == f"a_b.{program.target.name}.fp32.{tail}"


def test_layout_names_images_and_rows_only() -> None:
    assert [layout((1,) * rank) for rank in (2, 3, 4)] == ["NC", "row-major", "NCHW"]

from dataclasses import replace
from pathlib import Path

import pytest

from efcompile.kernels.gemm import KERNEL, Shape
from efcompile.kernels.prefetch import Prefetch
from efcompile.kernels.register_tile import choose_tile
from efcompile.targets.resolve import resolve
from efcompile.tvm_api import build_object
from tests.bundle.binaries import tool
from tests.kernels.harness import TARGETS


def test_weights_are_prefetched_where_waiting_for_them_shows() -> None:
    tile = choose_tile(49, 448, TARGETS[0])
    few = Prefetch.over(49, 448, tile)
    assert few is not None and few.passes == -(-49 // tile.rows)
    # The shares of all passes cover the next panel.
    assert few.passes * few.step(tile.unroll, tile.panel) >= tile.unroll * tile.panel
    assert Prefetch.over(10_000, 448, tile) is None
    assert Prefetch.over(49, tile.panel, tile) is None


@pytest.mark.parametrize(("ask_l2", "wanted"), [(False, "prefetcht0"), (True, "prefetcht1")])
def test_the_next_panel_comes_to_the_cache_of_the_target(
    tmp_path: Path, ask_l2: bool, wanted: str
) -> None:
    target = replace(resolve("x86_64-linux-gnu", compact=True), ask_l2=ask_l2)
    shape = Shape(1, 49, 448, 64, bias=False, residual=False, act="none")
    built = KERNEL.build("asks", shape, target, KERNEL.default_knobs(shape, target))
    code = tmp_path / "asks.o"
    code.write_bytes(build_object([built.func], target))
    listing = tool("llvm-objdump", "-d", "--no-show-raw-insn", code)
    assert {word for word in listing.split() if word.startswith("prefetch")} == {wanted}

"""How a linear layer is cut into quarters; `test_gemm` and `test_norm_linear` have the numbers."""

from dataclasses import replace

from efcompile.kernels.linear_strassen import Cut, Product, best_cut, choices, legal_cut
from efcompile.kernels.register_tile import Tile, choose_tile
from efcompile.kernels.strassen import choose_quarter_tile
from tests.kernels.emulated import ARM64
from tests.kernels.harness import HOST

AVX512 = replace(
    HOST,
    triple="x86_64-linux-gnu",
    vector_bits=512,
    registers=32,
    l1_bytes=48 << 10,
    l2_bytes=1 << 20,
    cores=1,
    strassen=True,
)
TILE = Tile(9, 3, 16, unroll=4, lane_a=False)


def test_tasks_are_panels_of_a_quarter_by_blocks() -> None:
    cut = Cut(Product(2, 196, 512, 256), TILE, rows=49, task_panels=4)
    assert (cut.task_row_tiles, cut.panels, cut.groups, cut.tasks) == (3, 6, 2, 8)
    assert cut.scratch_bytes == 4 * 7 * 25 * (128 + 48)


def test_a_cut_is_named_by_its_row_tiles() -> None:
    product = Product(1, 196, 512, 256)
    assert product.blocks == (49, 98, 196)
    for rows, tiles in ((49, 3), (98, 6), (196, 11)):
        cut = legal_cut(product, TILE, tiles, 2, AVX512)
        assert cut is not None and cut.rows == rows
    assert legal_cut(product, TILE, 4, 2, AVX512) is None
    assert legal_cut(product, TILE, 3, 0, AVX512) is None
    assert legal_cut(product, TILE, 3, 7, AVX512) is None
    assert legal_cut(product, replace(TILE, rows=0), 3, 2, AVX512) is None
    assert legal_cut(product, TILE, 3, 2, replace(AVX512, strassen=False)) is None


def test_rows_of_one_image_and_even_widths_alone_are_cut() -> None:
    assert Product(4, 196, 512, 256).blocks == (49,)
    assert Product(196, 196, 512, 256).blocks == ()
    for odd in (Product(1, 196, 511, 256), Product(1, 196, 512, 255)):
        assert odd.blocks == () and best_cut(odd, AVX512) is None


def test_every_core_has_tasks_and_scratch_stays_in_the_cache() -> None:
    for cores in (1, 2, 4):
        target = replace(AVX512, cores=cores)
        for product in (Product(1, 49, 1536, 448), Product(1, 196, 384, 768)):
            cut = best_cut(product, target)
            assert cut is not None and cut.tasks >= cores
            assert cut.scratch_bytes <= target.l2_bytes
    assert best_cut(Product(1, 49, 1536, 448), ARM64) is None


def test_two_cores_take_half_of_the_time_but_for_the_factors() -> None:
    product = Product(1, 49, 1536, 448)
    cut = Cut(product, TILE, 49, task_panels=8)
    alone, shared = cut.cycles(AVX512), cut.cycles(replace(AVX512, cores=2))
    assert alone / 2 < shared < 0.55 * alone
    # One task keeps one core busy.
    whole = replace(cut, task_panels=16)
    assert whole.cycles(replace(AVX512, cores=2)) == whole.cycles(AVX512)


def test_large_products_are_worth_it_and_narrow_ones_are_not() -> None:
    def pays(m: int, n: int, k: int) -> bool:
        cut = best_cut(Product(1, m, n, k), AVX512)
        assert cut is not None
        return cut.pays(choose_tile(m, n, AVX512, k), 4, AVX512)

    assert pays(49, 1536, 448) and pays(197, 1152, 384) and pays(196, 256, 256)
    assert not pays(196, 96, 1024) and not pays(196, 144, 1024) and not pays(1024, 96, 96)


def test_choices_are_the_plain_products_and_the_cuts() -> None:
    product, plain = Product(1, 196, 512, 256), {
        "tile.rows": (14,), "tile.vectors": (2,), "task_row_tiles": (7,), "task_panels": (16,),
        "prefetch": (0, 1),
    }  # fmt: skip
    values = choices(product, AVX512, plain)
    best = best_cut(product, AVX512)
    assert best is not None
    for path, value in {
        "tile.rows": best.tile.rows,
        "tile.vectors": best.tile.vectors,
        "task_row_tiles": best.task_row_tiles,
        "task_panels": best.task_panels,
    }.items():
        assert {value, *plain[path]} <= set(values[path])
    assert values["strassen"] == values["prefetch"] == (0, 1)
    assert choices(product, replace(AVX512, strassen=False), plain) == plain


def test_quarters_have_even_tiles_no_wider_than_high() -> None:
    for m, n, k in ((49, 448, 1024), (196, 512, 256), (49, 1536, 176)):
        tile = choose_quarter_tile(m, n, k, AVX512)
        rows = -(-m // 2)
        assert tile.vectors <= tile.rows
        assert tile.rows == -(-rows // -(-rows // tile.rows))

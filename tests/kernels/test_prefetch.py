from efcompile.kernels.prefetch import Prefetch
from efcompile.kernels.register_tile import choose_tile
from tests.kernels.harness import TARGETS


def test_weights_are_prefetched_where_waiting_for_them_shows() -> None:
    tile = choose_tile(49, 448, TARGETS[0])
    few = Prefetch.over(49, 448, tile)
    assert few is not None and few.passes == -(-49 // tile.rows)
    # The shares of all passes cover the next panel.
    assert few.passes * few.step(tile.unroll, tile.panel) >= tile.unroll * tile.panel
    assert Prefetch.over(10_000, 448, tile) is None
    assert Prefetch.over(49, tile.panel, tile) is None

import pytest

from benchmarks.peers.registry import OURS
from benchmarks.scale import HOLD, RATIOS, SWEEPS, Point, Row, Size, in_sweep, measure


def _point(
    resolution: int, gflop: float, ms: float, ratio: float | None = 0.5, model: str = "m"
) -> Point:
    return {
        "model": model,
        "resolution": resolution,
        "batch": 1,
        "gflop": gflop,
        "ms": {"ours": ms},
        "best": None if ratio is None else "ort",
        "ratio": ratio,
        "refused": {},
        "sampled": {},
    }


def _rows(*points: Point) -> list[Row]:
    return in_sweep(points, [[round(1e6 * point["ms"][OURS.name])] * 5 for point in points])


def test_costs_are_relative_to_the_base() -> None:
    rows = _rows(_point(128, 1, 4), _point(224, 3, 6), _point(256, 4, 8.1))
    assert [row["relative_cost"] for row in rows] == pytest.approx([2, 1, 1.0125])
    assert [row["drift"] for row in rows] == [0, 0, 0]
    assert [row["flags"] for row in rows] == [[], [], []]


def test_a_step_dearer_than_its_work_is_flagged() -> None:
    rows = _rows(_point(224, 1, 1), _point(256, 2, 2.5), _point(288, 3, 3.75))
    assert rows[1]["flags"] == ["time grows 25% more than the work since the size before"]
    assert rows[0]["flags"] == rows[2]["flags"] == []


def test_a_worse_ratio_is_flagged_and_a_better_one_is_not() -> None:
    rows = _rows(_point(128, 1, 1, 0.4), _point(224, 1, 1, 0.5), _point(256, 1, 1, 0.6))
    assert [row["drift"] for row in rows] == pytest.approx([-0.2, 0, 0.2])
    assert [len(row["flags"]) for row in rows] == [0, 0, 1]
    assert _rows(_point(224, 1, 1, None))[0]["drift"] is None


def test_what_must_hold_is_the_ratio_we_set_out_to_reach() -> None:
    name = "efficientformerv2_s0"
    level = RATIOS[name]
    ratios = (level - 0.2, level, (1 + HOLD) * level - 0.01, (1 + HOLD) * level + 0.01)
    sizes = (224, 256, 288, 320)
    points = [_point(size, 1, 1, r, name) for size, r in zip(sizes, ratios, strict=True)]
    rows = _rows(*points)
    assert [len(row["flags"]) for row in rows] == [0, 0, 0, 1]
    assert rows[3]["flags"] == ["ratio 0.67 to the best peer does not hold 0.60"]
    assert RATIOS.keys() == {sweep[0].model for sweep in SWEEPS}


def test_every_sweep_has_its_base_and_grows() -> None:
    for sweep in SWEEPS:
        assert sum((size.resolution, size.batch) == (224, 1) for size in sweep) == 1
        work = [size.batch * size.resolution**2 for size in sweep]
        assert work == sorted(set(work))


def test_a_size_is_measured() -> None:
    size = Size("efficientformerv2_s0", 64, 2)
    point, run = measure(size, [], threads=1, rounds=5, seconds=0)
    assert set(point["ms"]) == {OURS.name} and point["ratio"] is None
    # S0 at 224 pixels is 0.8 GFLOP: convolutions are proportional to the area.
    assert 0.08 < point["gflop"] < 0.2
    assert [array.shape[0] for array in run()] == [2] * len(run())


def test_steps_are_of_turns_not_of_times_measured_apart() -> None:
    points = [_point(224, 1, 1), _point(256, 2, 2)]
    rows = in_sweep(points, [[10, 20, 30], [22, 44, 90]])
    assert [row["relative_cost"] for row in rows] == pytest.approx([1, 1.1])
    assert rows[1]["flags"] == ["time grows 10% more than the work since the size before"]

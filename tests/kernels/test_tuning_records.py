"""The records in a user's folder: which are used, and what is said of the others."""

from dataclasses import replace
from pathlib import Path

import pytest

from efcompile.errors import InputError, TuningError
from efcompile.kernels import gemm
from efcompile.kernels.kernel import always_legal
from efcompile.kernels.tuned import Kind, Winners
from efcompile.kernels.tuning_records import ATTACHMENT, Attachment, find_knobs, winners_file
from efcompile.targets.resolve import resolve
from tests.kernels.winners import SHAPE, winner, winners

KERNEL = replace(gemm.KERNEL, legal=always_legal)
ARM, OTHER = resolve("arm64"), resolve("cortex-x1")
X86 = resolve("x86_64-linux-gnu", cpu="x86-64-v3")
DEFAULT = gemm.default_knobs(SHAPE, ARM).task_row_tiles


def _keep(folder: Path, found: Winners, kind: Kind = "measured") -> Path:
    target = next(t for t in (ARM, OTHER, X86) if found.applies_to(t))
    path = winners_file(folder, kind, target)
    found.dump(path)
    return path


def _tiles(folder: Path, **options: bool) -> int:
    """One of the knobs that these records lead to."""
    found = find_knobs(ARM, folder, **options)
    assert found.notes == ()
    tiles: int = found.source(KERNEL, SHAPE, ARM).task_row_tiles
    return tiles


def test_the_class_of_the_target_is_found(tmp_path: Path) -> None:
    path = _keep(tmp_path, winners(ARM, winner(ARM, task_row_tiles=7)))
    assert path.relative_to(tmp_path).parts[::2] == ("measured", "winners.json")
    _keep(tmp_path, winners(OTHER))
    assert _tiles(tmp_path) == 7 != DEFAULT


def test_emulated_records_are_used_on_request_only(tmp_path: Path) -> None:
    emulated = winners(ARM, winner(ARM, task_row_tiles=7), kind="emulated")
    _keep(tmp_path, emulated, "emulated")
    told = r"no measured tuning .* aarch64-cortex-a76-\w+ \(emulated\)\. To use .* add --emulated-r"
    with pytest.raises(TuningError, match=told):
        find_knobs(ARM, tmp_path)
    assert _tiles(tmp_path, emulated=True) == 7
    _keep(tmp_path, winners(ARM, winner(ARM)))
    assert _tiles(tmp_path) == DEFAULT
    assert _tiles(tmp_path, emulated=True) == 7


def test_measured_records_are_not_emulated_ones(tmp_path: Path) -> None:
    _keep(tmp_path, winners(ARM))
    with pytest.raises(TuningError, match=r"no emulated .*leave out --emulated-records"):
        find_knobs(ARM, tmp_path, emulated=True)


def test_related_records_are_noted(tmp_path: Path) -> None:
    _keep(tmp_path, winners(OTHER))
    found = find_knobs(ARM, tmp_path)
    (note,) = found.notes
    assert "has no measured records of aarch64-cortex-a76" in note and "cortex-x1" in note
    assert found.source.records == ()


@pytest.mark.parametrize("other", [True, False])
def test_a_folder_without_anything_for_the_instruction_set(tmp_path: Path, other: bool) -> None:
    if other:
        _keep(tmp_path, winners(X86))
    has = "x86_64-x86-64-v3" if other else "it has none at all"
    with pytest.raises(TuningError, match=f"{tmp_path} has no measured .* for aarch64; .*{has}"):
        find_knobs(ARM, tmp_path)
    with pytest.raises(TuningError, match=r"efcompile tune MODEL --target arm64 --work-dir"):
        find_knobs(ARM, tmp_path)


def test_a_bundles_folder(tmp_path: Path) -> None:
    first = winners(ARM, winner(ARM, task_row_tiles=7))
    attached = Attachment(used=(first, winners(ARM, winner(ARM))))
    (tmp_path / ATTACHMENT).write_bytes(attached.dump())
    assert _tiles(tmp_path) == 7
    (tmp_path / ATTACHMENT).write_bytes(attached.dump()[:-20])
    with pytest.raises(TuningError, match=r"tuning\.json is damaged: Invalid JSON"):
        find_knobs(ARM, tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TuningError, match="gone is no folder of tuning records"):
        find_knobs(ARM, tmp_path / "gone")


def test_a_damaged_file_is_an_error_whatever_its_class(tmp_path: Path) -> None:
    _keep(tmp_path, winners(ARM))
    path = _keep(tmp_path, winners(OTHER))
    path.write_text("{")
    with pytest.raises(TuningError, match=f"{path} is damaged"):
        find_knobs(ARM, tmp_path)


def test_without_records() -> None:
    assert find_knobs(ARM).source.shipped and not find_knobs(ARM).source.records
    assert not find_knobs(ARM, tuned=False).source.shipped


def test_contradictions(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="used and left aside"):
        find_knobs(ARM, tmp_path, tuned=False)
    with pytest.raises(InputError, match="emulated records are of a folder"):
        find_knobs(ARM, emulated=True)


def test_an_emulators_times_are_kept_apart_from_instructions(tmp_path: Path) -> None:
    """They count where there is nothing better: a rehearsal's records can be used, on request."""
    times = winners_file(tmp_path, "emulated", ARM, "ns")
    assert times != winners_file(tmp_path, "emulated", ARM, "instructions")
    winners(ARM, winner(ARM, task_row_tiles=5), kind="emulated").dump(times)
    assert _tiles(tmp_path, emulated=True) == 5
    _keep(tmp_path, winners(ARM, winner(ARM, task_row_tiles=7), kind="emulated"), "emulated")
    assert _tiles(tmp_path, emulated=True) == 7

"""The blob's layout: what is where, and that equal arrays are there once."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efcompile.bundle.render import NATIVE
from efcompile.bundle.trial import Part, Step, Trial
from efcompile.bundle.trial_blob import ID_BYTES, MAGIC, MAX_ARGS, VERSION, write_blob
from efcompile.errors import BundleError
from tests.bundle.trials import constant, given, result

X = np.arange(1000, dtype=np.float32)
STEP = Step("kernel", Path("kernel.o"), (0, 1, 2), 5, 96, True)
TRIAL = Trial("one", (STEP,), (given(X), constant(X + 1), result(X * 2)))


def write(path: Path, *trials: Trial, code: bytes = b"") -> bytes:
    rows = [[0] * len(trial.steps) for trial in trials]
    identity = write_blob(trials, rows, code, path / "blob")
    data = (path / "blob").read_bytes()
    assert data[32:64] == identity
    return data


def test_header_and_records_lead_to_the_arrays(tmp_path: Path) -> None:
    data = write(tmp_path, TRIAL)
    magic, version, count, size, trials = struct.unpack_from("<8sIIQQ", data)
    assert (magic, version, count, size) == (MAGIC, VERSION, 1, len(data))
    name, parts, steps, part_count, step_count = struct.unpack_from("<QQQII", data, trials)
    assert (part_count, step_count) == (3, 1)
    assert data[name:].startswith(b'"one"\0')
    for i, (kind, part) in enumerate(zip((0, 1, 3), TRIAL.parts, strict=True)):
        found, size, at = struct.unpack_from("<QQQ", data, parts + 24 * i)
        assert (found, size) == (kind, part.bytes)
        assert part.data is not None
        np.testing.assert_array_equal(np.frombuffer(data, np.float32, 1000, at), part.data)
        assert at % 64 == 0
    row, tasks, chained, arg_count, scratch, args = struct.unpack_from("<IiIIQQ", data, steps)
    assert (row, tasks, chained, arg_count, scratch) == (0, 5, 1, 3, 96)
    assert struct.unpack_from("<3I", data, args) == (0, 1, 2)
    assert {offset % 64 for offset in (trials, name, parts, steps, args, len(data))} == {0}


def test_equal_arrays_are_stored_once(tmp_path: Path) -> None:
    one = write(tmp_path, TRIAL)
    same = replace(TRIAL, name="two", parts=(given(X.copy()), *TRIAL.parts[1:]))
    assert len(write(tmp_path, *[same] * 7, TRIAL)) < len(one) + 10 * 64 + 8 * 32
    other = replace(TRIAL, parts=(given(X + 3), *TRIAL.parts[1:]))
    assert len(write(tmp_path, TRIAL, other)) >= len(one) + X.nbytes


def test_arrays_that_are_not_contiguous_keep_their_values(tmp_path: Path) -> None:
    grid = X.reshape(10, 100)
    turned = replace(TRIAL, parts=(given(grid.T), *TRIAL.parts[1:]))
    assert grid.T.tobytes() in write(tmp_path, turned)


def test_the_id_is_of_content_and_code(tmp_path: Path) -> None:
    other = replace(TRIAL, parts=(given(X + 3), *TRIAL.parts[1:]))
    versions = [
        write(tmp_path, TRIAL),
        write(tmp_path, TRIAL, code=b"other"),
        write(tmp_path, other),
        write(tmp_path, replace(TRIAL, name="other")),
    ]
    assert len({data[32:64] for data in versions}) == 4
    assert write(tmp_path, TRIAL) == versions[0]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (lambda t: replace(t, steps=()), "has no steps"),
        (lambda t: replace(t, parts=t.parts[:2]), "names a part that there is not"),
        (lambda t: with_output(t, Part("output", 4000, None)), "all parts but a middle"),
        (lambda t: with_output(t, Part("middle", 4000, X)), "all parts but a middle"),
        (lambda t: with_output(t, Part("output", 400, X)), "is 400 bytes and its values 4000"),
        (lambda t: with_output(t, result(X.astype(np.float64))), "in float32, not float64"),
        (
            lambda t: replace(t, steps=(replace(STEP, args=(0,) * (MAX_ARGS + 1)),)),
            "takes 65 arrays",
        ),
    ],
)
def test_a_trial_in_pieces_is_refused(
    tmp_path: Path, wrong: Callable[[Trial], Trial], complaint: str
) -> None:
    with pytest.raises(BundleError, match=complaint):
        write(tmp_path, wrong(TRIAL))


def with_output(trial: Trial, part: Part) -> Trial:
    return replace(trial, parts=(*trial.parts[:2], part))


def test_constants_are_the_headers() -> None:
    header = (NATIVE / "ef_trial_blob.h").read_text()
    assert f'#define EF_BLOB_MAGIC "{MAGIC.decode()}"' in header
    assert f"#define EF_BLOB_VERSION {VERSION}\n" in header
    assert f"#define EF_TRIAL_ID_BYTES {ID_BYTES}\n" in header
    assert f"#define EF_TRIAL_MAX_ARGS {MAX_ARGS}\n" in header

"""Lists on a command line."""

import pytest

from efcompile.cli.options import features, names


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("", []), ("a", ["a"]), ("a, b,,c", ["a", "b", "c"])],
)
def test_names(text: str | None, expected: list[str] | None) -> None:
    assert names(text) == expected


def test_features_lose_their_signs() -> None:
    assert features("+avx2,fma") == ("avx2", "fma")
    assert features(None) is None

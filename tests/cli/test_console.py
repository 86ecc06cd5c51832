"""Numbers for people, and which stream gets what."""

import pytest

from efcompile.cli.console import ms, print_json, say, size


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (47_289_632, "47.3 MB"), (3e9, "3.00 GB")],
)
def test_sizes(count: float, shown: str) -> None:
    assert size(count) == shown


def test_durations() -> None:
    assert ms(12_345_678) == "12.35 ms"


def test_streams(capsys: pytest.CaptureFixture[str]) -> None:
    say("[bold]not markup[/], " + "and never folded " * 20)
    print_json({"a": [1, None]})
    out, err = capsys.readouterr()
    assert err.startswith("[bold]not markup[/], ") and len(err.splitlines()) == 1
    assert out == '{\n  "a": [\n    1,\n    null\n  ]\n}\n'

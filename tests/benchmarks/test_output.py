import json
from pathlib import Path

from rich.console import Console

from benchmarks.output import table, write_json


def test_a_table_keeps_names_and_figures() -> None:
    console = Console(width=60)
    with console.capture() as captured:
        console.print(table("title", ["model", "ms"], [["small", "1.00"]]))
    assert all(word in captured.get() for word in ("title", "model", "ms", "small", "1.00"))


def test_json_is_written_where_asked(tmp_path: Path) -> None:
    write_json(None, {})
    write_json(tmp_path / "a.json", {"figures": [1]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"figures": [1]}

"""What the commands print and write."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from efcompile.report.files import write_text

# A file or a pipe is not 80 columns wide.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column is text and whose others are figures."""
    made = Table(title=title, title_justify="left")
    for position, column in enumerate(columns):
        made.add_column(column, justify="right" if position else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    return made


def write_json(path: Path | None, document: Any) -> None:
    """Write `document` if a file is asked for."""
    if path is not None:
        write_text(json.dumps(document, indent=1) + "\n", path)

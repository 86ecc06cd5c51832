"""Reports and their renderings as files."""

import os
import tempfile
from pathlib import Path

from pydantic import ValidationError

from efcompile.errors import InputError
from efcompile.report.document import SCHEMA, Report


def write_text(text: str, path: Path) -> None:
    """Write `path` in one step: whatever goes wrong, an older file there stays whole.

    Raises `InputError` if it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            # What `open` would have given it, instead of the temporary file's privacy.
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another place") from error


def check_place(path: Path) -> None:
    """Raise `InputError` if there is no folder to write `path` into: better before the work."""
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; make it first")


def write_report(report: Report, path: Path) -> None:
    """Write the report's JSON document, as `write_text` does."""
    write_text(report.model_dump_json(indent=2) + "\n", path)


def read_report(path: Path) -> Report:
    """A report that `write_report` wrote; `InputError` if `path` holds none of this version."""
    try:
        return Report.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the report {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise InputError(
            f"{path} is no report of schema version {SCHEMA} ({where}: {first['msg']}): measure "
            "again with `efcompile report --json`"
        ) from error


def _umask() -> int:
    # There is no way to read it but to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

"""Reading ELF and Mach-O files back, with tools that did not write them."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from efcompile.bundle.abi import LIBC, LIBM, PTHREAD

ALLOWED = LIBC | LIBM | PTHREAD
"""The only symbols a bundle's code may leave undefined, in every format."""

# The start-up files of a toolchain ask for these weakly: absent, they are skipped.
OPTIONAL = {
    "_ITM_deregisterTMCloneTable",
    "_ITM_registerTMCloneTable",
    "__cxa_finalize",
    "__gmon_start__",
}


@dataclass(frozen=True)
class Symbol:
    """A symbol that is not local."""

    name: str
    defined: bool
    visibility: str


def elf_symbols(path: Path, section: str = ".symtab") -> list[Symbol]:
    """The non-local symbols of an ELF file's table."""
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(section)
        return [
            Symbol(
                symbol.name,
                symbol["st_shndx"] != "SHN_UNDEF",
                symbol["st_other"]["visibility"],
            )
            for symbol in table.iter_symbols()
            if symbol["st_info"]["bind"] != "STB_LOCAL" and symbol.name
        ]


@dataclass(frozen=True)
class Linked:
    """What a shared library asks of the system's loader."""

    soname: str
    needed: list[str]
    load_alignments: set[int]
    machine: str


def linked(path: Path) -> Linked:
    """Read a shared library's dynamic section and segments."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        dynamic = elf.get_section_by_name(".dynamic")
        assert isinstance(dynamic, DynamicSection)
        sonames = [tag.soname for tag in dynamic.iter_tags("DT_SONAME")]
        return Linked(
            soname=sonames[0],
            needed=[tag.needed for tag in dynamic.iter_tags("DT_NEEDED")],
            load_alignments={
                segment["p_align"]
                for segment in elf.iter_segments()
                if segment["p_type"] == "PT_LOAD"
            },
            machine=elf["e_machine"],
        )


def tool(name: str, *arguments: str | Path) -> str:
    """What an LLVM tool prints; skips where it is not installed."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: apt-get install llvm")
    done = subprocess.run([name, *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def macho_symbols(path: Path) -> list[Symbol]:
    """The external symbols of a Mach-O object, or of all members of an archive."""
    symbols = []
    for line in tool("llvm-nm", "-m", path).splitlines():
        found = re.search(
            r"\((undefined|__\w+,__\w+|common)\) (weak |\[.*\] )*(private external|external) (\S+)",
            line,
        )
        if found:
            symbols.append(Symbol(found[4], found[1] != "undefined", found[3]))
    return symbols


def members(archive: Path, folder: Path) -> list[Path]:
    """The objects of an archive, extracted into `folder`."""
    subprocess.run(["ar", "x", archive.absolute()], check=True, cwd=folder)
    return sorted(folder.glob("*.o"))

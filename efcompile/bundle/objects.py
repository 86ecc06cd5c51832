"""Symbols of a relocatable object, made private to the program that links it.

TVM exports every kernel, and two half-float helpers under the names of the compiler's own
runtime (with its own calling convention, so they must not meet code that means the real
ones).  Both are settled in the object itself, for ELF and Mach-O alike: kernels become
hidden (private extern), helpers get a new name as well.
"""

import struct
from collections.abc import Callable, Mapping

from efcompile.errors import ToolchainError

HALF_HELPERS = ("__extendhfsf2", "__truncsfhf2")
"""Defined by every object TVM writes."""

_ELF_SYMTAB = 2
_ELF_HIDDEN = 2
_MACHO_64 = 0xFEEDFACF
_LC_SYMTAB = 2
_MACHO_PRIVATE_EXTERN = 0x10
_MACHO_EXTERNAL = 0x01
_MACHO_STAB = 0xE0
_MACHO_DEFINED = 0x0E


def privatise(data: bytes, names: Mapping[str, str]) -> bytes:
    """The object with every symbol it defines hidden, and those in `names` renamed.

    `names` maps C names, without the underscore Mach-O puts before them.
    """
    if data[:4] == b"\x7fELF" and data[4] == 2:
        return _privatise_elf(bytearray(data), names)
    if struct.unpack_from("<I", data)[0] == _MACHO_64:
        return _privatise_macho(bytearray(data), names)
    raise ToolchainError("TVM wrote an object that is neither 64-bit ELF nor 64-bit Mach-O")


def _renamer(
    data: bytearray, start: int, size: int, names: Mapping[bytes, bytes]
) -> tuple[bytearray, Callable[[int], int]]:
    """A string table to append, and a function from old name offset to new."""
    table = data[start : start + size]
    added: dict[bytes, int] = {}

    def renamed(offset: int) -> int:
        name = bytes(table[offset : table.index(0, offset)])
        if name not in names:
            return offset
        if name not in added:
            added[name] = len(table)
            table.extend(names[name] + b"\0")
        return added[name]

    return table, renamed


def _privatise_elf(data: bytearray, names: Mapping[str, str]) -> bytes:
    sections, size, count = struct.unpack_from("<Q10xHH", data, 0x28)
    headers = [sections + i * size for i in range(count)]
    symtab = next(h for h in headers if struct.unpack_from("<I", data, h + 4)[0] == _ELF_SYMTAB)
    first, bytes_, link = struct.unpack_from("<QQI", data, symtab + 0x18)
    strings = headers[link]
    start, length = struct.unpack_from("<QQ", data, strings + 0x18)
    wanted = {old.encode(): new.encode() for old, new in names.items()}
    table, renamed = _renamer(data, start, length, wanted)
    for at in range(first, first + bytes_, 24):
        name, info, other, section = struct.unpack_from("<IBBH", data, at)
        if info >> 4 != 0 and section != 0:  # neither local nor undefined
            struct.pack_into("<IBB", data, at, renamed(name), info, other & ~3 | _ELF_HIDDEN)
    struct.pack_into("<QQ", data, strings + 0x18, len(data), len(table))
    return bytes(data + table)


def _privatise_macho(data: bytearray, names: Mapping[str, str]) -> bytes:
    (commands,) = struct.unpack_from("<I", data, 16)
    at = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<II", data, at)
        if command == _LC_SYMTAB:
            break
        at += size
    else:
        raise ToolchainError("TVM wrote a Mach-O object without a symbol table")
    first, count, start, length = struct.unpack_from("<IIII", data, at + 8)
    wanted = {b"_" + old.encode(): b"_" + new.encode() for old, new in names.items()}
    table, renamed = _renamer(data, start, length, wanted)
    for symbol in range(first, first + count * 16, 16):
        name, kind = struct.unpack_from("<IB", data, symbol)
        if kind & _MACHO_EXTERNAL and kind & _MACHO_DEFINED and not kind & _MACHO_STAB:
            struct.pack_into("<IB", data, symbol, renamed(name), kind | _MACHO_PRIVATE_EXTERN)
    struct.pack_into("<II", data, at + 16, len(data), len(table))
    return bytes(data + table)

"""The dynamic symbols of an ELF file: what the dynamic linker binds names to (System V gABI, chapters 4 and 5)."""

import struct

SHT_DYNSYM = 11
STT_FUNC, STT_GNU_IFUNC = 2, 10
STB_GLOBAL, STB_WEAK = 1, 2


class Function(tuple):
    """Its address as the file states it, and whether that is a function that finds the function (IFUNC)."""

    __slots__ = ()
    svma = property(lambda self: self[0])
    is_ifunc = property(lambda self: self[1])


def functions(path):
    """Functions that a 64-bit little-endian file defines for others, by name. Nothing of what is no such file."""
    with open(path, "rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return {}
        (offset,) = struct.unpack_from("<Q", head, 40)
        size, count = struct.unpack_from("<HH", head, 58)
        if size != 64:
            return {}
        file.seek(offset)
        table = file.read(size * count)
        # Name, type, flags, address, offset, size, link, info, alignment, entry size.
        sections = [struct.unpack_from("<IIQQQQIIQQ", table, at) for at in range(0, len(table) - 63, 64)]
        found = {}
        for section in sections:
            if section[1] == SHT_DYNSYM and section[6] < len(sections):
                strings = sections[section[6]]
                found.update(_symbols(_read(file, section), _read(file, strings)))
        return found


def _read(file, section):
    file.seek(section[4])
    return file.read(section[5])


def _symbols(table, strings):
    for at in range(0, len(table) - 23, 24):
        name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", table, at)
        kind = info & 15
        if section and info >> 4 in (STB_GLOBAL, STB_WEAK) and kind in (STT_FUNC, STT_GNU_IFUNC):
            end = strings.find(b"\0", name)
            yield strings[name:end].decode("ascii", "replace"), Function((value, kind == STT_GNU_IFUNC))

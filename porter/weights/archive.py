"""The zip archive that torch.save writes: members by name, each with the place of its bytes; nothing is unpacked."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from porter.diagnostics import InputError
from porter.weights.entries import SourceFile, Span

END = b"PK\x05\x06"
END64 = b"PK\x06\x06"
LOCATOR64 = b"PK\x06\x07"
CENTRAL = b"PK\x01\x02"
LOCAL = b"PK\x03\x04"
LONGEST_COMMENT = 65535
LARGEST_DIRECTORY = 1 << 30
LOCAL_FIELDS = struct.Struct("<H16xHH")


@dataclass(frozen=True)
class Member:
    """A member: where its local header is, how long its bytes are unpacked and packed, and their CRC-32."""

    name: str
    header: int
    length: int
    crc: int
    packed: int
    stored: bool


def damaged(path: str, what: str) -> InputError:
    return InputError(f"{path} is a damaged zip archive: {what}", "copy or download the checkpoint again")


class Archive:
    """The members of a zip file, found from its end as every zip reader does."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        count, size, self.directory = self._end()
        self.members = self._members(count, size)
        self.spans: dict[str, Span] = {}
        self._check_overlap()

    def _end(self) -> tuple[int, int, int]:
        tail_length = min(self.file.size, LONGEST_COMMENT + 22)
        tail = self.file.read(self.file.size - tail_length, tail_length)
        at = tail.rfind(END)
        if at < 0 or len(tail) - at < 22:
            raise damaged(self.file.path, "its directory is missing, the file is cut off")
        count, size, offset = struct.unpack_from("<HII", tail, at + 10)
        place = self.file.size - tail_length + at
        if 0xFFFF in (count,) or 0xFFFFFFFF in (size, offset):
            count, size, offset = self._end64(place)
        if offset + size > place or size > LARGEST_DIRECTORY or count * 46 > size:
            raise damaged(self.file.path, "its directory does not fit the file")
        return count, size, offset

    def _end64(self, end: int) -> tuple[int, int, int]:
        locator = self.file.read(max(0, end - 20), 20)
        if locator[:4] != LOCATOR64:
            raise damaged(self.file.path, "its 64-bit directory is missing")
        (offset,) = struct.unpack_from("<Q", locator, 8)
        if offset + 56 > end:
            raise damaged(self.file.path, "its 64-bit directory does not fit the file")
        record = self.file.read(offset, 56)
        if record[:4] != END64:
            raise damaged(self.file.path, "its 64-bit directory is missing")
        count, size, place = struct.unpack_from("<QQQ", record, 32)
        return count, size, place

    def _members(self, count: int, size: int) -> dict[str, Member]:
        directory = self.file.read(self.directory, size)
        members: dict[str, Member] = {}
        at = 0
        for _ in range(count):
            if directory[at : at + 4] != CENTRAL or at + 46 > size:
                raise damaged(self.file.path, "its directory holds something else than members")
            fields = struct.unpack_from("<HHHHIIIHHHHHII", directory, at + 8)
            flags, method, _, _, crc, packed, length, name_length, extra_length, comment, _, _, _, header = (
                fields
            )
            raw = directory[at + 46 : at + 46 + name_length]
            extra = directory[at + 46 + name_length : at + 46 + name_length + extra_length]
            at += 46 + name_length + extra_length + comment
            name = self._name(raw)
            packed, length, header = self._extra64(extra, packed, length, header)
            if flags & 1:
                raise InputError(
                    f"{self.file.path}: the member {name} is encrypted", "save it without a password"
                )
            if name in members:
                raise damaged(self.file.path, f"it holds {name} twice")
            if not name.endswith("/"):
                members[name] = Member(name, header, length, crc, packed, method == 0 and packed == length)
        return members

    def _name(self, raw: bytes) -> str:
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise damaged(self.file.path, f"the member name {raw!r} is not text") from None
        unsafe = name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "\0" in name
        if unsafe or name[1:2] == ":":
            raise InputError(
                f"{self.file.path}: the member name {name!r} leaves the archive", "do not trust this file"
            )
        return name

    def _extra64(self, extra: bytes, packed: int, length: int, header: int) -> tuple[int, int, int]:
        at = 0
        while at + 4 <= len(extra):
            kind, size = struct.unpack_from("<HH", extra, at)
            if kind == 1:
                values = (
                    list(struct.unpack_from(f"<{size // 8}Q", extra[: at + 4 + size], at + 4))
                    if (at + 4 + size <= len(extra))
                    else []
                )
                wide = []
                for value in (length, packed, header):
                    if value == 0xFFFFFFFF:
                        if not values:
                            raise damaged(self.file.path, "a 64-bit size is missing")
                        value = values.pop(0)
                    wide.append(value)
                length, packed, header = wide
            at += 4 + size
        return packed, length, header

    def _check_overlap(self) -> None:
        end, name = 0, ""
        for member in sorted(self.members.values(), key=lambda member: member.header):
            if member.header < end:
                raise damaged(self.file.path, f"the members {name} and {member.name} overlap")
            end, name = member.header + 30 + len(member.name.encode()) + member.packed, member.name
            if end > self.directory:
                raise damaged(self.file.path, f"the member {member.name} does not fit the file")

    def span(self, name: str) -> Span:
        """Where the bytes of a member are; InputError when it is missing or its header disagrees."""
        if name in self.spans:
            return self.spans[name]
        member = self.members.get(name)
        if member is None:
            raise damaged(self.file.path, f"the member {name} is missing")
        if not member.stored:
            raise InputError(
                f"{self.file.path}: the member {name} is compressed, which torch.save never does",
                "load it and save it again with torch.save",
            )
        raw = name.encode()
        header = self.file.read(member.header, 30 + len(raw))
        method, name_length, extra_length = LOCAL_FIELDS.unpack_from(header, 8)
        offset = member.header + 30 + name_length + extra_length
        if header[:4] != LOCAL or method != 0 or offset + member.length > self.directory:
            raise damaged(self.file.path, f"the header of {name} does not fit the file")
        if name_length != len(raw) or header[30:] != raw:
            raise damaged(self.file.path, f"the header of {name} has another name")
        span = self.spans[name] = Span(self.file, offset, member.length)
        return span

    def read(self, name: str, limit: int) -> bytes:
        """The whole of a small member, its CRC checked."""
        span = self.span(name)
        if span.length > limit:
            raise InputError(
                f"{self.file.path}: {name} has {span.length} bytes, more than a checkpoint needs", ""
            )
        content = self.file.read(span.offset, span.length)
        if zlib.crc32(content) != self.members[name].crc:
            raise damaged(self.file.path, f"the bytes of {name} do not match their checksum")
        return content

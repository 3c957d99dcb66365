"""A ZIP that is nowhere: any of its bytes can be read, by its length and sums known beforehand.

Stored, not deflated: a PDF does not shrink, and the place of each byte is then known. The format
is that of APPNOTE.TXT, 4.3.7 (local header), 4.3.12 (central directory) and 4.3.16 (its end),
without ZIP64: below 4 GiB and 65,536 entries.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import IO, Any, NamedTuple

_VERSION = 20
_STORED = 0
_MADE_ON_UNIX = 3 << 8 | _VERSION
_READABLE_FILE = 0o100644 << 16
# The first day of the format: a true date would make other bytes of the same documents.
_TIME, _DAY = 0, 1 << 5 | 1
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")


class Entry(NamedTuple):
    """name: ASCII. open: gives the content from its first byte."""

    name: str
    size: int
    crc32: int
    open: Callable[[], IO[bytes]]


def text_entry(name: str, text: str) -> Entry:
    content = text.encode()
    return Entry(name, len(content), zlib.crc32(content), lambda: io.BytesIO(content))


class _Piece(NamedTuple):
    start: int
    size: int
    open: Callable[[], IO[bytes]]


class Archive(io.RawIOBase):
    """Reads like a file; holds open one entry at a time.

    `at_end`: called before the last byte is given.
    """

    def __init__(
        self, entries: Sequence[Entry], at_end: Callable[[], object] = lambda: None
    ) -> None:
        self.size = 0
        self._pieces: list[_Piece] = []
        self._position = 0
        self._open: tuple[_Piece, IO[bytes]] | None = None
        self._at_end = at_end
        directory = b""
        for entry in entries:
            directory += _central(entry, self.size)
            self._add_bytes(_local(entry))
            self._add(entry.size, entry.open)
        count = len(entries)
        end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), self.size, 0)
        self._add_bytes(directory + end)
        self._starts = [piece.start for piece in self._pieces]

    def _add_bytes(self, content: bytes) -> None:
        self._add(len(content), lambda: io.BytesIO(content))

    def _add(self, size: int, opener: Callable[[], IO[bytes]]) -> None:
        if size:
            self._pieces.append(_Piece(self.size, size, opener))
            self.size += size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """As much as one piece has; raises OSError where a content is not as long as was said."""
        if self._position >= self.size or not len(buffer):
            return 0
        piece = self._pieces[bisect_right(self._starts, self._position) - 1]
        content = self._content_of(piece)
        place = self._position - piece.start
        if content.tell() != place:
            content.seek(place)
        data = content.read(min(len(buffer), piece.size - place))
        if not data:
            raise OSError(f"A content of {piece.size} bytes ends at {place}.")
        buffer[: len(data)] = data
        self._position += len(data)
        if self._position == self.size:
            self._at_end()
        return len(data)

    def _content_of(self, piece: _Piece) -> IO[bytes]:
        if self._open is None or self._open[0] is not piece:
            self._leave()
            self._open = piece, piece.open()
        return self._open[1]

    def _leave(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def close(self) -> None:
        self._leave()
        super().close()


def _local(entry: Entry) -> bytes:
    return _LOCAL.pack(b"PK\3\4", _VERSION, 0, _STORED, *_facts(entry), 0) + entry.name.encode()


def _central(entry: Entry, offset: int) -> bytes:
    return (
        _CENTRAL.pack(
            b"PK\1\2",
            _MADE_ON_UNIX,
            _VERSION,
            0,
            _STORED,
            *_facts(entry),
            *(0, 0, 0, 0),  # no extra field, no comment, first disk, nothing said of the text
            _READABLE_FILE,
            offset,
        )
        + entry.name.encode()
    )


def _facts(entry: Entry) -> tuple[int, ...]:
    return _TIME, _DAY, entry.crc32, entry.size, entry.size, len(entry.name)

"""The gateway's journal on disk: appended durably, bounded in size, read by the AMS page."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from rclib.runtime.errors import StartError
from rclib.runtime.files import append_durably, read_whole_lines
from rclib.wire.journal import GENESIS, JournalLine, decode_line, digest_of, encode_line, make_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rclib.tunnel.enrolment import Identity
    from rclib.wire.audit import AuditEvent
    from rclib.wire.journal import LineDigest

MAX_FILE_BYTES: Final = 4 * 1024 * 1024
"""Of each of two files: some ten thousand events are at hand."""


class Journal:
    """Two files, `journal.jsonl` and the one before it; the caller is the only writer."""

    def __init__(self, directory: Path, identity: Identity) -> None:
        self._identity = identity
        self._older = _File(directory / "journal.1.jsonl")
        self._newer = _File(directory / "journal.jsonl")
        newest = self._newer.newest or self._older.newest
        self._digest: LineDigest = digest_of(newest) if newest is not None else GENESIS

    @property
    def last_seq(self) -> int:
        """Number of the newest event; 0: there is none."""
        return (self._newer.seqs or self._older.seqs or [0])[-1]

    def append(self, event: AuditEvent) -> None:
        """Sign and keep one event; raises OSError, and then nothing was kept."""
        line = make_line(self._digest, event, self._identity.sign)
        data = encode_line(line) + b"\n"
        if self._newer.size + len(data) > MAX_FILE_BYTES:
            self._rotate()
        self._newer.append(event.seq, data)
        self._digest = digest_of(line)

    def catch_up(self, recorded: Iterable[AuditEvent]) -> None:
        """Take over what is not here yet; raises OSError."""
        for event in recorded:
            if event.seq > self.last_seq:
                self.append(event)

    def lines_after(self, seq: int, max_bytes: int) -> tuple[bytes, ...]:
        """Return the oldest lines behind `seq`: at least one if there is any, up to `max_bytes`."""
        for file in (self._older, self._newer):
            lines = file.lines_after(seq, max_bytes)
            if lines:
                return lines
        return ()

    def _rotate(self) -> None:
        self._newer.path.replace(self._older.path)
        self._newer, self._older = _File(self._newer.path), _File(self._older.path)


class _File:
    """One file and where its lines begin."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seqs: list[int] = []
        self.newest: JournalLine | None = None
        self._starts: list[int] = []
        self.size = 0
        for line in _whole_lines(path):
            try:
                self.newest = decode_line(line)
            except ValueError as exc:
                raise StartError(
                    f"{path}, line {len(self.seqs) + 1}: {exc}; move the file aside for "
                    "inspection and start again"
                ) from None
            self._note(self.newest.event.seq, len(line) + 1)

    def append(self, seq: int, data: bytes) -> None:
        append_durably(self.path, data)
        self._note(seq, len(data))

    def lines_after(self, seq: int, max_bytes: int) -> tuple[bytes, ...]:
        first = bisect_right(self.seqs, seq)
        if first == len(self.seqs):
            return ()
        start = self._starts[first]
        last = max(first + 1, bisect_right(self._starts, start + max_bytes) - 1)
        if self.size - start <= max_bytes:
            last = len(self.seqs)
        end = self._starts[last] if last < len(self._starts) else self.size
        with self.path.open("rb") as file:
            file.seek(start)
            return tuple(file.read(end - start).splitlines())

    def _note(self, seq: int, length: int) -> None:
        self.seqs.append(seq)
        self._starts.append(self.size)
        self.size += length


def _whole_lines(path: Path) -> list[bytes]:
    try:
        return read_whole_lines(path, MAX_FILE_BYTES)
    except (OSError, ValueError) as exc:
        raise StartError(
            f"{path} cannot be used: {exc}; move it aside for inspection and start again"
        ) from None

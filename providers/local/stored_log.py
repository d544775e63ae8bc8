"""The log of one server in its archive: sealed segments, and those that still lie in the spool."""

import os
import struct
from functools import cached_property
from pathlib import Path

import zstandard

from domain.errors import WalDamagedError, WalMissingError
from providers.local.crypto import Sealed, seal, unseal
from providers.local.layout import Layout, put_in_place, read_record, write_record, write_text
from providers.local.records import ArchiveRecord
from providers.local.wal import SEGMENT_NAME, LogSummary, Segments

_SEALED = ".zst.aes"


class StoredLog:
    """Reads and writes segments by number. Knows no server, only files."""

    def __init__(self, layout: Layout, server: str) -> None:
        self.server = server
        self._archive = layout.archive(server)
        self.folder = self._archive / "wal"
        self.spool = layout.spool(server)

    @property
    def record(self) -> ArchiveRecord | None:
        """What this is the log of, or None before the first byte arrived."""
        return read_record(self._archive / "archive.json", ArchiveRecord)

    @cached_property
    def segments(self) -> Segments:
        """The segment arithmetic of this archive.

        Raises:
            WalMissingError: nothing was ever archived.
        """
        record = self.record
        if record is None:
            raise WalMissingError(f"{self.server}: has no archive yet; is the supervisor running?")
        return Segments(timeline=record.timeline, size=record.segment_bytes)

    def sealed_numbers(self) -> list[int]:
        """Return the numbers of the sealed segments, ascending."""
        if self.record is None:
            return []
        names = (path.name.removesuffix(_SEALED) for path in self.folder.glob(f"*{_SEALED}"))
        prefix = f"{self.segments.timeline:08X}"
        return sorted(
            self.segments.number_of(name)
            for name in names
            if SEGMENT_NAME.fullmatch(name) and name.startswith(prefix)
        )

    def tail(self) -> dict[int, Path]:
        """Return the segments that are still in the spool, the open one included."""
        if self.record is None or not self.spool.exists():
            return {}
        found: dict[int, Path] = {}
        for path in sorted(self.spool.iterdir(), reverse=True):
            name = path.name.removesuffix(".partial")
            if SEGMENT_NAME.fullmatch(name) and name.startswith(f"{self.segments.timeline:08X}"):
                found[self.segments.number_of(name)] = path
        return found

    def holds(self, number: int) -> bool:
        """Return whether segment `number` is there, sealed or in the spool."""
        return self.file(number).exists() or number in self.tail()

    def file(self, number: int) -> Path:
        """Return where segment `number` is, or would be, sealed."""
        return self.folder / f"{self.segments.name(number)}{_SEALED}"

    def summary(self, number: int) -> LogSummary | None:
        """Return what was summed up of a sealed segment."""
        return read_record(self.folder / f"{self.segments.name(number)}.json", LogSummary)

    def store(self, number: int, source: Path, summary: LogSummary, master: bytes) -> Sealed:
        """Seal one finished segment, its summary first, and remove it from the spool."""
        target = self.file(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_record(target.with_name(f"{self.segments.name(number)}.json"), summary)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        packed = zstandard.ZstdCompressor(level=1).compress(
            source.read_bytes().ljust(self.segments.size, b"\0")
        )
        with unfinished.open("wb") as sink:
            sealed = seal([packed], sink, master)
            sink.flush()
            os.fsync(sink.fileno())
        write_text(target.with_suffix(".sha256"), sealed.sha256)
        put_in_place(unfinished, target)
        source.unlink()
        return sealed

    def unpack(self, number: int, target: Path, master: bytes) -> None:
        """Write segment `number` in plain to `target`, from the archive or the spool.

        Raises:
            WalMissingError: it is in neither.
            BackupDamagedError: it does not unseal.
        """
        name = self.segments.name(number)
        stored = self.file(number)
        plain = self.tail().get(number)
        if stored.exists():
            with stored.open("rb") as source:
                packed = b"".join(unseal(source, master, stored.name))
            content = zstandard.ZstdDecompressor().decompress(
                packed, max_output_size=self.segments.size
            )
            self._require_own(number, content)
        elif plain is not None:
            content = self._open_segment(number, plain)
        else:
            raise WalMissingError(
                f"the archive of {self.server} lacks log segment {name}; choose a point before it "
                f"(`refloat recovery-point list`) or bring the file back to {stored.parent}"
            )
        # the receiver may be filling a new segment up to its size at this moment
        (target / name).write_bytes(content.ljust(self.segments.size, b"\0"))

    def remove(self, number: int) -> None:
        """Forget a sealed segment."""
        name = self.segments.name(number)
        for suffix in (_SEALED, ".zst.sha256", ".json"):
            (self.folder / f"{name}{suffix}").unlink(missing_ok=True)

    def _require_own(self, number: int, content: bytes) -> None:
        """Hold the header of the first page against what the segment should be.

        Raises:
            WalDamagedError: it is of another cluster, or another segment.
        """
        record, name = self.record, self.segments.name(number)
        start, system = struct.unpack_from("=Q8xQ", content, 8)
        if record is not None and str(system) != record.system_identifier:
            raise WalDamagedError(
                f"log segment {name} of {self.server} is of another cluster (system identifier "
                f"{system}, not {record.system_identifier}); bring the right file back to "
                f"{self.file(number).parent}, or choose a point before it"
            )
        if start != number * self.segments.size:
            raise WalDamagedError(
                f"the file of log segment {name} of {self.server} holds "
                f"{self.segments.name(start // self.segments.size)}; bring the right file back to "
                f"{self.file(number).parent}, or choose a point before it"
            )

    def _open_segment(self, number: int, plain: Path) -> bytes:
        try:
            return plain.read_bytes()
        except FileNotFoundError:  # it was finished and renamed, or sealed, a moment ago
            finished = self.tail().get(number)
            if finished is None:
                raise WalMissingError(
                    f"log segment {self.segments.name(number)} moved while it was read; try again"
                ) from None
            return finished.read_bytes()

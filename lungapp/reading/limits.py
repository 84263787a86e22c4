"""How much input is accepted; checked on headers, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from lungapp.errors import InputTooLarge

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Upper limits on what is handed in at once.

    The defaults hold a CT of a thousand slices, and any slice many times over (4096 x 4096 is 17 million pixels).

    Attributes
    ----------
    max_bytes : of one file, an archive's members included, as it is once unpacked.
    max_total_bytes : of all files together, unpacked.
    max_pixels : of one image, rows times columns.
    max_frames : images in one file.
    max_files : files handed in at once, those inside archives included.
    max_nesting : archives inside one another; 1 is an archive that holds no other.
    max_ratio : how many times larger than its compressed form a member of an archive may be. CT reaches about 5; bombs
        reach a thousand.
    max_seconds : of computing that reading one file, or one slice of it, may take.
    max_total_seconds : of computing that reading all files handed in at once may take, but for the first tenth of a
        second of each slice: no honest one takes longer.
    max_memory : bytes that reading one file may take; those above `lungapp.reading.room.LARGE_BYTES` are read one
        after the other, all others within `lungapp.reading.room.ORDINARY_MEMORY` each.
    """

    max_bytes: int = 512 * MIB
    max_total_bytes: int = 2048 * MIB
    max_pixels: int = 40_000_000
    max_frames: int = 2000
    max_files: int = 5000
    max_nesting: int = 2
    max_ratio: int = 200
    max_seconds: int = 10
    max_total_seconds: int = 60
    max_memory: int = 1536 * MIB

    def check_bytes(self, size: int) -> None:
        """Raise `InputTooLarge` for a file of more than ``max_bytes`` bytes."""
        if size > self.max_bytes:
            raise InputTooLarge(
                "Expected a file of at most {most:,} bytes. Received: a larger one.", most=self.max_bytes
            )

    def check_total(self, size: int) -> None:
        """Raise `InputTooLarge` for files of more than ``max_total_bytes`` bytes together."""
        if size > self.max_total_bytes:
            raise InputTooLarge(
                "Expected files of at most {most:,} bytes together. Received: larger ones.", most=self.max_total_bytes
            )

    def check_pixels(self, rows: int, columns: int) -> None:
        """Raise `InputTooLarge` for an image of more than ``max_pixels`` pixels."""
        if rows * columns > self.max_pixels:
            raise InputTooLarge(
                "Expected an image of at most {most:,} pixels. Received: {columns} x {rows} pixels.",
                most=self.max_pixels,
                columns=columns,
                rows=rows,
            )

    def check_frames(self, count: int) -> None:
        """Raise `InputTooLarge` for more than ``max_frames`` images in one file."""
        if count > self.max_frames:
            raise InputTooLarge(
                "Expected at most {most:,} images in a file. Received: {count:,}.", most=self.max_frames, count=count
            )

    def check_files(self, count: int) -> None:
        """Raise `InputTooLarge` for more than ``max_files`` files."""
        if count > self.max_files:
            raise InputTooLarge("Expected at most {most:,} files at once. Received: more.", most=self.max_files)

    def check_nesting(self, depth: int) -> None:
        """Raise `InputTooLarge` for archives more than ``max_nesting`` deep."""
        if depth > self.max_nesting:
            raise InputTooLarge("Expected archives at most {most} deep. Received: a deeper one.", most=self.max_nesting)

    def check_ratio(self, size: int, compressed: int) -> None:
        """Raise `InputTooLarge` for ``size`` bytes packed into ``compressed`` by more than ``max_ratio``.

        What unpacks to less than a MiB is harmless at any ratio.
        """
        if size > MIB and size > self.max_ratio * max(1, compressed):
            raise InputTooLarge(
                "Expected data compressed at most {most:,} to 1. Received: a denser archive.", most=self.max_ratio
            )

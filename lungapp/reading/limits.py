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
    max_ratio : how many times larger than its compressed form a member of an archive may be. CT reaches about 5, a
        blank picture some hundreds; bombs reach thousands.
    """

    max_bytes: int = 512 * MIB
    max_total_bytes: int = 2048 * MIB
    max_pixels: int = 40_000_000
    max_frames: int = 2000
    max_files: int = 5000
    max_nesting: int = 2
    max_ratio: int = 1000

    def check_bytes(self, size: int) -> None:
        """Raise `InputTooLarge` for a file of more than ``max_bytes`` bytes."""
        if size > self.max_bytes:
            raise InputTooLarge(f"Expected a file of at most {self.max_bytes:,} bytes. Received: a larger one.")

    def check_total(self, size: int) -> None:
        """Raise `InputTooLarge` for files of more than ``max_total_bytes`` bytes together."""
        if size > self.max_total_bytes:
            raise InputTooLarge(
                f"Expected files of at most {self.max_total_bytes:,} bytes together. Received: larger ones."
            )

    def check_pixels(self, rows: int, columns: int) -> None:
        """Raise `InputTooLarge` for an image of more than ``max_pixels`` pixels."""
        if rows * columns > self.max_pixels:
            raise InputTooLarge(
                f"Expected an image of at most {self.max_pixels:,} pixels. Received: {columns} x {rows} pixels."
            )

    def check_frames(self, count: int) -> None:
        """Raise `InputTooLarge` for more than ``max_frames`` images in one file."""
        if count > self.max_frames:
            raise InputTooLarge(f"Expected at most {self.max_frames:,} images in a file. Received: {count:,}.")

    def check_files(self, count: int) -> None:
        """Raise `InputTooLarge` for more than ``max_files`` files."""
        if count > self.max_files:
            raise InputTooLarge(f"Expected at most {self.max_files:,} files at once. Received: more.")

    def check_nesting(self, depth: int) -> None:
        """Raise `InputTooLarge` for archives more than ``max_nesting`` deep."""
        if depth > self.max_nesting:
            raise InputTooLarge(f"Expected archives at most {self.max_nesting} deep. Received: a deeper one.")

    def check_ratio(self, size: int, compressed: int) -> None:
        """Raise `InputTooLarge` for ``size`` bytes packed into ``compressed`` by more than ``max_ratio``.

        What unpacks to less than a MiB is harmless at any ratio.
        """
        if size > MIB and size > self.max_ratio * max(1, compressed):
            raise InputTooLarge(
                f"Expected data compressed at most {self.max_ratio:,} to 1. Received: a denser archive."
            )

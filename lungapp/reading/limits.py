"""How much input is accepted; checked on headers, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from lungapp.errors import InputTooLarge

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Upper limits on one input: ``max_bytes`` of the file, ``max_pixels`` of the image (rows times columns).

    The defaults hold any CT slice many times over (4096x4096 is 17 million pixels) and still decode within a few
    hundred MiB of memory.
    """

    max_bytes: int = 64 * MIB
    max_pixels: int = 40_000_000

    def check_bytes(self, size: int) -> None:
        """Raise `InputTooLarge` for a file of more than ``max_bytes`` bytes."""
        if size > self.max_bytes:
            raise InputTooLarge(f"Expected a file of at most {self.max_bytes:,} bytes. Received: a larger one.")

    def check_pixels(self, rows: int, columns: int) -> None:
        """Raise `InputTooLarge` for an image of more than ``max_pixels`` pixels."""
        if rows * columns > self.max_pixels:
            raise InputTooLarge(
                f"Expected an image of at most {self.max_pixels:,} pixels. Received: {columns} x {rows} pixels."
            )

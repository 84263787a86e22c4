"""The results on disk: a folder of Parquet files, each there whole or not at all.

What is finished is read from the rows themselves; there is no other record that could disagree with them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungapp.archive.inputs import digest
from lungapp.archive.rows import schema
from lungapp.errors import InvalidSetting, StorageUnavailable

if TYPE_CHECKING:
    import pyarrow


class Parts:
    """The folder of parts at ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """Made where it is not there, and kept from a second run for as long as this one takes.

        Raises
        ------
        StorageUnavailable : it cannot be written to, or another run is writing to it.
        InvalidSetting : something else lies there.
        """
        from filelock import FileLock, Timeout

        if self.folder.exists() and not self.folder.is_dir():
            raise InvalidSetting("Expected --out to name a new folder or one of results. Received: a file.")
        if self.folder.is_dir() and not self._ours():
            raise InvalidSetting("Expected --out to name a new folder or one of results. Received: one of other files.")
        with _writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ".try").write_bytes(b"")
            (self.folder / ".try").unlink()
            lock = FileLock(self.folder / ".lock", timeout=0)
        with _writing():
            try:
                lock.acquire()
            except Timeout as error:
                message = "Expected --out to be free. Received: a folder that another run is writing to."
                raise StorageUnavailable(message) from error
        try:
            for left in self.folder.glob(".part-*"):  # of a run that was killed while it wrote
                left.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def _ours(self) -> bool:
        return all(path.name.startswith(".") or path.suffix == ".parquet" for path in self.folder.iterdir())

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def read(self, columns: Sequence[str]) -> Iterator[tuple[Path, pyarrow.Table]]:
        """Each part with some of its columns. Raises `StorageUnavailable` for one that is damaged."""
        import pyarrow.parquet

        for path in self.files():
            try:
                yield path, pyarrow.parquet.ParquetFile(path).read(columns=list(columns))
            except (OSError, ValueError, KeyError) as error:
                raise StorageUnavailable(
                    f"Expected {path.name} to be Parquet of LungApp. Received: a damaged or a foreign file. "
                    "Take it away, and what was in it is scored again."
                ) from error

    def finished(self) -> set[str]:
        """The keys of all inputs that have rows."""
        return {key for _, table in self.read(["input"]) for key in table["input"].unique().to_pylist()}

    def check(self, version: str, settings: str) -> None:
        """Raise `InvalidSetting` where rows are there of another version or of other settings, the weights included."""
        for _, table in self.read(["version", "settings"]):
            for name, value in (("version", version), ("settings", settings)):
                others = set(table[name].unique().to_pylist()) - {value}
                if others:
                    what = _difference(others.pop(), value) if name == "settings" else "version"
                    raise InvalidSetting(
                        f"Expected --out to hold results of the same {what}. Received: results of another one; "
                        "name a new folder."
                    )

    def drop_outdated(self, current: Mapping[str, str]) -> int:
        """Take away the rows of files that have changed since, so that they are scored anew; how many rows those were.

        ``current`` is the key of each input by what rows call it.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        dropped = 0
        for path, table in self.read(schema().names):
            pairs = zip(table["path"].to_pylist(), table["input"].to_pylist(), strict=True)
            old = {key for name, key in pairs if current.get(name, key) != key}
            if not old:
                continue
            keep = table.filter(pc.invert(pc.is_in(table["input"], pa.array(sorted(old)))))
            dropped += table.num_rows - keep.num_rows
            with _writing():
                self._put(path, keep) if keep.num_rows else path.unlink()
        return dropped

    def write(self, tables: Sequence[pyarrow.Table]) -> None:
        """One more part, of all ``tables``. Raises `StorageUnavailable`."""
        import pyarrow as pa

        table = pa.concat_tables(tables)
        name = digest(" ".join(sorted(set(table["input"].to_pylist()))))[:16]
        with _writing():
            self._put(self.folder / f"part-{name}.parquet", table)

    def _put(self, path: Path, table: Any) -> None:
        import pyarrow.parquet

        unfinished = self.folder / f".{path.stem}.tmp"
        with unfinished.open("wb") as stream:
            pyarrow.parquet.write_table(table, stream, compression="zstd")
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(
            f"Expected --out to be a folder that can be written to. Received: {error.strerror or type(error).__name__}."
        ) from error


def _difference(one: str, other: str) -> str:
    """In which of the settings two texts of them differ."""
    first, second = json.loads(one), json.loads(other)
    return ", ".join(name for name in second if first.get(name) != second[name]) or "settings"

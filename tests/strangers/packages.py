"""Pictures and DICOM files that installed packages ship for their own tests."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from lungapp.slices import Slice
from tests.strangers.making import from_picture, readable


def _below(package: str, *patterns: str) -> list[Path]:
    found = importlib.util.find_spec(package)
    places = found.submodule_search_locations if found else None
    return sorted(path for pattern in patterns for path in Path(next(iter(places))).rglob(pattern)) if places else []


def _dicom() -> Iterator[Slice]:
    """MR, ultrasound, dose, colour and liver of pydicom; its CT images are heads and a crop around a spine."""
    return readable(_below("pydicom", "test_files/*.dcm"))


def _photographs(grey: bool) -> Callable[[], Iterator[Slice]]:
    def slices() -> Iterator[Slice]:
        files = [
            *_below("sklearn", "datasets/images/*.jpg"),
            *_below("gradio", "media_assets/images/*.jp*g", "media_assets/images/*.png"),
            *_below("matplotlib", "sample_data/*.jpg", "sample_data/*.png", "mpl-data/images/*.png"),
            *_below("gradio", "test_data/*.jpg", "test_data/*.png"),
        ]
        for file in files:
            with Image.open(file) as picture:
                yield from_picture(picture.convert("L" if grey else "RGB"))

    return slices


FAMILIES = {
    "DICOM of other kinds": _dicom,
    "photographs and logos": _photographs(False),
    "photographs and logos, grey": _photographs(True),
}

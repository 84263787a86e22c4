"""Every error LungApp raises on purpose. Messages are fit for a user: what was expected, then what was received.

LungAppError
├── InputError              the file or array that was handed in
│   ├── UnreadableInput       damaged, truncated, empty, or not an image at all
│   ├── UnsupportedInput      readable, but of a kind that is not handled
│   └── InputTooLarge         over a limit on bytes, pixels or frames
├── InvalidSetting          a setting that is malformed or out of range
├── StorageUnavailable      no room, or no right to write, where uploads are kept for a while
├── Busy                    too many wait for the same model
├── UnknownModel            no such model name
├── UnknownTarget           no such class to explain
├── UnknownMethod           no such explanation method
├── WeightsError            the weights of one model; the others work on
│   ├── WeightsMissing
│   └── WeightsMismatch       digest, spec or shapes do not match the card
└── DatasetError            training data
    ├── DatasetNotFound
    └── DatasetDamaged        a copy whose pixels were altered on the way
"""

from __future__ import annotations

import errno
import logging
import traceback
from pathlib import Path
from typing import Any

from lungapp.texts import Text, mark

UNEXPECTED = mark("Something went wrong on our side and the slice was not analysed. Please try again.")

logger = logging.getLogger(__name__)


class LungAppError(Exception):
    """Base class. ``str(error)`` is plain text for a user, free of paths and markup.

    ``message`` is a template for the ``values``, if there are any, or the whole message. ``str(error)`` is a `Text`, so
    what is kept of an error can be told in another language.
    """

    def __init__(self, message: str = "", /, **values: Any) -> None:
        super().__init__(message if isinstance(message, Text) else Text(message, **values))


class InputError(LungAppError):
    """The input cannot be analysed."""


class UnreadableInput(InputError):
    """The bytes are damaged, truncated, empty, or not an image."""


class UnsupportedInput(InputError):
    """The bytes are understood but of a kind that is not handled."""


class InputTooLarge(InputError):
    """The input is over a limit on bytes, pixels or frames."""


class InvalidSetting(LungAppError):
    """An environment variable of LungApp is malformed or out of range."""


class StorageUnavailable(LungAppError):
    """The temporary folder is full or cannot be written to."""


class Busy(LungAppError):
    """Too many requests wait for the same model."""


class UnknownModel(LungAppError):
    """No model of that name."""


class UnknownTarget(LungAppError):
    """No class of that name to explain."""


class UnknownMethod(LungAppError):
    """No explanation method of that name."""


class WeightsError(LungAppError):
    """The weights of one model cannot be used."""


class WeightsMissing(WeightsError):
    """The weights file or its card is not there."""


class WeightsMismatch(WeightsError):
    """Digest, spec or shapes do not match the card."""


class DatasetError(LungAppError):
    """The training data cannot be used."""


class DatasetNotFound(DatasetError):
    """No dataset in the published folder layout was found."""


class DatasetDamaged(DatasetError):
    """The copy's pixels were altered after publication."""


NO_ROOM = mark(
    "Expected room for the upload in the server's temporary folder. Received: a full or read-only disk. Nothing that "
    "was open is lost; please try again, or tell whoever runs this page."
)


def is_full(error: OSError) -> bool:
    """Whether ``error`` is of a disk that takes nothing more, not of the file in question."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def explain(error: Exception) -> str:
    """What to tell the user, as plain text.

    Our own errors say what was expected and received. Anything else is a fault of the program: it gets a general
    sentence, and the log gets its type and place but not its message, which may quote a file name or a DICOM value.
    """
    if isinstance(error, LungAppError):
        return str(error)
    if isinstance(error, OSError) and is_full(error):
        return NO_ROOM
    frames = traceback.extract_tb(error.__traceback__)
    place = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    logger.error("Unexpected %s at %s", type(error).__name__, place or "an unknown place")
    return UNEXPECTED

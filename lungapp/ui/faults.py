"""What the error output says of a fault: what kind it is and where in the code, never the words of an error.

An error of a library quotes what it was given: a file's name, a value of a header. So nothing that this process writes
by itself holds an error's words, whatever `LUNGAPP_LOG` is: no traceback, warning or line of another library's log.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

OURS = "lungapp"

DEEPEST = 30
"""Places of a fault that are named, the innermost ones."""


class JsonLines(logging.Formatter):
    """One record as one line of JSON; of other libraries' records the place alone."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "told", None)
        if facts is None and record.exc_info and record.exc_info[1]:
            facts = describe(record.exc_info[1])
        elif facts is None and record.name.partition(".")[0] == OURS:
            facts = {"event": "message", "text": record.getMessage()}
        elif facts is None:
            facts = {"event": "message", "logger": record.name, "at": f"{record.module}:{record.lineno}"}
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": moment, "level": record.levelname.lower(), **facts})


def describe(error: BaseException) -> dict[str, Any]:
    """Kinds of ``error`` and of what it came from, and where they arose."""
    kinds: list[str] = []
    places: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(kinds) < DEEPEST:
        kinds.append(type(cause).__name__)
        for frame, line in traceback.walk_tb(cause.__traceback__):
            file = Path(frame.f_code.co_filename)
            places.append(f"{file.parent.name}/{file.name}:{line}")
        cause = cause.__cause__ or cause.__context__
    return {"event": "fault", "error": " from ".join(kinds), "at": places[-DEEPEST:]}


def keep_words_out(stream: TextIO | None = None) -> None:
    """Have every fault, warning and record of this process written to ``stream``, the error output, in that form."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    ours.handlers, ours.propagate = [handler], False
    sys.excepthook = _on_exception
    threading.excepthook = lambda args: _write(args.exc_value)
    sys.unraisablehook = lambda args: _write(args.exc_value)
    # Gradio prints the traceback of a call that failed, as other libraries do.
    traceback.print_exc = lambda *_, **__: _write(sys.exc_info()[1])
    warnings.showwarning = _on_warning  # type: ignore[assignment]


def _write(error: BaseException | None) -> None:
    if error is not None:
        logging.getLogger(OURS).error("fault", extra={"told": describe(error)})


def _on_exception(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    _write(error)


def _on_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    place = f"{Path(filename).name}:{lineno}"
    logging.getLogger(OURS).warning("", extra={"told": {"event": "warning", "kind": category.__name__, "at": place}})

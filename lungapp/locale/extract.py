"""The English that a reader may meet, out of the code: what is handed to one of `CALLS` as a literal."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lungapp import errors

ROOT = Path(__file__).parents[1]

ERRORS = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.LungAppError)}

CALLS = {"say", "say_html", "mark", "Text", "plural"} | ERRORS


SHELL = ("archive/", "__main__.py", "hub.py", "settings.py", "startup.py", "users.py")
"""What speaks to an operator in a shell or a log, which stays English."""


class Found(NamedTuple):
    """One or, where it counts something, two templates, and the file they stand in, relative to the package."""

    one: str
    many: str
    file: str


def find_texts(root: Path = ROOT) -> Iterator[Found]:
    """Everything in the code under ``root``, file after file."""
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root).as_posix()
        if file.startswith(SHELL):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
            yield from _in_call(call, file)


def _in_call(call: ast.Call, file: str) -> Iterator[Found]:
    called = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if called not in CALLS:
        return
    words = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    literal = [word for word in words if isinstance(word, str) and word]
    if literal:
        yield Found(literal[0], literal[1] if called == "plural" else "", file)

"""Gradio's upload route, but into a folder of the visitor's own, within limits, and with words where there is no room.

Gradio itself names an upload's folder after the content, so that all who have the same file share one folder.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive

from lungapp.errors import NO_ROOM, is_full
from lungapp.reading import Limits
from lungapp.ui.language import say
from lungapp.ui.vault import TIDY_EVERY, vault

if TYPE_CHECKING:
    import gradio as gr


class _TooMuch(Exception):
    """More was sent than all files of an upload may hold."""


def upload_route(demo: gr.Blocks, limits: Limits) -> Callable[[Request], Awaitable[Response]]:
    """The route's endpoint: receives files, answers with their paths, which mean something to their uploader only."""
    served = count(1)

    async def upload(request: Request) -> Response:
        from gradio.route_utils import MultiPartException
        from starlette.exceptions import HTTPException

        try:
            folder = vault.folder(request.scope["lungapp.visitor"])
            files = await _receive(request, folder, limits)
        except MultiPartException as error:
            return PlainTextResponse(error.message, 413 if "maximum allowed size" in error.message else 400)
        except HTTPException as error:
            return PlainTextResponse(str(error.detail), error.status_code)
        except _TooMuch:
            return PlainTextResponse(
                say("Expected at most {most} bytes at once. Received: more.", most=limits.max_total_bytes), 413
            )
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return PlainTextResponse(say("Expected a shorter file name."), 400)
            if not is_full(error):
                raise
            return PlainTextResponse(say(NO_ROOM), 507)
        demo.upload_file_set.update(files)  # swept by Gradio when they are old
        if next(served) % TIDY_EVERY == 0:
            forget_gone(demo.temp_file_sets)
        return JSONResponse(files)

    return upload


def forget_gone(sets: Iterable[set[str]]) -> None:
    """Take the files out of ``sets`` that are no more. Gradio keeps those it finds deleted, for good."""
    for files in sets:
        files -= {file for file in files.copy() if not Path(file).exists()}


async def _receive(request: Request, folder: Path, limits: Limits) -> list[str]:
    """Write what is sent into ``folder``, which goes again where anything is wrong, or the visitor leaves meanwhile."""
    from gradio.route_utils import upload_fn
    from gradio.routes import file_upload_statuses

    upload_id = request.query_params.get("upload_id")
    counted = Request(request.scope, _counting(request, limits.max_total_bytes))
    progress = file_upload_statuses if upload_id else None
    try:
        files, _, _ = await upload_fn(counted, str(folder), limits.max_bytes, upload_id, upload_progress=progress)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        vault.forget(folder)
        raise
    if not files:
        vault.forget(folder)
    return [str(file) for file in files]


def _counting(request: Request, most: int) -> Receive:
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most:
            raise _TooMuch
        return message

    return receive

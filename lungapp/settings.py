"""The one place that reads LungApp's environment variables.

    LUNGAPP_MAX_BYTES        largest file that is read, unpacked, in bytes       (default 512 MiB)
    LUNGAPP_MAX_TOTAL_BYTES  of all files handed in at once, unpacked            (default 2 GiB)
    LUNGAPP_MAX_PIXELS       largest image that is decoded, in pixels            (default 40 million)
    LUNGAPP_MAX_FRAMES       images in one file                                  (default 2000)
    LUNGAPP_MAX_FILES        files handed in at once, those in archives included (default 5000)
    LUNGAPP_MAX_NESTING      archives inside one another                         (default 2)
    LUNGAPP_MAX_RATIO        how many times larger a packed file may unpack      (default 200)
    LUNGAPP_MAX_SECONDS      of computing that reading one file or slice may take (default 10)
    LUNGAPP_MAX_TOTAL_SECONDS of reading all files handed in at once             (default 60)
    LUNGAPP_MAX_MEMORY       bytes that reading one large file may take          (default 1.5 GiB)
    LUNGAPP_MAX_KEPT_MEMORY  bytes of slices and maps that all open pages keep   (default 1 GiB)
    LUNGAPP_MAX_KEPT_FILES   bytes of uploads that all open pages keep           (default 8 GiB)
    LUNGAPP_WEIGHTS          folder of the models' weights and cards             (default the repository's weights/)
    LUNGAPP_DEFAULT_MODEL    the model picked when none is named                 (default `registry.DEFAULT_MODEL`)
    LUNGAPP_DATA             folder of the dataset, to show training slices like the one analysed (default none)
    LUNGAPP_MCP              "1": the endpoints are MCP tools too; needs the package "mcp" (default off)
    LUNGAPP_WEIGHTS_REPO     "owner/name" of a model repository on the Hub, instead of a folder (default none)
    LUNGAPP_WEIGHTS_REVISION its commit, 40 hexadecimal digits; demanded with it
    LUNGAPP_USERS            who may log in, see `lungapp.users`                 (default: no login)
    LUNGAPP_LOGIN_MINUTES    a login ends when it was not used for so long       (default 60)
    LUNGAPP_LOGIN_HOURS      and at any rate after so long                        (default 12)
    LUNGAPP_ORIGINS          other sites whose pages may send requests, such as "https://pacs.example" (default none)
    LUNGAPP_PRECISION        "auto": bf16 where the processor computes with it, else f32; or one of them (default auto)
    LUNGAPP_LOG              "off", "analyses" or "requests" (both), as lines of JSON on the error output (default off)
    LUNGAPP_MAX_CONNECTIONS  connections at a time; one client has a quarter of them (default 512)
    LUNGAPP_GRACE            seconds for what runs when the process is asked to end (default 20)
    LUNGAPP_METRICS          a token of at least 16 letters, with which ``/metrics`` is served (default: it is not)

An unset or empty variable means the default. Host and port are Gradio's own GRADIO_SERVER_NAME and GRADIO_SERVER_PORT;
so is GRADIO_ROOT_PATH, the path or the whole address under which a proxy puts the page. A Space names its host itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from lungapp.errors import InvalidSetting, UnknownModel
from lungapp.reading import Limits
from lungapp.registry import DEFAULT_MODEL, get_spec
from lungapp.routes import FIRST_SEGMENTS
from lungapp.users import read_users

FolderT = TypeVar("FolderT", Path, None)

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"

RANGES: dict[str, tuple[int, int]] = {
    "max_bytes": (2**10, 2**32),
    "max_total_bytes": (2**10, 2**36),
    "max_pixels": (2**14, 150_000_000),
    "max_frames": (1, 100_000),
    "max_files": (1, 1_000_000),
    "max_nesting": (1, 10),
    "max_ratio": (2, 1_000_000),
    "max_seconds": (1, 3600),
    "max_total_seconds": (1, 86_400),
    "max_memory": (2**28, 2**40),
}
"""What each limit may be set to; ``max_pixels`` stays below the 179 million from which Pillow opens no image at all."""

KEPT = (2**20, 2**44)
"""What pages may be allowed to keep."""

LOGIN_RANGES: dict[str, tuple[int, tuple[int, int]]] = {"MINUTES": (60, (1, 1440)), "HOURS": (12, (1, 720))}
"""Of a login's ends: the default, and what it may be set to."""

ROOT = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-fA-F:]+\](:\d{1,5})?")

SERVING: dict[str, tuple[str, tuple[int, int]]] = {
    "connections": ("LUNGAPP_MAX_CONNECTIONS", (16, 65_536)),
    "grace": ("LUNGAPP_GRACE", (0, 3600)),
}
"""The variable of each, and what it may be set to."""

SHORTEST_TOKEN = 16

PRECISIONS = ("auto", "f32", "bf16")
"""What the models may be computed in, the default first. bf16 moves probabilities by up to 0.0041 (docs/speed.md)."""

LOGS = ("off", "analyses", "requests")
"""What may be logged, the default first; each includes the one before."""


@dataclass(frozen=True)
class Settings:
    """What an operator may change without touching code."""

    limits: Limits = field(default_factory=Limits)
    max_kept_memory: int = 2**30
    max_kept_files: int = 2**33
    weights: Path = WEIGHTS
    default_model: str = DEFAULT_MODEL
    data: Path | None = None
    mcp: bool = False
    weights_repo: str = ""
    weights_revision: str = ""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    login_idle: float = LOGIN_RANGES["MINUTES"][0] * 60.0
    login_longest: float = LOGIN_RANGES["HOURS"][0] * 3600.0
    origins: tuple[str, ...] = ()
    root_path: str = ""
    public_origin: str = ""
    log: str = "off"
    precision: str = PRECISIONS[0]
    connections: int = 512
    grace: int = 20
    metrics: str = field(default="", repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """The settings in ``environ``. Raises `InvalidSetting`, which names the variable."""
        repo, revision = _repository(environ)
        public_origin, root_path = _root(environ)
        return cls(
            limits=Limits(
                **{
                    name: _integer(environ, f"LUNGAPP_{name.upper()}", getattr(Limits, name), allowed)
                    for name, allowed in RANGES.items()
                }
            ),
            max_kept_memory=_integer(environ, "LUNGAPP_MAX_KEPT_MEMORY", cls.max_kept_memory, KEPT),
            max_kept_files=_integer(environ, "LUNGAPP_MAX_KEPT_FILES", cls.max_kept_files, KEPT),
            weights=_folder(environ, "LUNGAPP_WEIGHTS", WEIGHTS),
            default_model=_model(environ, "LUNGAPP_DEFAULT_MODEL", DEFAULT_MODEL),
            data=_folder(environ, "LUNGAPP_DATA", None),
            mcp=_mcp(environ),
            weights_repo=repo,
            weights_revision=revision,
            users=read_users(users) if (users := environ.get("LUNGAPP_USERS", "").strip()) else {},
            login_idle=_login(environ, "MINUTES") * 60.0,
            login_longest=_login(environ, "HOURS") * 3600.0,
            origins=_origins(environ),
            root_path=root_path,
            public_origin=public_origin,
            log=_choice(environ, "LUNGAPP_LOG", LOGS),
            precision=_choice(environ, "LUNGAPP_PRECISION", PRECISIONS),
            metrics=_token(environ, "LUNGAPP_METRICS"),
            **{
                name: _integer(environ, variable, getattr(cls, name), allowed)
                for name, (variable, allowed) in SERVING.items()
            },
        )


def _integer(environ: Mapping[str, str], name: str, default: int, allowed: tuple[int, int]) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    low, high = allowed
    # Only plain digits: int() would also take "1_000" and digits of other scripts.
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise InvalidSetting(f"Expected {name} to be a whole number from {low} to {high}. Received: {text[:40]!r}")
    return int(text)


def _login(environ: Mapping[str, str], unit: str) -> int:
    default, allowed = LOGIN_RANGES[unit]
    return _integer(environ, f"LUNGAPP_LOGIN_{unit}", default, allowed)


def _origins(environ: Mapping[str, str]) -> tuple[str, ...]:
    origins = tuple(environ.get("LUNGAPP_ORIGINS", "").replace(",", " ").split())
    for origin in origins:
        if not ORIGIN.fullmatch(origin):
            raise InvalidSetting(
                "Expected LUNGAPP_ORIGINS to hold sites such as https://pacs.example, without a path. "
                f"Received: {origin[:40]!r}"
            )
    return tuple(origin.lower() for origin in origins)


def _root(environ: Mapping[str, str]) -> tuple[str, str]:
    """The page's origin where something names it, and the path that a proxy puts before its addresses."""
    text = environ.get("GRADIO_ROOT_PATH", "").strip().rstrip("/")
    address = ORIGIN.match(text)
    origin, path = (address[0], text[address.end() :]) if address else ("", text)
    if path and not path.startswith("/") and not address:
        path = f"/{path}"
    # Where a prefix begins as addresses of our own do, nobody can tell whether a proxy has taken it off.
    if not ROOT.fullmatch(path) or path[1:].partition("/")[0] in FIRST_SEGMENTS:
        raise InvalidSetting(
            "Expected GRADIO_ROOT_PATH to be a path such as /lungapp, or an address such as https://host/lungapp. Its "
            f"path must not begin with one of: {', '.join(sorted(FIRST_SEGMENTS))}. Received: {text[:60]!r}"
        )
    host = environ.get("SPACE_HOST", "").split(",")[0].strip()
    if not origin and ORIGIN.fullmatch(f"https://{host}"):
        origin = f"https://{host}"
    return origin, path


def _token(environ: Mapping[str, str], name: str) -> str:
    text = environ.get(name, "").strip()
    if text and not (len(text) >= SHORTEST_TOKEN and re.fullmatch(r"[!-~]+", text)):
        raise InvalidSetting(
            f"Expected {name} to be at least {SHORTEST_TOKEN} letters or digits without blanks. Received: others."
        )
    return text


def _folder(environ: Mapping[str, str], name: str, default: FolderT) -> Path | FolderT:
    text = environ.get(name, "").strip()
    folder = Path(text).expanduser() if text else default
    # A folder that was asked for must be there; a missing default is `WeightsMissing`, later and per model.
    if text and not (folder and folder.is_dir()):
        raise InvalidSetting(f"Expected {name} to be an existing folder. Received: a path that is not one.")
    return folder


def _mcp(environ: Mapping[str, str]) -> bool:
    text = environ.get("LUNGAPP_MCP", "").strip()
    if text not in ("", "0", "1"):
        raise InvalidSetting(f"Expected LUNGAPP_MCP to be 0 or 1. Received: {text[:40]!r}")
    if text == "1" and not find_spec("mcp"):
        raise InvalidSetting(
            "Expected the package mcp for LUNGAPP_MCP (pip install 'gradio[mcp]'). Received: no such package."
        )
    return text == "1"


def _model(environ: Mapping[str, str], name: str, default: str) -> str:
    text = environ.get(name, "").strip()
    try:
        return get_spec(text or default).name
    except UnknownModel as error:
        raise InvalidSetting(f"{name}: {error}") from error


def _choice(environ: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    text = environ.get(name, "").strip() or allowed[0]
    if text not in allowed:
        raise InvalidSetting(f"Expected {name} to be one of: {', '.join(allowed)}. Received: {text[:40]!r}")
    return text


def _repository(environ: Mapping[str, str]) -> tuple[str, str]:
    repo = environ.get("LUNGAPP_WEIGHTS_REPO", "").strip()
    revision = environ.get("LUNGAPP_WEIGHTS_REVISION", "").strip()
    if not repo and not revision:
        return "", ""
    if not re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", repo, re.ASCII) or ".." in repo:
        raise InvalidSetting(f"Expected LUNGAPP_WEIGHTS_REPO to be owner/name. Received: {repo[:40]!r}")
    # A branch or tag can be moved to other weights; a commit cannot.
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise InvalidSetting(
            f"Expected LUNGAPP_WEIGHTS_REVISION to be a commit, 40 hexadecimal digits. Received: {revision[:40]!r}"
        )
    if environ.get("LUNGAPP_WEIGHTS", "").strip():
        raise InvalidSetting("Expected LUNGAPP_WEIGHTS or LUNGAPP_WEIGHTS_REPO. Received: both.")
    return repo, revision

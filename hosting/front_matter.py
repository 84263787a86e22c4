"""The YAML block at the top of README.md, which configures a Space, against the fields that Hugging Face documents.

References
----------
Spaces Configuration Reference, https://huggingface.co/docs/hub/spaces-config-reference
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import yaml

COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
LONGEST_DESCRIPTION = 60
REQUIRED = ("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "license")


class HubUnavailable(Exception):
    """The Hub's validation did not answer."""


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(_text(item) for item in value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _match(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _one_of(*allowed: str) -> Callable[[Any], bool]:
    return lambda value: value in allowed


FIELDS: dict[str, Callable[[Any], bool]] = {
    "title": _text,
    "emoji": lambda value: _text(value) and not re.search(r"[\w\s]", value),
    "colorFrom": _one_of(*COLOURS),
    "colorTo": _one_of(*COLOURS),
    "sdk": _one_of("gradio", "docker", "static"),
    "sdk_version": _match(r"\d+\.\d+\.\d+"),
    "python_version": _match(r"3\.\d+(\.\d+)?"),
    "app_file": _text,
    "app_build_command": _text,
    "app_port": lambda value: isinstance(value, int) and 0 < value < 65536,
    "base_path": _match(r"/.*"),
    "license": _match(r"[a-z0-9.-]+"),
    "short_description": lambda value: _text(value) and len(value) <= LONGEST_DESCRIPTION,
    "thumbnail": _match(r"https://.+"),
    "header": _one_of("mini", "default"),
    "suggested_hardware": _match(r"[a-z0-9-]+"),
    "suggested_storage": _one_of("small", "medium", "large"),
    "fullWidth": _flag,
    "models": _texts,
    "datasets": _texts,
    "tags": _texts,
    "pinned": _flag,
    "hf_oauth": _flag,
    "hf_oauth_scopes": _texts,
    "hf_oauth_authorized_org": lambda value: _text(value) or _texts(value),
    "hf_oauth_expiration_minutes": lambda value: isinstance(value, int) and 0 < value <= 43200,
    "disable_embedding": _flag,
    "startup_duration_timeout": _match(r"\d+(\.\d+)?\s*(s|m|h|d)"),
    "custom_headers": lambda value: isinstance(value, dict),
    "preload_from_hub": _texts,
}
"""Each documented field, and whether a value is one it takes."""


def read_front_matter(readme: Path) -> dict[str, Any]:
    """The block's fields. Raises `ValueError` where there is none."""
    found = re.match(r"---\n(.*?)\n---\n", readme.read_text(encoding="utf-8"), re.DOTALL)
    data = yaml.safe_load(found[1]) if found else None
    if not isinstance(data, dict):
        raise ValueError("Expected README.md to begin with a YAML block between two lines of ---. Received: none.")
    return data


def hub_problems(readme: Path) -> list[str]:
    """What the Hub's own validation says of ``readme``'s block. Raises `HubUnavailable` where it does not answer."""
    from huggingface_hub import SpaceCard
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        SpaceCard.load(readme, repo_type="space").validate(repo_type="space")
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, httpx2.HTTPError) as error:
        raise HubUnavailable(type(error).__name__) from error
    except ValueError as error:
        return str(error).strip().splitlines()
    return []


def problems(data: dict[str, Any], root: Path) -> list[str]:
    """What a Space would not take, in words; ``root`` is the repository."""
    found = [f"{name} is missing" for name in REQUIRED if name not in data]
    for name, value in data.items():
        if name not in FIELDS:
            found.append(f"{name} is no documented field")
        elif not FIELDS[name](value):
            found.append(f"{name} cannot be {value!r}")
    if _text(data.get("app_file")) and not (root / data["app_file"]).is_file():
        found.append(f"app_file names {data['app_file']}, which is not there")
    pinned = re.search(r"^gradio==(\S+)", (root / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    if not pinned or pinned[1] != data.get("sdk_version"):
        found.append(f"sdk_version is {data.get('sdk_version')}, requirements.txt pins {pinned and pinned[1]}")
    return found

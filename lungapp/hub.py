"""Weights from a model repository on the Hugging Face Hub, at one pinned commit; the default needs no network.

The commit names every byte of the download, and each weights file must besides have the digest that its card names,
as one in a folder must (`lungapp.models.load_model`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lungapp.errors import WeightsMissing

PATTERNS = ("*.json", "*.safetensors")
"""What is taken from a repository: cards and weights. Nothing that could run, no pickle."""


def weights_at(folder: Path, repo: str = "", revision: str = "") -> Path:
    """``folder``, or that of ``repo`` at ``revision`` where one is named. Raises `WeightsMissing`."""
    return fetch_weights(repo, revision) if repo else folder


def fetch_weights(repo: str, revision: str, cache: Path | None = None) -> Path:
    """The folder of ``repo`` at ``revision``, 40 hexadecimal digits; from the cache where it is there already.

    Raises `WeightsMissing` where it can neither be fetched nor found in the cache.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    options: dict[str, Any] = {"revision": revision, "allow_patterns": list(PATTERNS), "cache_dir": cache}
    try:
        return Path(snapshot_download(repo, local_files_only=True, **options))
    except LocalEntryNotFoundError:
        pass  # not here yet
    try:
        return Path(snapshot_download(repo, **options))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise WeightsMissing(
            f"Expected the weights of {repo} at {revision[:12]} on the Hugging Face Hub or in its cache. "
            f"Received: {type(error).__name__}."
        ) from error

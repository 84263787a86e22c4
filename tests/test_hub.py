"""Weights from a model repository: a pinned commit, only cards and weights, a message where they cannot be had."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError

from lungapp.engine import Engine
from lungapp.errors import InvalidSetting, WeightsMissing
from lungapp.hub import fetch_weights
from lungapp.settings import Settings

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A stand-in: what it was asked, and a folder that it has only after a download."""

    def __init__(self, folder: Path | None, cached: bool = False) -> None:
        self.folder, self.cached = folder, cached
        self.calls: list[dict[str, Any]] = []

    def __call__(self, repo: str, **options: Any) -> str:
        self.calls.append({"repo": repo, **options})
        if options.get("local_files_only") and not self.cached:
            raise LocalEntryNotFoundError("not in the cache")
        if self.folder is None:
            raise OSError("no network")
        return str(self.folder)


def test_one_commit_is_asked_for_and_nothing_that_could_run(tmp_path, monkeypatch) -> None:
    hub = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    assert fetch_weights("owner/name", COMMIT) == tmp_path
    offline, online = hub.calls
    assert offline["local_files_only"] and not online.get("local_files_only")
    assert {call["revision"] for call in hub.calls} == {COMMIT}
    assert {name for call in hub.calls for name in call["allow_patterns"]} == {"*.json", "*.safetensors"}


def test_what_is_in_the_cache_needs_no_network(tmp_path, monkeypatch) -> None:
    hub = Hub(tmp_path, cached=True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    fetch_weights("owner/name", COMMIT)
    assert [call["local_files_only"] for call in hub.calls] == [True]


def test_the_real_download_finds_a_real_cache(tmp_path, toy_weights) -> None:
    """The cache's own layout, so that the real function is called, not a stand-in; and it works without a network."""
    root = tmp_path / "models--owner--name"
    snapshot = root / "snapshots" / COMMIT
    shutil.copytree(toy_weights, snapshot)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(COMMIT)
    assert fetch_weights("owner/name", COMMIT, tmp_path) == snapshot
    assert len(Engine(snapshot).cards()) == 3


def test_no_network_is_a_message(monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", Hub(None))
    with pytest.raises(WeightsMissing, match=r"Expected the weights of owner/name at 0123456789ab .*Received: OSError"):
        fetch_weights("owner/name", COMMIT)
    assert issubclass(RevisionNotFoundError, huggingface_hub.errors.HfHubHTTPError)


def test_the_setting_demands_a_commit(tmp_path) -> None:
    good = {"LUNGAPP_WEIGHTS_REPO": "owner/name", "LUNGAPP_WEIGHTS_REVISION": COMMIT}
    settings = Settings.from_env(good)
    assert (settings.weights_repo, settings.weights_revision) == ("owner/name", COMMIT)
    for change in (
        {"LUNGAPP_WEIGHTS_REVISION": "main"},
        {"LUNGAPP_WEIGHTS_REVISION": ""},
        {"LUNGAPP_WEIGHTS_REVISION": COMMIT[:12]},
        {"LUNGAPP_WEIGHTS_REPO": ""},
        {"LUNGAPP_WEIGHTS_REPO": "https://example.org/owner/name"},
        {"LUNGAPP_WEIGHTS_REPO": "../name"},
        {"LUNGAPP_WEIGHTS": str(tmp_path)},
    ):
        with pytest.raises(InvalidSetting, match=r"(?s)LUNGAPP_WEIGHTS.*Received: "):
            Settings.from_env(good | change)

"""Faults that happen: weights that are missing, cut or swapped, a full disk, a kill in the middle of an analysis."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from lungapp.engine import Engine
from lungapp.errors import NO_ROOM, StorageUnavailable, WeightsError
from lungapp.reading import Limits
from lungapp.slices import Slice
from lungapp.startup import PREFIX, sweep
from lungapp.ui import EXAMPLES, uploads
from lungapp.ui.opened import close, open_upload
from lungapp.ui.vault import vault
from tests.fakes import SERVER_WARNINGS, FakeEngine, serve

pytestmark = [pytest.mark.filterwarnings(rule) for rule in SERVER_WARNINGS]

ROOT = EXAMPLES.parent
PHANTOM = EXAMPLES / "phantom-mass.png"


def missing(folder: Path) -> None:
    (folder / "advanced_cnn.safetensors").unlink()


def truncated(folder: Path) -> None:
    path = folder / "advanced_cnn.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def swapped(folder: Path) -> None:
    shutil.copy(folder / "basic_cnn.safetensors", folder / "advanced_cnn.safetensors")


def unreadable(folder: Path) -> None:
    (folder / "advanced_cnn.safetensors").unlink()
    (folder / "advanced_cnn.safetensors").symlink_to("advanced_cnn.safetensors")


def without_card(folder: Path) -> None:
    (folder / "advanced_cnn.json").unlink()


def card_cut(folder: Path) -> None:
    path = folder / "advanced_cnn.json"
    path.write_text(path.read_text()[:100])


def card_without_temperature(folder: Path) -> None:
    path = folder / "advanced_cnn.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"calibration": {}}))


FAULTS = (missing, truncated, swapped, unreadable, without_card, card_cut, card_without_temperature)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_damaged_model_is_out_alone_and_says_why(
    fault: Callable[[Path], None], toy_weights: Path, tmp_path: Path, thorax: Slice
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    for path in [*toy_weights.glob("basic_cnn.*"), *toy_weights.glob("advanced_cnn.*")]:
        shutil.copy(path, folder)
    fault(folder)
    engine = Engine(folder)
    engine.warm_up()
    with pytest.raises(WeightsError, match=r"^Expected .*advanced_cnn.* Received: ") as caught:
        engine.analyse(thorax, "advanced_cnn")
    assert str(tmp_path) not in str(caught.value)
    assert engine.analyse(thorax, "basic_cnn").prediction
    assert [found.model for found in engine.analyse(thorax, "all").predictions] == ["basic_cnn"]
    states = engine.states()
    assert states["basic_cnn"] == ("ready", "")
    assert states["advanced_cnn"] == ("failed", str(caught.value))
    for path in toy_weights.glob("advanced_cnn.*"):
        (folder / path.name).unlink(missing_ok=True)
        shutil.copy(path, folder)
    assert engine.analyse(thorax, "advanced_cnn").prediction, "mended, it is back without a new start"
    assert engine.states()["advanced_cnn"] == ("ready", "")


def test_the_page_lives_on_beside_a_damaged_model(toy_weights: Path, tmp_path: Path) -> None:
    for path in toy_weights.glob("basic_cnn.*"):
        shutil.copy(path, tmp_path)
    engine = Engine(tmp_path)
    with serve(engine) as url:
        client = Client(url, verbose=False)
        with pytest.raises(AppError, match=r"Expected the model card resnet50\.json\. Received: no such file"):
            client.predict(file=handle_file(str(PHANTOM)), model="resnet50", api_name="/analyse")
        told, _ = client.predict(file=handle_file(str(PHANTOM)), model="basic_cnn", api_name="/analyse")
        assert told["label"]
        engine.warm_up()
        health = httpx.get(f"{url}/health")
    assert health.status_code == 200
    assert health.json()["status"] == "degraded"
    assert "resnet50.json" in health.json()["models"]["resnet50"]["message"]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_no_room_for_an_upload_is_said_and_nothing_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    opened = open_upload([PHANTOM], Limits())
    assert opened.problem == NO_ROOM
    assert list(tmp_path.iterdir()) == []


def test_no_temporary_folder_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    assert open_upload([PHANTOM], Limits()).problem == NO_ROOM
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with pytest.raises(StorageUnavailable, match="Expected room"):
        uploads.private_cache()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_full_answers_uploads_with_words(tiny_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tiny_disk))
    monkeypatch.setattr(tempfile, "tempdir", str(tiny_disk))
    with serve(FakeEngine()) as url:
        answer = httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.png", PHANTOM.read_bytes())})
        assert (answer.status_code, answer.text) == (507, NO_ROOM)
        assert httpx.get(url).status_code == 200
        small = httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.png", b"x" * 1000)})
        assert small.status_code == 200, "what was refused takes no room"


def test_a_full_disk_under_a_result_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(FakeEngine()) as url:
        client = Client(url, verbose=False)
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(AppError, match="Received: a full or read-only disk"):
            client.predict(file=handle_file(str(PHANTOM)), model="resnet50", api_name="/analyse")
        monkeypatch.undo()
        told, _ = client.predict(file=handle_file(str(PHANTOM)), model="resnet50", api_name="/analyse")
        assert told["label"]


def test_the_vaults_folders_go_with_their_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(uploads, "GRACE_SECONDS", 0.1)
    own = vault.folder("ada") / "0123"
    own.mkdir()
    (own / "a.png").write_bytes(PHANTOM.read_bytes())
    close(open_upload([own / "a.png"], Limits()))
    deadline = time.monotonic() + 60
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_there_before_the_models_and_a_kill_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One real start: the page while the models load, a first analysis that waits, a kill in the middle of another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "TMPDIR": str(tmp_path), "GRADIO_TEMP_DIR": ""}
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        health = wait_for_page(url)
        assert health["status"] == "loading", "the page waits for no model"
        client = Client(url, verbose=False, download_files=str(tmp_path / "got"))
        told, _ = client.predict(file=handle_file(str(PHANTOM)), model="all", api_name="/analyse")
        assert told["ensemble"]["label"]
        assert httpx.get(f"{url}/health").json()["status"] == "ok"
        threading.Thread(target=ask_in_vain, args=(client,), daemon=True).start()
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = list(tmp_path.glob(f"{PREFIX}*"))
    assert left, "a kill cleans nothing up"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sweep()
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


def wait_for_page(url: str) -> dict[str, object]:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            if httpx.get(url).status_code == 200:
                return httpx.get(f"{url}/health").json()
        except httpx.HTTPError:
            time.sleep(0.05)
    raise TimeoutError(url)


def ask_in_vain(client: Client) -> None:
    with contextlib.suppress(Exception):  # its server is killed
        client.predict(file=handle_file(str(PHANTOM)), model="resnet50", api_name="/analyse")

"""The Space's files, the upload of them file by file, the container's files, and the audit of dependencies."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from hosting import audit, space
from hosting.front_matter import problems, read_front_matter

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def test_the_front_matter_has_documented_fields_only() -> None:
    assert problems(read_front_matter(README), ROOT) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colorFrom": "teal"}, "colorFrom cannot be 'teal'"),
        ({"emoji": "lung"}, "emoji cannot be"),
        ({"sdk": "flask"}, "sdk cannot be"),
        ({"sdk_version": "5.0.0"}, "requirements.txt pins 6"),
        ({"python_version": 3.11}, "python_version cannot be 3.11"),
        ({"app_file": "main.py"}, "main.py, which is not there"),
        ({"short_description": "x" * 61}, "short_description cannot be"),
        ({"tags": "ct"}, "tags cannot be"),
        ({"colour": "blue"}, "colour is no documented field"),
    ],
)
def test_other_front_matter_is_found_out(change: dict[str, Any], said: str) -> None:
    assert said in "; ".join(problems(read_front_matter(README) | change, ROOT))


def test_a_readme_without_front_matter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# LungApp\n")
    with pytest.raises(ValueError, match=r"Expected README\.md to begin"):
        read_front_matter(tmp_path / "README.md")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree's files, committed, whatever state they are in."""
    folder = tmp_path_factory.mktemp("deploy") / "repository"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in listed:
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    return folder


def test_a_dry_run_lists_every_file_and_its_size(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert space.main(["owner/name", "--dry-run"], root=repository) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    listed = {line.split()[-1]: int(line.split()[0]) for line in lines}
    expected = {
        str(path.relative_to(repository)): path.stat().st_size
        for name in ("lungapp", "weights", "examples", "docs")
        for path in (repository / name).rglob("*")
        if path.is_file()
    }
    for name in ("app.py", "requirements.txt", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md"):
        expected[name] = (repository / name).stat().st_size
    assert listed == expected
    assert {line.split()[-1] for line in lines if " large " in line} == {
        "weights/resnet50.safetensors",
        "weights/advanced_cnn.safetensors",
    }
    assert total.startswith(f"{len(expected)} files")
    assert not [name for name in listed if name.startswith(("tests/", "train/", ".", "data/", "runs/"))]


def test_those_files_alone_are_the_application(repository: Path, tmp_path: Path) -> None:
    for item in space.items(repository):
        (tmp_path / item.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repository / item.path, tmp_path / item.path)
    code = """
import app, lungapp
slice = lungapp.read_slice("examples/phantom-mass.png")
assert lungapp.__file__.startswith(__import__("os").getcwd())
print(len(app.engine.cards()), app.engine.analyse(slice, "basic_cnn").prediction.label, len(app.demo.blocks) > 50)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"3 (normal|benign|malignant) True", done.stdout.strip().splitlines()[-1])


class Hub:
    """A stand-in for HfApi: what a Space holds, and what was asked of it."""

    def __init__(self, lose: str = "") -> None:
        self.files: dict[str, int] = {".gitattributes": 1, "old.py": 5}
        self.created: list[dict[str, Any]] = []
        self.messages: list[str] = []
        self.lose = lose

    def create_repo(self, name: str, **options: Any) -> None:
        self.created.append({"name": name, **options})

    def list_repo_files(self, name: str, repo_type: str) -> list[str]:
        return list(self.files)

    def create_commit(self, name: str, operations: list[Any], commit_message: str, repo_type: str) -> SimpleNamespace:
        self.messages.append(commit_message)
        for operation in operations:
            if hasattr(operation, "path_or_fileobj"):
                with operation.as_file() as stream:
                    self.files[operation.path_in_repo] = len(stream.read()) - (operation.path_in_repo == self.lose)
            else:
                del self.files[operation.path_in_repo]
        return SimpleNamespace(commit_url=f"https://hub.example/{name}/commit/1")

    def list_repo_tree(self, name: str, repo_type: str, recursive: bool) -> list[SimpleNamespace]:
        return [SimpleNamespace(path=path, size=size) for path, size in self.files.items()]


def test_one_commit_puts_all_of_it_on_a_space(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = Hub()
    assert space.main(["owner/name", "--private"], api=hub, root=repository) == 0
    assert hub.created == [
        {"name": "owner/name", "repo_type": "space", "space_sdk": "gradio", "private": True, "exist_ok": True}
    ]
    assert hub.files == {item.path: item.size for item in space.items(repository)} | {".gitattributes": 1}
    assert len(hub.messages) == 1
    assert "/owner/name/commit/" in capsys.readouterr().out


def test_a_file_that_did_not_arrive_in_full_is_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = Hub(lose="weights/resnet50.safetensors")
    assert space.main(["owner/name"], api=hub, root=repository) == 1
    assert "less of: weights/resnet50.safetensors" in capsys.readouterr().err


def test_nothing_is_put_anywhere_that_is_not_ready(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    (copy / "weights" / "basic_cnn.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    hub = Hub()
    assert space.main(["owner/name"], api=hub, root=copy) == 1
    assert "Expected everything to be committed" in capsys.readouterr().err
    git = ["git", "-C", str(copy), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run([*git, "commit", "-qam", "a pointer instead of weights"], check=True)
    assert space.main(["owner/name"], api=hub, root=copy) == 1
    assert "basic_cnn.safetensors with the digest" in capsys.readouterr().err
    assert hub.created == []
    with pytest.raises(SystemExit):
        space.main(["https://huggingface.co/owner/name"], api=hub, root=copy)


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_image_is_slim_runs_as_nobody_and_is_probed() -> None:
    found = instructions()
    assert all(re.match(r"python:3\.1[12]-slim\b", rest) for word, rest in found if word == "FROM")
    (user,) = [rest for word, rest in found if word == "USER"]
    assert user.split(":")[0].isdigit() and user.split(":")[0] != "0"
    assert found.index(("USER", user)) < next(i for i, (word, _) in enumerate(found) if word == "CMD")
    (probe,) = [rest for word, rest in found if word == "HEALTHCHECK"]
    assert "/health" in probe
    copied = {name for word, rest in found if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]}
    for name in copied:
        assert (ROOT / name).exists(), name
    assert {"app.py", "lungapp", "weights", "examples", "requirements.txt"} <= {name.strip("/") for name in copied}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*", "nothing gets into the image that is not named"
    assert {f"!{name.strip('/')}" for name in copied} <= set(ignored)


def test_the_compose_file_takes_every_right_away() -> None:
    (service,) = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert any(place.startswith("/tmp") for place in service["tmpfs"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    known = (ROOT / "lungapp" / "settings.py").read_text()
    for name in service["environment"]:
        assert name in known, name


def report(*entries: dict[str, Any]) -> Any:
    return lambda file: (json.dumps({"dependencies": list(entries)}), "")


CLEAN = {"name": "numpy", "version": "2.0", "vulns": []}
FLAWED = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "numpy", "skip_reason": "Dependency not found on PyPI and could not be audited: numpy (2.0)"}
FILE = (Path("requirements.txt"),)


def test_an_audit_without_findings_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main(FILE, report(CLEAN, CLEAN, UNKNOWN)) == 0
    said = capsys.readouterr().out
    assert "checked, 0 known" in said and "numpy could not be looked up" in said


def test_a_finding_fails_the_check_unless_it_is_explained(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main(FILE, report(CLEAN, FLAWED)) == 1
    assert audit.main(FILE, report(UNKNOWN, UNKNOWN, FLAWED)) == 1, "also where little else was answered"
    assert "pillow 1.0 PYSEC-1, fixed in 1.1" in capsys.readouterr().out
    monkeypatch.setattr(audit, "ACCEPTED", {"PYSEC-1": "never called here", "PYSEC-0": "gone"})
    assert audit.main(FILE, report(CLEAN, FLAWED)) == 0
    said = capsys.readouterr().out
    assert "accepted: never called here" in said and "PYSEC-0 is accepted but found no more" in said


@pytest.mark.parametrize(
    "run",
    [
        report(UNKNOWN, UNKNOWN),
        report(),
        lambda file: ("", "ConnectionError: no network"),
        lambda file: ("<html>", ""),
        lambda file: (_ for _ in ()).throw(audit.NoAnswer("no answer within 1 s")),
    ],
)
def test_no_answer_is_said_and_is_no_failure(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main(FILE, run) == 0
    said = capsys.readouterr().out
    assert "SKIPPED requirements.txt, nothing was checked: " in said
    assert " known vulnerabilities" not in said


def test_nothing_is_pickled_or_evaluated() -> None:
    """No module of the application unpickles, and none loads a Keras file, whose layers may hold code."""
    for path in (ROOT / "lungapp").rglob("*.py"):
        text = path.read_text()
        for word in ("import pickle", "import dill", "joblib", "torch.load", "allow_pickle=True", "keras.models.load",
                     "load_model(path", "safe_mode=False", "enable_unsafe", "eval(", "exec("):  # fmt: skip
            assert word not in text, f"{word} in {path.name}"

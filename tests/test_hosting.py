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

import httpx2
import pytest
import yaml
from huggingface_hub.errors import HfHubHTTPError

from hosting import audit, image, space, space_build
from hosting.front_matter import HubUnavailable, hub_problems, problems, read_front_matter

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


def RESOLVED(command: list[str], text: str) -> tuple[int, str]:  # noqa: N802
    """Stands in for uv: what the host adds is there."""
    return 0, "spaces==1.0\n"


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(readme: Path) -> list[str]:
        raise HubUnavailable("a test asks nobody")

    monkeypatch.setattr(space, "hub_problems", unavailable)


def test_a_dry_run_lists_every_file_and_its_size(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = (repository / "weights/advanced_cnn.safetensors").stat().st_size
    monkeypatch.setattr(space, "LARGE_BYTES", largest)
    assert space.main(["owner/name", "--dry-run"], root=repository, run=RESOLVED) == 0
    *lines, total = (line for line in capsys.readouterr().out.splitlines() if not line.startswith("space:"))
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
    large = {line.split()[-1] for line in lines if " large " in line}
    assert large == {name for name, size in expected.items() if size >= largest}
    assert "weights/advanced_cnn.safetensors" in large and "weights/basic_cnn.safetensors" not in large
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
    models = len(list((repository / "weights").glob("*.safetensors")))
    assert re.fullmatch(rf"{models} (normal|benign|malignant) True", done.stdout.strip().splitlines()[-1])


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
    assert space.main(["some/body", "--private"], api=hub, root=repository, run=RESOLVED) == 0
    assert hub.created == [
        {"name": "some/body", "repo_type": "space", "space_sdk": "gradio", "private": True, "exist_ok": True}
    ]
    readme = (repository / "README.md").read_bytes().replace(b"/spaces/owner/name/", b"/spaces/some/body/")
    sizes = {item.path: item.size for item in space.items(repository)}
    assert hub.files == sizes | {".gitattributes": 1, "README.md": len(readme)}
    assert len(hub.messages) == 1
    assert "/some/body/commit/" in capsys.readouterr().out


def test_a_file_that_did_not_arrive_in_full_is_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = Hub(lose="weights/advanced_cnn.safetensors")
    assert space.main(["owner/name"], api=hub, root=repository, run=RESOLVED) == 1
    assert "less of: weights/advanced_cnn.safetensors" in capsys.readouterr().err


def test_nothing_is_put_anywhere_that_is_not_ready(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    (copy / "weights" / "basic_cnn.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    hub = Hub()
    assert space.main(["owner/name"], api=hub, root=copy, run=RESOLVED) == 1
    assert "Expected everything to be committed" in capsys.readouterr().err
    git = ["git", "-C", str(copy), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run([*git, "commit", "-qam", "a pointer instead of weights"], check=True)
    assert space.main(["owner/name"], api=hub, root=copy, run=RESOLVED) == 1
    assert "basic_cnn.safetensors with the digest" in capsys.readouterr().err
    assert hub.created == []
    with pytest.raises(SystemExit):
        space.main(["https://huggingface.co/owner/name"], api=hub, root=copy, run=RESOLVED)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(401, "hf auth login"), (402, "needs a paid plan"), (403, "may write to owner/name"), (500, "answer 500")],
)
def test_what_the_hub_refuses_is_said_in_a_sentence(repository, status: int, sentence: str, capsys) -> None:
    def refuse(name: str, **options: Any) -> None:
        request = httpx2.Request("POST", "https://hub.example/api/repos/create")
        raise HfHubHTTPError("no", response=httpx2.Response(status, request=request))

    hub = Hub()
    hub.create_repo = refuse  # type: ignore[method-assign]
    assert space.main(["owner/name"], api=hub, root=repository, run=RESOLVED) == 1
    assert sentence in capsys.readouterr().err


def test_without_a_network_it_says_so(repository, capsys) -> None:
    def fail(name: str, **options: Any) -> None:
        raise httpx2.ConnectError("no route")

    hub = Hub()
    hub.create_repo = fail  # type: ignore[method-assign]
    assert space.main(["owner/name"], api=hub, root=repository, run=RESOLVED) == 1
    assert "is there a network?" in capsys.readouterr().err


def test_what_the_hub_says_of_the_front_matter_stops_it(repository, monkeypatch, capsys) -> None:
    monkeypatch.setattr(space, "hub_problems", lambda readme: ["sdk is odd"])
    assert space.main(["owner/name", "--dry-run"], root=repository, run=RESOLVED) == 1
    assert "says the Hub: sdk is odd" in capsys.readouterr().err


def test_the_hubs_own_validation_is_asked(monkeypatch) -> None:
    def answer(self: Any, repo_type: str) -> None:
        assert repo_type == "space" and self.data.sdk == "gradio"
        raise ValueError("colorFrom is odd\nsdk is odd")

    monkeypatch.setattr("huggingface_hub.SpaceCard.validate", answer)
    assert hub_problems(README) == ["colorFrom is odd", "sdk is odd"]
    error = httpx2.ConnectError("no route")
    monkeypatch.setattr("huggingface_hub.SpaceCard.validate", lambda self, repo_type: (_ for _ in ()).throw(error))
    with pytest.raises(HubUnavailable, match="ConnectError"):
        hub_problems(README)


def test_the_host_installs_the_lock_and_packages_of_its_own() -> None:
    asked: list[tuple[list[str], str]] = []

    def run(command: list[str], text: str) -> tuple[int, str]:
        asked.append((command, text))
        return 0, "gradio==6.0.0\nspaces==1.0\n"

    assert space_build.resolve(ROOT, run) == 2
    lines = asked[0][1].splitlines()
    assert lines[0] == f"-r {ROOT / 'requirements.txt'}"
    assert re.fullmatch(r"gradio\[oauth,mcp\]==[\d.]+", lines[1])
    assert lines[2:] == ["uvicorn>=0.14.0", "websockets>=10.4", "spaces"]
    assert "--hash" not in (ROOT / "requirements.txt").read_text(), "pip takes no package without a hash beside it"


def test_a_lock_that_the_host_cannot_install_is_refused(repository, capsys) -> None:
    run = lambda command, text: (1, "error: No solution found when resolving: a needs b")  # noqa: E731
    assert space.main(["owner/name", "--dry-run"], root=repository, run=run) == 1
    assert "No solution found" in capsys.readouterr().err


def test_without_the_index_only_the_extras_limits_are_compared(capsys) -> None:
    assert space_build.main([], ROOT, lambda command, text: (2, "error: no network")) == 0
    assert "SKIPPED" in capsys.readouterr().out


def test_a_pin_that_an_extra_does_not_take_is_found_without_the_index(tmp_path: Path, capsys) -> None:
    shutil.copyfile(README, tmp_path / "README.md")
    (tmp_path / "requirements.txt").write_text("pydantic==2.14.3\n")
    assert space_build.main([], tmp_path, RESOLVED) == 1
    assert "pydantic<=2.12.5" in capsys.readouterr().err


def test_the_host_really_finds_versions_for_all_of_it(capsys) -> None:
    assert space_build.main([]) == 0, "asks the index, or says that there is none"
    assert re.search(r"the host can install the application, \d{3} packages|SKIPPED", capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["app", "serve", "archive", "replicas", "dev"])
def test_every_pin_of_a_lock_has_hashes(kind: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / f"requirements-{kind}.txt").read_text())[1:]
    assert len(entries) > 20
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_a_space_gets_the_pins_of_the_hashed_lock() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9].*?==.*?) ?\\?$", (ROOT / name).read_text(), re.MULTILINE))

    assert pins("requirements.txt") == pins("requirements-app.txt")
    left_out = {pin.split("==")[0] for pin in pins("requirements-app.txt") - pins("requirements-serve.txt")}
    assert {"tensorflow", "tensorflow-cpu", "keras", "tf-keras-vis"} <= left_out
    assert pins("requirements-serve.txt") <= pins("requirements-app.txt")


def test_what_is_installed_has_its_hashes_compared() -> None:
    for name in ("Makefile", "hosting/build_venv.sh", "hosting/kubernetes/Dockerfile"):
        text = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text())
        installs = [line for line in text.splitlines() if re.search(r"pip\"? install", line)]
        assert installs
        assert all("--require-hashes" in line for line in installs), name


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
    assert {"app.py", "lungapp", "weights", "examples", "hosting/build_venv.sh"} <= {name.strip("/") for name in copied}
    build = next(rest for word, rest in found if word == "RUN")
    assert all(f"requirements-{kind}.txt" in copied for kind in ("app", "serve"))
    assert "build_venv.sh /requirements-${PACKAGES}.txt" in build and ("ARG", "PACKAGES=app") in found
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*", "nothing gets into the image that is not named"
    assert {f"!{name.strip('/')}" for name in copied} <= set(ignored)


def test_the_steps_of_the_image_lay_out_what_it_copies() -> None:
    assert set(image.copied()) == {"app.py", "README.md", "LICENSE", "lungapp", "weights", "examples"}
    script = (ROOT / "hosting" / "build_venv.sh").read_text()
    assert "tensorflow/include" in script and "/clang" in script
    subprocess.run(["/bin/sh", "-n", str(ROOT / "hosting" / "build_venv.sh")], check=True)


def test_the_compose_file_takes_every_right_away() -> None:
    (service,) = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert any(place.startswith("/tmp") for place in service["tmpfs"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert not any("seccomp" in option for option in service["security_opt"]), "the engine's own profile applies"
    assert "/ready" in " ".join(service["healthcheck"]["test"])
    known = (ROOT / "lungapp" / "settings.py").read_text()
    for name in service["environment"]:
        assert name in known, name


def report(*entries: dict[str, Any]) -> Any:
    return lambda file: (json.dumps({"dependencies": list(entries)}), "")


CLEAN = {"name": "numpy", "version": "2.0", "vulns": []}
FLAWED = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "numpy", "skip_reason": "Dependency not found on PyPI and could not be audited: numpy (2.0)"}
LIST = """
checked = 2026-01-31
[[advisory]]
id = "CVE-1"
aliases = ["PYSEC-1"]
package = "pillow"
affected = "<1.1"
fixed = "1.1"
sentence = "It breaks."
"""


@pytest.fixture
def lock(tmp_path: Path) -> tuple[Path, ...]:
    (tmp_path / "requirements.txt").write_text(
        "numpy==2.0 \\\n    --hash=sha256:0\npillow==1.0 ; python_version > '3'\n"
    )
    return (tmp_path / "requirements.txt",)


@pytest.fixture
def advisories(tmp_path: Path) -> Path:
    (tmp_path / "advisories.toml").write_text(LIST)
    return tmp_path / "advisories.toml"


@pytest.fixture
def nothing_listed(tmp_path: Path) -> Path:
    (tmp_path / "none.toml").write_text("checked = 2026-01-31\nadvisory = []\n")
    return tmp_path / "none.toml"


def test_an_audit_without_findings_passes(lock, nothing_listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main(lock, report(CLEAN, CLEAN, UNKNOWN), nothing_listed) == 0
    said = capsys.readouterr().out
    assert ", 0 known" in said and "numpy could not be looked up" in said


def test_a_finding_of_the_service_fails_the_check(lock, nothing_listed: Path, capsys) -> None:
    assert audit.main(lock, report(CLEAN, FLAWED), nothing_listed) == 1
    assert audit.main(lock, report(UNKNOWN, UNKNOWN, FLAWED), nothing_listed) == 1, "also where little was answered"
    assert "pillow 1.0 PYSEC-1, fixed in 1.1" in capsys.readouterr().out


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
def test_without_the_service_the_list_fails_the_check(run: Any, lock, advisories: Path, capsys) -> None:
    assert audit.main(lock, run, advisories) == 1
    said = capsys.readouterr().out
    assert "SKIPPED requirements.txt at the vulnerability service: " in said
    assert "pillow 1.0 CVE-1, fixed in 1.1. It breaks." in said
    assert "the list alone of 2026-01-31, 1 known" in said


@pytest.mark.parametrize("key", ["closed", "accepted"])
def test_a_finding_with_an_answer_passes(key: str, lock, advisories: Path, capsys) -> None:
    advisories.write_text(f'{LIST}{key} = "It is never called."\n')
    for run in (report(CLEAN, FLAWED), report(UNKNOWN)):
        assert audit.main(lock, run, advisories) == 0
        assert capsys.readouterr().out.count("It breaks. It is never called.") == 1


def test_other_versions_are_not_affected(lock, advisories: Path) -> None:
    lock[0].write_text("pillow==1.1\npillow-simd==1.0\n")
    assert audit.main(lock, report(UNKNOWN), advisories) == 0


def test_the_list_is_of_packages_that_are_pinned_and_says_what_is_affected() -> None:
    _, entries = audit.read_advisories()
    pins = {
        name for file in audit.FILES for name in re.findall(r"^([a-z0-9][\w.-]*)==", file.read_text(), re.MULTILINE)
    }
    for entry in entries:
        assert entry.package in pins
        assert not entry.affected.contains(entry.fixed), entry.names
        assert all(re.fullmatch(r"(CVE-\d{4}-\d+|GHSA(-\w{4}){3}|PYSEC-\d{4}-\d+)", name) for name in entry.names)


def test_nothing_is_pickled_or_evaluated() -> None:
    """No module of the application unpickles, but for the plain values of its own workers, and none loads a Keras file,
    whose layers may hold code.
    """
    for path in (ROOT / "lungapp").rglob("*.py"):
        text = path.read_text()
        for word in ("import pickle", "import dill", "joblib", "torch.load", "allow_pickle=True", "keras.models.load",
                     "load_model(path", "safe_mode=False", "enable_unsafe", "eval(", "exec("):  # fmt: skip
            assert word not in text or (word, path.name) == ("import pickle", "worker.py"), f"{word} in {path.name}"

"""What a Space's host installs, and whether it can: ``make check`` and ``make deploy`` run it.

    python -m hosting.space_build [--install]

The host installs requirements.txt and packages of its own in one command (`HOST_PACKAGES`), so all of them have to
agree on one version of each. ``uv pip compile`` finds that out from the package index, or from its cache where the
index does not answer; where neither knows, that is said, and only what the installed Gradio states of its extras was
compared.
``--install`` does what the host does, in a fresh folder, and loads the page there: some minutes and the index.

References
----------
The build log of any Gradio Space shows the command.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from hosting.front_matter import read_front_matter

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("oauth", "mcp")
HOST_PACKAGES = ("gradio[oauth,mcp]=={sdk_version}", "uvicorn>=0.14.0", "websockets>=10.4", "spaces")
"""What the host adds to requirements.txt, without hashes: so that file has none either."""

SECONDS = 300
NO_SOLUTION = "No solution found"

Run = Callable[[list[str], str], tuple[int, str]]
"""A command and its input → its exit status and what it wrote."""


class CannotBuild(Exception):
    """Why the host could not install the application, in words."""


class IndexUnavailable(Exception):
    """Neither the index nor the cache knows the packages; why stands in the message."""


def run_command(command: list[str], text: str) -> tuple[int, str]:
    try:
        done = subprocess.run(  # noqa: S603 the commands are this file's own
            command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        return 2, f"no answer within {SECONDS} s"
    return done.returncode, done.stdout + done.stderr


def host_requirements(root: Path = ROOT) -> list[str]:
    """What the host installs, as pip's arguments."""
    version = read_front_matter(root / "README.md")["sdk_version"]
    return ["-r", str(root / "requirements.txt"), *(package.format(sdk_version=version) for package in HOST_PACKAGES)]


def check_extras(root: Path = ROOT) -> None:
    """Compare the pins with what the installed Gradio asks of its extras' packages; needs no network.

    Raises
    ------
    CannotBuild : a pin is outside of what an extra takes.
    """
    pins = read_pins(root / "requirements.txt")
    for text in metadata.requires("gradio") or ():
        asked = Requirement(text)
        if asked.marker and not any(asked.marker.evaluate({"extra": extra}) for extra in ("", *EXTRAS)):
            continue
        pin = pins.get(asked.name.lower())
        if pin and not asked.specifier.contains(pin):
            raise CannotBuild(f"gradio[{','.join(EXTRAS)}] takes {asked.name}{asked.specifier}, and {pin} is pinned.")


def read_pins(file: Path) -> dict[str, Version]:
    """The version of each package that ``file`` pins for this interpreter, by its name in lower case."""
    pins = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if re.match(r"[a-z0-9].*==", line):
            pin = Requirement(line.removesuffix("\\"))
            if not pin.marker or pin.marker.evaluate():
                (exact,) = pin.specifier
                pins[pin.name.lower()] = Version(exact.version)
    return pins


def resolve(root: Path = ROOT, run: Run = run_command) -> int:
    """How many packages the host would install.

    Raises
    ------
    CannotBuild : no versions satisfy all requirements.
    IndexUnavailable
    """
    from uv import find_uv_bin

    python = read_front_matter(root / "README.md")["python_version"]
    lines = "\n".join(host_requirements(root)).replace("-r\n", "-r ")
    command = [
        find_uv_bin(),
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--python-version",
        python,
        "-",
    ]
    said = ""
    for offline in ([], ["--offline"]):
        status, said = run([*command, *offline], lines)
        if status == 0:
            return len(re.findall(r"^[\w.-]+(\[.*\])?==", said, re.MULTILINE))
        if NO_SOLUTION in said and not offline:
            raise CannotBuild(said.strip())
    raise IndexUnavailable(said.strip().splitlines()[-1][:200] if said.strip() else "it said nothing")


def install(root: Path = ROOT, run: Run = run_command) -> None:
    """Do what the host does in a fresh folder, and load the page there. Raises `CannotBuild`."""
    with tempfile.TemporaryDirectory(prefix="lungapp-space-") as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        for command in (
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *host_requirements(root)],
            [python, "-m", "pip", "check"],
            [python, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); import app; assert app.demo.blocks"],
        ):
            status, said = run(command, "")
            if status:
                raise CannotBuild("\n".join(said.strip().splitlines()[-12:]))


def main(arguments: Sequence[str] | None = None, root: Path = ROOT, run: Run = run_command) -> int:
    parser = argparse.ArgumentParser(prog="python -m hosting.space_build", description="Try what a Space's host does.")
    parser.add_argument("--install", action="store_true", help="install it into a fresh folder and load the page there")
    options = parser.parse_args(arguments)
    try:
        check_extras(root)
        if options.install:
            install(root, run)
            print("space: installed as the host does, and the page loads")
        else:
            print(f"space: the host can install the application, {resolve(root, run)} packages")
    except CannotBuild as error:
        print(f"space: the host cannot install the application. {error}", file=sys.stderr)
        return 1
    except IndexUnavailable as error:
        print(f"space: SKIPPED, only the extras' own limits were compared: this needs the package index. {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The steps of the image without a container engine: ``make image-steps``, with ``PACKAGES=serve`` without TensorFlow.

    python -m hosting.image app|serve

Builds the environment in a fresh folder (`build_venv.sh`, as the Dockerfile does), lays beside it what the image holds,
and analyses an example there. Takes minutes and the package index.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRY = """
import app, lungapp
analysis = app.engine.analyse(lungapp.read_slice("examples/phantom-mass.png"), "all")
print(len(analysis.predictions), "models,", len(lungapp.methods.available_methods()), "ways to explain")
"""


def copied(root: Path = ROOT) -> list[str]:
    """What the Dockerfile's last stage copies out of the repository."""
    last = re.split(r"^FROM ", (root / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)[-1]
    lines = re.findall(r"^COPY (?!--from)(.*) \S+$", last, re.MULTILINE)
    return [name for line in lines for name in line.split()]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m hosting.image", description="Take the image's steps in a folder.")
    parser.add_argument("packages", choices=("app", "serve"))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lungapp-image-") as name:
        folder, venv = Path(name) / "app", Path(name) / "venv"
        lock = root / f"requirements-{options.packages}.txt"
        subprocess.run(["/bin/sh", root / "hosting" / "build_venv.sh", lock, venv], check=True)  # noqa: S603
        folder.mkdir()
        for entry in copied(root):
            source, target = root / entry, folder / Path(entry).name
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
        size = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file() and not path.is_symlink())
        print(f"image: {size / 1e6:.0f} MB beside the base image")
        subprocess.run([venv / "bin" / "python", "-c", TRY], cwd=folder, check=True)  # noqa: S603
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The whole application onto a Hugging Face Space: ``make deploy SPACE=owner/name``, with ``DRY=1`` to only look.

    python -m hosting.space owner/name [--dry-run] [--private]

One commit: every file that the application runs from, large ones by the Hub's large-file storage, and the removal of
what is there no more. Before it, README.md's front matter and every weights file's digest are checked; after it, every
file's size on the Hub. The token is that of ``hf auth login``, or HF_TOKEN; it is no argument and is never printed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hosting.front_matter import problems, read_front_matter
from lungapp.cards import read_card, shipped

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("lungapp/", "weights/", "examples/", "docs/")
FILES = ("app.py", "requirements.txt", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md")
LARGE_BYTES = 10 * 2**20
"""From which the Hub takes a file only into its large-file storage."""

KEPT = (".gitattributes",)
"""Made by the Hub itself; it says which files are large."""


class Item(NamedTuple):
    """One file: its path in the repository, its bytes."""

    path: str
    size: int


class NotReady(Exception):
    """Why nothing can be put anywhere, in words."""


def items(root: Path = ROOT) -> list[Item]:
    """Every committed file that the application runs from, by path."""
    listed = _git(root, "ls-files", "-z").split("\0")
    chosen = sorted(name for name in listed if name and (name.startswith(FOLDERS) or name in FILES))
    return [Item(name, (root / name).stat().st_size) for name in chosen]


def check(root: Path, chosen: Sequence[Item]) -> None:
    """Raise `NotReady` where a Space made of ``chosen`` would not be what the repository's commit is."""
    from lungapp.weights_io import digest_of

    if missing := [name for name in FILES if name not in {item.path for item in chosen}]:
        raise NotReady(f"Expected {', '.join(missing)} to be committed.")
    if changed := _git(root, "status", "--porcelain", "--", *FOLDERS, *FILES).strip():
        raise NotReady(f"Expected everything to be committed. Received:\n{changed}")
    if found := problems(read_front_matter(root / "README.md"), root):
        raise NotReady(f"README.md's front matter: {'; '.join(found)}.")
    specs = shipped(root / "weights")
    if not specs:
        raise NotReady("Expected weights with their cards in weights/.")
    for spec in specs:
        path = root / "weights" / f"{spec.name}.safetensors"
        if not path.is_file() or digest_of(path) != read_card(spec, root / "weights").weights_sha256:
            raise NotReady(f"Expected {path.name} with the digest that its card names.")


def put(space: str, chosen: Sequence[Item], api: Any, root: Path = ROOT, private: bool = False) -> str:
    """Make the Space where there is none, and commit ``chosen`` to it; returns the commit's address."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_repo(space, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
    wanted = {item.path for item in chosen}
    there = set(api.list_repo_files(space, repo_type="space"))
    operations: list[Any] = [CommitOperationAdd(item.path, str(root / item.path)) for item in chosen]
    operations += [CommitOperationDelete(path) for path in sorted(there - wanted - set(KEPT))]
    commit = _git(root, "rev-parse", "HEAD").strip()
    done = api.create_commit(space, operations, commit_message=f"LungApp at {commit[:12]}", repo_type="space")
    arrived = {entry.path: getattr(entry, "size", None) for entry in _tree(api, space)}
    if lost := [item.path for item in chosen if arrived.get(item.path) != item.size]:
        raise NotReady(f"Expected every file on the Space in full. Received less of: {', '.join(lost)}")
    return str(done.commit_url)


def _tree(api: Any, space: str) -> list[Any]:
    return list(api.list_repo_tree(space, repo_type="space", recursive=True))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603


def main(arguments: Sequence[str] | None = None, api: Any = None, root: Path = ROOT) -> int:
    """Look, and put unless only looking was asked for."""
    parser = argparse.ArgumentParser(prog="python -m hosting.space", description="Put the application on a Space.")
    parser.add_argument("space", help="owner/name")
    parser.add_argument("--dry-run", action="store_true", help="list what would be put there, and stop")
    parser.add_argument("--private", action="store_true", help="a new Space is private: only its members see it")
    given = parser.parse_args(arguments)
    if not re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", given.space, re.ASCII):
        parser.error(f"expected a Space as owner/name, received {given.space!r}")
    try:
        chosen = items(root)
        check(root, chosen)
        for item in chosen:
            print(f"{item.size:>12}  {'large' if item.size >= LARGE_BYTES else '     '}  {item.path}")
        total = sum(item.size for item in chosen)
        print(f"{len(chosen)} files, {total / 2**20:.1f} MiB, for {given.space}")
        if given.dry_run:
            return 0
        if api is None:
            from huggingface_hub import HfApi

            api = HfApi()
        print(put(given.space, chosen, api, root, given.private))
    except NotReady as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

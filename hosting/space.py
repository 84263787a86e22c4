"""The whole application onto a Hugging Face Space: ``make deploy SPACE=owner/name``, with ``DRY=1`` to only look.

    python -m hosting.space owner/name [--dry-run] [--private]

One commit: every file that the application runs from, large ones by the Hub's large-file storage, and the removal of
what is there no more. Before it, README.md's front matter, every weights file's digest and what the host will install
(`hosting.space_build`) are checked; after it, every file's size on the Hub. The token is that of ``hf auth login``, or
HF_TOKEN; it is no argument and is never printed.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from hosting import space_build
from hosting.front_matter import HubUnavailable, hub_problems, problems, read_front_matter
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


REFUSALS = {
    401: "Expected a token that the Hub knows. Received: none, or one that has expired. Log in with: hf auth login",
    402: "Expected an account that may have such a Space. Received: 402, payment required. A new Gradio or Docker "
    "Space needs a paid plan (docs/hosting.md): use an owner with one, or a Space that is there already.",
    403: "Expected a token that may write to {space}. Received: 403, forbidden. The token only reads, or the Space is "
    "somebody else's, or a new Gradio Space needs a paid plan (docs/hosting.md).",
}
"""What the Hub's answers mean here, by their status."""

NAME_IN_README = "owner/name"
"""Stands in README.md's front matter where the Space's own name belongs, in the address of its thumbnail."""


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
    with hub_errors(space):
        return _put(space, chosen, api, root, private)


@contextlib.contextmanager
def hub_errors(space: str) -> Iterator[None]:
    """Turns what the Hub answers into `NotReady`, in a sentence."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        sentence = REFUSALS.get(status, "Expected {space} to be written. Received: the Hub's answer {status}.")
        raise NotReady(sentence.format(space=space, status=status)) from error
    except (httpx2.HTTPError, OSError) as error:
        raise NotReady(f"Expected the Hub to answer. Received: {type(error).__name__}; is there a network?") from error


def readme_for(space: str, root: Path) -> bytes:
    """README.md as the Space gets it: it names the Space."""
    return (
        (root / "README.md").read_bytes().replace(f"/spaces/{NAME_IN_README}/".encode(), f"/spaces/{space}/".encode())
    )


def _put(space: str, chosen: Sequence[Item], api: Any, root: Path, private: bool) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_repo(space, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
    wanted = {item.path for item in chosen}
    there = set(api.list_repo_files(space, repo_type="space"))
    readme = readme_for(space, root)
    sizes = {item.path: item.size for item in chosen} | {"README.md": len(readme)}
    sources: dict[str, str | bytes] = {item.path: str(root / item.path) for item in chosen} | {"README.md": readme}
    operations: list[Any] = [CommitOperationAdd(path, source) for path, source in sources.items()]
    operations += [CommitOperationDelete(path) for path in sorted(there - wanted - set(KEPT))]
    commit = _git(root, "rev-parse", "HEAD").strip()
    done = api.create_commit(space, operations, commit_message=f"LungApp at {commit[:12]}", repo_type="space")
    arrived = {entry.path: getattr(entry, "size", None) for entry in _tree(api, space)}
    if lost := [item.path for item in chosen if arrived.get(item.path) != sizes[item.path]]:
        raise NotReady(f"Expected every file on the Space in full. Received less of: {', '.join(lost)}")
    return str(done.commit_url)


def _tree(api: Any, space: str) -> list[Any]:
    return list(api.list_repo_tree(space, repo_type="space", recursive=True))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603


def check_build(root: Path, run: space_build.Run) -> None:
    """Raise `NotReady` where the host could not install the application, or the Hub refuses its front matter."""
    if space_build.main([], root, run):
        raise NotReady("Expected requirements.txt to agree with what the host installs beside it.")
    try:
        if found := hub_problems(root / "README.md"):
            raise NotReady(f"README.md's front matter, says the Hub: {'; '.join(found)}.")
    except HubUnavailable as error:
        print(f"space: SKIPPED, the Hub did not validate the front matter; its offline list did. {error}")


def main(
    arguments: Sequence[str] | None = None,
    api: Any = None,
    root: Path = ROOT,
    run: space_build.Run = space_build.run_command,
) -> int:
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
        check_build(root, run)
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

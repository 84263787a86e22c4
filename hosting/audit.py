"""Known vulnerabilities of every pinned package: ``make check`` runs it, or ``python -m hosting.audit``.

pip-audit asks the package index's own vulnerability service. Where that does not answer (no network, or an index that
only mirrors files and knows no vulnerabilities), that is said; the advisories of hosting/advisories.toml, which has its
date, are compared with the pins in any case. A finding fails the check, unless that file says why it does not matter.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
FILES = tuple(ROOT / f"requirements-{kind}.txt" for kind in ("app", "serve", "archive", "replicas", "dev"))
SECONDS = 240

ADVISORIES = ROOT / "hosting" / "advisories.toml"

Run = Callable[[Path], tuple[str, str]]


class NoAnswer(Exception):
    """The vulnerability service did not answer; why stands in the message."""


def ask(file: Path) -> tuple[str, str]:
    """pip-audit's report on ``file`` as JSON, and what it said beside."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--disable-pip", "--no-deps"]
    options = ["--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(  # noqa: S603 the command is this file's own
            [*command, *options], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"no answer within {SECONDS} s") from error
    return done.stdout, done.stderr


def findings(file: Path, run: Run = ask) -> list[tuple[str, str, str]]:
    """(package, identifier, fixed in) of each known vulnerability in ``file``. Raises `NoAnswer`."""
    report, said = run(file)
    try:
        dependencies: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError) as error:
        last = said.strip().splitlines()[-1][:200] if said.strip() else "it said nothing"
        raise NoAnswer(f"pip-audit gave no report: {last}") from error
    found = [
        (f"{entry['name']} {entry['version']}", flaw["id"], ", ".join(flaw.get("fix_versions", [])) or "no version")
        for entry in dependencies
        for flaw in entry.get("vulns", [])
    ]
    unknown = [entry["name"] for entry in dependencies if "skip_reason" in entry]
    # An index without a vulnerability service answers "not found" for packages that were installed from it.
    if not found and (not dependencies or len(unknown) > len(dependencies) // 2):
        raise NoAnswer(f"the service knows {len(dependencies) - len(unknown)} of {len(dependencies)} packages")
    for name in unknown:
        print(f"audit: {name} could not be looked up")
    return found


@dataclass(frozen=True)
class Advisory:
    """One entry of the list. ``answer`` is empty where nothing says why an affected pin does not matter."""

    names: frozenset[str]
    package: str
    affected: SpecifierSet
    fixed: str
    sentence: str
    answer: str


def read_advisories(file: Path = ADVISORIES) -> tuple[date, list[Advisory]]:
    """When the list was last compared with what is published, and its entries."""
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    entries = [
        Advisory(
            frozenset({entry["id"], *entry.get("aliases", ())}),
            entry["package"],
            SpecifierSet(entry["affected"]),
            entry["fixed"],
            entry["sentence"],
            entry.get("closed") or entry.get("accepted") or "",
        )
        for entry in data["advisory"]
    ]
    return data["checked"], entries


def known(file: Path, advisories: Sequence[Advisory]) -> list[tuple[str, Advisory]]:
    """Each pin in ``file`` that is affected, as name and version, and by what."""
    pins = re.findall(r"^([a-z0-9][\w.-]*)==([^\s;\\]+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    return [
        (f"{name} {version}", entry)
        for name, version in pins
        for entry in advisories
        if entry.package == name and entry.affected.contains(version, prereleases=True)
    ]


def main(files: Sequence[Path] = FILES, run: Run = ask, advisories: Path = ADVISORIES) -> int:
    """Audit ``files``: 1 where a finding has no answer, else 0."""
    checked, entries = read_advisories(advisories)
    answers = {name: entry.answer for entry in entries for name in entry.names}
    bad = 0
    for file in files:
        affected = known(file, entries)
        findings_here = {
            (package, min(entry.names), entry.fixed): f"{entry.sentence} {entry.answer}" for package, entry in affected
        }
        bad += sum(not entry.answer for _, entry in affected)
        listed = {name for _, entry in affected for name in entry.names}
        try:
            for package, name, fixed in findings(file, run):
                if name not in listed:
                    findings_here[package, name, fixed] = answers.get(name, "")
                    bad += not answers.get(name)
            source = "the vulnerability service and the list"
        except NoAnswer as error:
            source = "the list alone"
            print(f"audit: SKIPPED {file.name} at the vulnerability service: {error}")
        for (package, name, fixed), sentence in sorted(findings_here.items()):
            print(f"audit: {package} {name}, fixed in {fixed}. {sentence}".rstrip())
        print(f"audit: {file.name} checked with {source} of {checked}, {len(findings_here)} known vulnerabilities")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

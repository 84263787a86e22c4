"""Known vulnerabilities of every pinned package: ``make check`` runs it, or ``python -m hosting.audit``.

pip-audit asks the package index's own vulnerability service. Where that does not answer (no network, or an index that
only mirrors files and knows no vulnerabilities), the audit is skipped and says so: a check must not fail for that, nor
look as if it had passed. A finding fails it, unless it stands in `ACCEPTED` with a reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILES = tuple(ROOT / f"requirements{kind}.txt" for kind in ("", "-archive", "-replicas", "-dev"))
SECONDS = 240

ACCEPTED: dict[str, str] = {}
"""Identifier of a finding → why it does not matter here."""

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


def main(files: Sequence[Path] = FILES, run: Run = ask) -> int:
    """Audit ``files``: 1 where a finding is not accepted, else 0."""
    bad, seen, asked = 0, set(), True
    for file in files:
        try:
            found = findings(file, run)
        except NoAnswer as error:
            asked = False
            print(f"audit: SKIPPED {file.name}, nothing was checked: {error}")
            continue
        for package, name, fixed in found:
            seen.add(name)
            reason = ACCEPTED.get(name)
            bad += reason is None
            print(f"audit: {package} {name}, fixed in {fixed}" + (f"; accepted: {reason}" if reason else ""))
        print(f"audit: {file.name} checked, {len(found)} known vulnerabilities")
    for name in sorted(ACCEPTED.keys() - seen) if asked else []:
        print(f"audit: {name} is accepted but found no more; take it off the list")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

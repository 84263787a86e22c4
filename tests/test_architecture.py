"""The import rules, and what a fresh interpreter loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module",
    [
        "lungapp",
        "lungapp.engine",
        "lungapp.methods",
        "lungapp.faithfulness",
        "lungapp.ui",
        "lungapp.report",
        "lungapp.rendering",
        "lungapp.quality",
        "app",
    ],
)
def test_nothing_of_the_page_loads_tensorflow(module):
    """TensorFlow takes seconds to import; only the explanations by gradients need it."""
    code = f"import sys, {module}; print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    assert fresh(code) == "[]"


NEED_TENSORFLOW = {"lungapp.models", "lungapp.saliency.smoothgrad"}
NEED_RAY = {"lungapp.replicas.router"}


def test_every_other_module_never_imports_it():
    """Whatever is added to the package, in a fresh interpreter that imports all of it but those."""
    names = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "lungapp").rglob("*.py")
    )
    chosen = [name for name in names if name not in NEED_TENSORFLOW and not name.endswith("__main__")]
    code = f"""
import importlib, sys
for name in {sorted(set(chosen) - NEED_RAY)}:
    importlib.import_module(name)
    assert not {{"tensorflow", "keras"}} & sys.modules.keys(), name
print(len(sys.modules) > 100)
"""
    assert fresh(code) == "True"


def test_cards_are_read_without_tensorflow():
    code = "import sys, lungapp; lungapp.Engine().cards(); print('tensorflow' in sys.modules)"
    assert fresh(code) == "False"


def test_the_import_rules_hold():
    """In an interpreter of its own: import-linter silences every logger there is."""
    fresh("from importlinter.cli import lint_imports; raise SystemExit(lint_imports(config_filename='pyproject.toml'))")

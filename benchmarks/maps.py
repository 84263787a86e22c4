"""How often each explanation's maps pass the page's own test, and write the table that the default is chosen by.

    python -m benchmarks.maps [--data FOLDER] [--slices N] [--write]

For each model and method, over held-out slices of the shipped fold, spread evenly over them: the share of maps that
hold (`lungapp.faithfulness`), with a 95 % bootstrap interval over groups of similar slices; the share whose maximum
lies inside what the model was given (all of them, by design); and the milliseconds that a map takes beyond
the score. A blank map does not hold. Each model explains the class that it predicts, as the page does. With ``--write``
the table goes into docs/maps.md; the last rows are the mean over the models, by which `lungapp.methods.DEFAULT_METHOD`
is chosen.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import row
from lungapp.cards import shipped
from lungapp.engine import Engine
from lungapp.methods import METHODS, Method
from lungapp.reading import read_slice
from lungapp.registry import get_spec
from lungapp.settings import WEIGHTS
from lungapp.slices import Slice
from train import folds
from train.data import Entry, find_dataset

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "maps.md"
START, END = "<!-- maps: start -->", "<!-- maps: end -->"
DRAWS = 2000


@dataclass(frozen=True, eq=False)
class Tally:
    """One model's maps by one method, a slice each: ``holds`` and ``inside`` (n,) bool, ``milliseconds`` (n,)."""

    model: str
    method: str
    holds: np.ndarray
    inside: np.ndarray
    milliseconds: np.ndarray


def held_out(count: int) -> list[Entry]:
    """``count`` held-out slices of the shipped fold, or all of them for 0, spread evenly over their list."""
    entries = folds.held_out()
    if not 0 < count < len(entries):
        return entries
    return [entries[place] for place in np.linspace(0, len(entries) - 1, count).round().astype(int)]


def tally(engine: Engine, model: str, method: Method, slices: Sequence[Slice]) -> Tally:
    """Explain and test every one of ``slices``; one that the gate rejects is scored all the same."""
    rows = []
    for item in tqdm(slices, desc=f"{model}, {method.title}"):
        analysis = engine.measure_faithfulness(engine.analyse(item, model, method=method.name, override=True))
        (found,) = analysis.maps
        assert found.region is not None
        peak = bool(found.region.flat[int(np.argmax(found.values))]) and not found.blank
        rows.append((bool(found.holds), peak, analysis.timings_ms["maps"]))
    holds, inside, milliseconds = (np.array(column) for column in zip(*rows, strict=True))
    return Tally(model, method.name, holds, inside, milliseconds)


def interval(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of ``values`` (n,), ``groups`` (n,) being drawn whole."""
    names, member = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(member, values.astype(float)), np.bincount(member)
    drawn = np.random.default_rng(seed).integers(len(names), size=(DRAWS, len(names)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


def table(tallies: Sequence[Tally], groups: np.ndarray) -> Iterator[str]:
    """Rows in Markdown: one a model and method, then the mean over the models of each method."""
    yield row("Model", "Explanation", "Maps that hold", "Maximum inside what the model saw", "ms a map")
    yield row(*["---"] * 5)
    for one in tallies:
        yield _line(get_spec(one.model).title, one.method, one.holds, one.inside, one.milliseconds, groups)
    for method in METHODS:
        same = [one for one in tallies if one.method == method.name]
        means = (np.mean([getattr(one, name) for one in same], axis=0) for name in ("holds", "inside", "milliseconds"))
        yield _line("*Mean of the models*", method.name, *means, groups)


def _line(
    model: str, method: str, holds: np.ndarray, inside: np.ndarray, milliseconds: np.ndarray, groups: np.ndarray
) -> str:
    low, high = interval(holds, groups)
    title = next(one.title for one in METHODS if one.name == method)
    share = f"{100 * holds.mean():.0f} % ({100 * low:.0f} % to {100 * high:.0f} %)"
    return row(model, title, share, f"{100 * inside.mean():.0f} %", f"{np.median(milliseconds):.0f}")


def written(document: str, text: str) -> str:
    """``document`` with ``text`` between its marks."""
    head, rest = document.split(START)
    return f"{head}{START}\n{text}\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="dataset folder; default LUNGAPP_DATA, then data/")
    parser.add_argument("--slices", type=int, default=0, help="how many held-out slices; all of them if left out")
    parser.add_argument("--write", action="store_true", help="put the table into docs/maps.md")
    options = parser.parse_args()
    root, entries, engine = find_dataset(options.data), held_out(options.slices), Engine()
    slices = [read_slice(root / entry.file) for entry in entries]
    groups = np.array([entry.group for entry in entries])
    engine.warm_up()
    tallies = [tally(engine, spec.name, method, slices) for spec in shipped(WEIGHTS) for method in METHODS]
    count = f"{len(slices)} held-out slices in {len(np.unique(groups))} groups of similar ones."
    text = "\n".join([count, "", *table(tallies, groups)])
    print(text)
    if options.write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()

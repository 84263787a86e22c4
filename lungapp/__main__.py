"""The page's job from a shell.

    python -m lungapp FILE… [--model NAME] [--target CLASS] [--method NAME] [--faithfulness] [--failing-maps]
        [--slice N] [--override] [--json] [--overlay FOLDER]

Exit status: 0 when every file was scored, 1 when one could not be or was rejected, 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from lungapp.engine import ALL, PREDICTED, Engine, cards_of
from lungapp.errors import LungAppError
from lungapp.methods import DEFAULT_METHOD, available_methods, get_method
from lungapp.reading import FORMATS, read_slice
from lungapp.registry import LABELS, MODELS
from lungapp.report import NOTICE, to_json
from lungapp.report.picture import shown_overlay
from lungapp.results import Analysis
from lungapp.settings import Settings
from lungapp.slices import Slice


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parse(arguments)
    try:
        settings = Settings.from_env()
        engine = Engine(settings.weights, settings.precision)
        model = options.model or settings.default_model
        options.overlay and options.overlay.mkdir(parents=True, exist_ok=True)
    except (LungAppError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    failed = False
    files = tqdm(options.files, unit="slice", disable=len(options.files) < 2 or not sys.stderr.isatty())
    for file in files:
        row = _row(engine, settings, file, model, options)
        failed |= "error" in row or row["status"] == "rejected"
        tqdm.write(json.dumps(row) if options.json else _line(row), file=sys.stdout)
    if not options.json:
        print(NOTICE, file=sys.stderr)
    return int(failed)


def _row(engine: Engine, settings: Settings, file: str, model: str, options: argparse.Namespace) -> dict[str, Any]:
    """The JSON of one file; an error is a row too and does not stop the others."""
    try:
        item = read_slice(file, settings.limits, options.slice)
        analysis = _analysis(engine, item, model, options)
        if options.overlay:
            for found in analysis.drawn_maps:
                picture = shown_overlay(replace(analysis, maps=(found,)))
                Image.fromarray(picture).save(options.overlay / f"{Path(file).stem}-{found.model}.png")
        return to_json(analysis, file, cards_of(engine))
    except LungAppError as error:
        return {"file": file, "error": {"kind": type(error).__name__, "message": str(error)}}


def _analysis(engine: Engine, item: Slice, model: str, options: argparse.Namespace) -> Analysis:
    """Analysed as the ``options`` say, with a bar for the methods that take seconds."""
    shown = get_method(options.method).slow and sys.stderr.isatty()
    with tqdm(total=100, unit="%", desc=options.method, leave=False, disable=not shown) as bar:
        analysis = engine.analyse(
            item,
            model,
            options.target,
            options.method,
            options.override,
            progress=lambda share: bar.update(round(100 * share) - bar.n),
        )
    if options.faithfulness:
        analysis = engine.measure_faithfulness(analysis)
    return analysis.insist(wish=options.failing_maps)


def _line(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"{row['file']}: {row['error']['message']}"
    if row["status"] == "rejected":
        return f"{row['file']}: rejected. " + " ".join(finding["message"] for finding in row["quality"]["findings"])
    scores = ", ".join(f"{label} {p:.1%}" for label, p in row["probabilities"].items())
    insisted = "; rejected by the input check, scored by override" if row["quality"]["overridden"] else ""
    return f"{row['file']}: {row['statement']} ({scores}{insisted}){_tested(row)}"


def _tested(row: dict[str, Any]) -> str:
    """Whether the map marks what the model relied on, in a few words; empty where that was not measured."""
    found = (row.get("activation") or {}).get("faithfulness")
    if not found:
        return ""
    verdict = "marks" if found["supported"] else "does not mark"
    falls = (
        f"falls by {found['hottest_fall']:.1%} with its hottest part blurred, by {found['random_fall']:.1%} with others"
    )
    return f"; the map {verdict} what the model relied on ({falls})"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lungapp", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help=f"{FORMATS}, or a ZIP of them")
    parser.add_argument(
        "--model", choices=[*(spec.name for spec in MODELS), ALL], help="default: LUNGAPP_DEFAULT_MODEL"
    )
    parser.add_argument("--target", choices=[PREDICTED, *LABELS], default=PREDICTED, help="the class to explain")
    parser.add_argument(
        "--method",
        choices=[method.name for method in available_methods()],
        default=DEFAULT_METHOD,
        help="how to explain",
    )
    parser.add_argument(
        "--faithfulness", action="store_true", help="test whether the map marks what the score relied on"
    )
    parser.add_argument(
        "--failing-maps", action="store_true", help="write overlays of maps that failed their test, too"
    )
    parser.add_argument("--slice", type=int, metavar="N", help="which slice, from 1, of a file that holds several")
    parser.add_argument("--override", action="store_true", help="score what the input check rejects, and say so")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of text")
    parser.add_argument(
        "--overlay",
        type=Path,
        metavar="FOLDER",
        help="also write overlays there as PNG, but of no map that is blank or failed its test",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

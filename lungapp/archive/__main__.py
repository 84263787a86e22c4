"""Score an archive: a folder tree, or any fsspec address such as s3://bucket/folder, of files, series and ZIPs.

    python -m lungapp.archive SOURCE --out results.parquet --model NAME [--workers N] [--address CLUSTER] [--summary]
    python -m lungapp.archive --out results.parquet --summary

The same command goes on where it was stopped. Every file or archive is an input and every slice a row; so is what
failed, with its error. Paths below SOURCE stand in the rows, as they are or, with --hash-paths, as digests.

Exit status: 0 when all was read, 1 when something could not be, 2 when nothing could be done, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from lungapp.archive.cluster import NOT_THERE
from lungapp.archive.parts import Parts
from lungapp.archive.rows import Job
from lungapp.archive.run import Outcome, Told, run
from lungapp.archive.summary import summarise
from lungapp.engine import ALL, Engine
from lungapp.errors import InvalidSetting, LungAppError, explain
from lungapp.registry import MODELS
from lungapp.report import NOTICE
from lungapp.settings import Settings

CORES = os.cpu_count() or 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    options = _parse(arguments)
    parts, status = Parts(options.out), 0
    try:
        if options.source:
            outcome = _run(options, parts)
            status = int(bool(outcome.failed or outcome.closed))
            _tell(outcome)
        if options.summary:
            _need_parquet()
            print(summarise(parts))
        else:
            print(NOTICE, file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        return 130
    except Exception as error:
        print(str(error) if isinstance(error, LungAppError) else explain(error), file=sys.stderr)
        return 2
    return status


def _run(options: argparse.Namespace, parts: Parts) -> Outcome:
    settings = Settings.from_env()
    job = Job(
        source=options.source,
        model=options.model or settings.default_model,
        weights=settings.weights,
        limits=settings.limits,
        override=options.override,
        hash_paths=options.hash_paths,
        precision=settings.precision,
    )
    threads = 0 if options.address else max(1, CORES // options.workers)
    cards = Engine(settings.weights).cards()
    with tqdm(unit="input", disable=not sys.stderr.isatty()) as bar:
        return run(job, parts, cards, options.workers, options.address, threads, partial(_shown_on, bar))


def _shown_on(bar: tqdm, found: int, before: int) -> Told:
    """What moves ``bar``, of ``found`` inputs, on from the ``before`` that were finished."""
    bar.reset(found)
    bar.initial = bar.n = before
    bar.refresh()
    rows = 0

    def told(inputs: int, more: int) -> None:
        nonlocal rows
        rows += more
        bar.set_postfix_str(f"{rows:,} rows", refresh=False)
        bar.update(inputs)

    return told


def _tell(outcome: Outcome) -> None:
    done = f"{outcome.found:,} inputs, of which {outcome.before:,} were finished before; {outcome.rows:,} rows added"
    print(f"{done} in {outcome.seconds:.0f} s.", file=sys.stderr)
    if outcome.failed:
        print(f"{outcome.failed:,} rows say what could not be read or scored.", file=sys.stderr)
    if outcome.closed:
        print(f"{outcome.closed:,} folders could not be looked into; what is in them is missing.", file=sys.stderr)


def _need_parquet() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise InvalidSetting(NOT_THERE) from error


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lungapp.archive", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="a folder, a file, or an fsspec address of either")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the Parquet files lie")
    parser.add_argument(
        "--model", choices=[*(spec.name for spec in MODELS), ALL], help="default: LUNGAPP_DEFAULT_MODEL"
    )
    parser.add_argument("--workers", type=_positive, default=max(1, CORES // 2), help="processes with a model each")
    parser.add_argument("--address", default="", metavar="CLUSTER", help="join this Ray cluster; LungApp must be on it")
    parser.add_argument("--override", action="store_true", help="score what the input check rejects, and say so")
    parser.add_argument("--hash-paths", action="store_true", help="digests of paths in place of paths in the rows")
    parser.add_argument("--summary", action="store_true", help="print counts, a histogram, and what to look at first")
    options = parser.parse_args(arguments)
    if not options.source and not options.summary:
        parser.error("Expected SOURCE, or --summary of what lies at --out.")
    return options


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 10_000):
        raise argparse.ArgumentTypeError("expected a whole number from 1 to 10,000")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

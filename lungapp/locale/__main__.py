"""Bring the catalogs up to the code, and say what is left to translate and what is wrong.

python -m lungapp.locale [LANGUAGE…] [--check]
"""

from __future__ import annotations

import argparse
import sys

from lungapp.locale.catalogs import OTHERS, faults, load, missing, untranslated, update


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lungapp.locale", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"out of {', '.join(OTHERS)}; all if left out")
    parser.add_argument("--check", action="store_true", help="change no file; fail where anything is left or wrong")
    options = parser.parse_args()
    if unknown := set(options.languages) - set(OTHERS):
        parser.error(f"expected languages out of {', '.join(OTHERS)}, received: {', '.join(sorted(unknown))}")
    wrong = False
    for language in options.languages or OTHERS:
        if not options.check:
            update(language)
        left, problems, new = untranslated(language), faults(language), missing(language)
        total = sum(1 for message in load(language) if message.id)
        print(
            f"{language}: {total - len(left)} of {total} texts are translated, {len(new)} are not in the catalog yet."
        )
        for problem in problems:
            print(f"  {problem}")
        for text in left[:5] if options.check else ():
            print(f"  without a translation: {text!r}")
        wrong = wrong or bool(problems) or (options.check and bool(left or new))
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())

"""Writes what follows from other files: the chart's schema and definitions, and the plain manifests that the chart renders.

    python3 packaging/chart [--check] [--helm PROGRAM]     --check: only says what is out of date

Run it with the project's environment (.venv) after a change to the chart, to cloudcore/crds or to the configuration of cloudcore.
"""

from __future__ import annotations

import argparse
import sys

import rendering


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 packaging/chart", description="Renders what follows from the chart.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when something is out of date")
    parser.add_argument("--helm", default="helm", help="the program [helm]")
    words = parser.parse_args()
    changed = []
    try:
        for make in (rendering.from_tree, lambda: rendering.from_chart(words.helm)):
            files = make()
            old = rendering.stale(files)
            changed += old
            if not words.check:
                rendering.write({path: files[path] for path in old})
    except rendering.Problem as error:
        print(f"packaging/chart: {error}", file=sys.stderr)
        return 1
    for path in changed:
        print(f"{'out of date' if words.check else 'written'}: {path.relative_to(rendering.ROOT)}")
    return 1 if words.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())

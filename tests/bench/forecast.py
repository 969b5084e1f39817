"""The back-test of the forecast on many made-up months: median, 90th percentile and bias.

    python -m tests.bench.forecast [MONTHS]

`MONTHS` of each kind (200). Also prints the ratio to the straight line on the months that the
parameters were chosen on, next to that on the months that the figures are of.
"""

import statistics
import sys

from tests.support.forecast_months import (
    BASELINES,
    FIGURES_FROM,
    HISTORIES,
    PARAMETERS_FROM,
    SHARES,
    Errors,
    errors,
    ours,
    overall,
    table,
)

METHODS = {**BASELINES, "now": ours}


def _spread(found: Errors, history: str, share: float) -> str:
    some = [error for key, part in found.items() if key[1:] == (history, share) for error in part]
    sizes = sorted(abs(error) for error in some)
    return "  ".join(
        f"{number:7.1%}"
        for number in (sizes[len(sizes) // 2], sizes[len(sizes) * 9 // 10], statistics.mean(some))
    )


def main() -> None:
    """Print the table of the document, then the distribution of the errors of each method."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    found = {name: errors(method, FIGURES_FROM, count) for name, method in METHODS.items()}
    for row in [["", *METHODS], *table(found)]:
        sys.stdout.write("  ".join(f"{cell:>18}" for cell in row) + "\n")
    for name, one in found.items():
        sys.stdout.write(f"\n{name}: median, 90th percentile, bias\n")
        for history in HISTORIES:
            for share in SHARES:
                line = f"{history:>20} at {share:4.0%}  {_spread(one, history, share)}\n"
                sys.stdout.write(line)
    for seed in (PARAMETERS_FROM, FIGURES_FROM):
        straight = overall(errors(BASELINES["straight line"], seed, count))
        share = overall(errors(ours, seed, count)) / straight
        sys.stdout.write(f"\nmonths {seed}: {share:.3f} of the error of a straight line")
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()

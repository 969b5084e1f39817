"""The forecast against months that were made up: how wrong is it, and is the history worth it?

The table of docs/design/forecast.md is what comes out of it; a test keeps the two together.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.kernel.calendar import Span
from exporter.mapping.forecast import flow

HOUR = 3600.0
DAYS = 30
HOURS = DAYS * 24
PERIOD = Span(0.0, HOURS * HOUR)
MONTHS = 100  # of each kind
LOOKS = tuple(day * 24 + hour for day in (4, 7, 10, 15, 20, 26) for hour in (0, 12))
SHAPE = [0.3 if hour < 7 or hour > 21 else 1.0 for hour in range(24)]
DOC = Path(__file__).parents[2] / "docs" / "design" / "forecast.md"


class Month(NamedTuple):
    """What the vendor shows at each full hour, and what the month comes to in the end."""

    shown: list[float]
    final: float


def noise(rng: random.Random) -> list[float]:
    return [rng.lognormvariate(0, 0.15) for _ in range(DAYS)]


def steady(rng: random.Random) -> list[float]:
    return noise(rng)


def weekdays(rng: random.Random) -> list[float]:
    first = rng.randrange(7)
    return [day * (0.2 if (first + number) % 7 > 4 else 1) for number, day in enumerate(noise(rng))]


def weekends(rng: random.Random) -> list[float]:
    first = rng.randrange(7)
    return [day * (2.5 if (first + number) % 7 > 4 else 1) for number, day in enumerate(noise(rng))]


def bursts(rng: random.Random) -> list[float]:
    days = noise(rng)
    for number in rng.sample(range(DAYS), 3):
        days[number] *= rng.uniform(4, 10)
    return days


def growth(rng: random.Random) -> list[float]:
    return [day * (1 + 2 * number / DAYS) for number, day in enumerate(noise(rng))]


def decline(rng: random.Random) -> list[float]:
    return [day * (3 - 2 * number / DAYS) for number, day in enumerate(noise(rng))]


def step(rng: random.Random) -> list[float]:
    turn, factor = rng.randrange(5, 25), rng.choice([0.3, 0.5, 2.0, 3.0])
    return [day * (factor if number >= turn else 1) for number, day in enumerate(noise(rng))]


def hourly(days: Sequence[float]) -> list[float]:
    """The value at each full hour of the month, the last hour included."""
    shown = [0.0]
    for day in days:
        shown += [0.0] * 24
        for hour in range(24):
            at = len(shown) - 24 + hour
            shown[at] = shown[at - 1] + day * SHAPE[hour] / sum(SHAPE)
    return shown


def prompt(days: Sequence[float], rng: random.Random) -> list[float]:
    return hourly(days)


def late(days: Sequence[float], rng: random.Random) -> list[float]:
    """A batch each morning at six, with everything up to midnight."""
    true = hourly(days)
    return [true[max(0, (hour - 6) // 24 * 24)] for hour in range(len(true))]


def corrected(days: Sequence[float], rng: random.Random) -> list[float]:
    """Three times a month the last two days are counted 2 to 8 % of the total too high."""
    shown = hourly(days)
    for _ in range(3):
        until = rng.randrange(3, DAYS) * 24
        excess = rng.uniform(0.02, 0.08) * shown[until]
        for hour in range(until - 48, until):
            shown[hour] += excess * (hour - until + 48) / 48
    return shown


KINDS: dict[str, tuple[Callable[..., list[float]], Callable[..., list[float]]]] = {
    "steady": (steady, prompt),
    "weekdays": (weekdays, prompt),
    "weekends": (weekends, prompt),
    "bursts": (bursts, prompt),
    "growth": (growth, prompt),
    "decline": (decline, prompt),
    "step": (step, prompt),
    "late data": (weekdays, late),
    "corrections": (weekdays, corrected),
}


def months(kind: str) -> list[Month]:
    usage, vendor = KINDS[kind]
    rng = random.Random(kind)  # noqa: S311 - the same months in every run
    made = [usage(rng) for _ in range(MONTHS)]
    return [Month(vendor(days, rng), sum(days)) for days in made]


def mean_error(kind: str, history_from: int | None) -> tuple[float, float]:
    """Return the mean error of what is expected for the end, and how often nothing is."""
    errors: list[float] = []
    looks = 0
    for shown, final in months(kind):
        points = [(hour * HOUR, value) for hour, value in enumerate(shown)]
        for hour in LOOKS:
            known = () if history_from is None else points[history_from:hour]
            found = flow(shown[hour], hour * HOUR, PERIOD, history=known).projected
            looks += 1
            if found is not None:
                errors.append(abs(found - final) / final)
    return sum(errors) / len(errors), 1 - len(errors) / looks


@pytest.mark.parametrize("kind", KINDS)
def test_history_makes_the_forecast_better_or_hardly_worse(kind: str) -> None:
    plain, _ = mean_error(kind, None)
    weighted, withheld = mean_error(kind, 0)
    assert weighted < plain + 0.01
    if kind in {"weekdays", "weekends", "growth", "decline", "step", "late data"}:
        assert weighted < plain
    assert withheld == 0 if kind != "corrections" else 0 < withheld < 0.2


def test_late_data_that_says_how_late_it_is_is_forecast_better() -> None:
    dated: list[float] = []
    for shown, final in months("late data"):
        points = [(hour * HOUR, value) for hour, value in enumerate(shown)]
        for hour in LOOKS:
            as_of = (hour - 6) // 24 * 24 * HOUR
            history = points[:hour]
            found = flow(shown[hour], as_of, PERIOD, polled=hour * HOUR, history=history).projected
            assert found is not None
            dated.append(abs(found - final) / final)
    undated, _ = mean_error("late data", 0)
    assert sum(dated) / len(dated) < undated - 0.005


@pytest.mark.parametrize("kind", KINDS)
def test_the_document_tells_the_errors_that_come_out(kind: str) -> None:
    rows = [
        [cell.strip() for cell in line.strip("| \n").split("|")]
        for line in DOC.read_text().splitlines()
        if line.startswith("|")
    ]
    (told,) = [row[1:] for row in rows if row[0] == kind]
    plain, _ = mean_error(kind, None)
    weighted, withheld = mean_error(kind, 0)
    short, _ = mean_error(kind, 10 * 24)
    found = [plain * 100, short * 100, weighted * 100, withheld * 100]
    assert [float(cell.removesuffix(" %")) for cell in told] == pytest.approx(found, abs=0.1)

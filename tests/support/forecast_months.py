"""Made-up months that the forecast is tested against, and what is simplest to set against it.

Times are in days: a prior month from 0 to 30, and the month that is forecast from 30 to 60. A
vendor's value is read four times a day, as often as the history keeps one.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from exporter.kernel.calendar import Span
from exporter.mapping.forecast import Points, flow, level

DAY = 86400.0
DAYS = 30
READS = 4  # a day
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
HISTORIES = {"no prior month": 30, "half a prior month": 15, "a prior month": 0}
"""The day from which on values are known."""
PARAMETERS_FROM, FIGURES_FROM = 1, 3
"""The months that the parameters were chosen on, and those that the figures are of."""


class Month(NamedTuple):
    """What the vendor shows at each reading, what the month comes to, and the known limit."""

    shown: list[tuple[float, float]]
    final: float
    limit: float | None


def _noise(rng: random.Random, spread: float = 0.15) -> list[float]:
    return [rng.lognormvariate(0, spread) for _ in range(2 * DAYS)]


def _steady(rng: random.Random) -> list[float]:
    return _noise(rng)


def _noisy(rng: random.Random) -> list[float]:
    return _noise(rng, 0.6)


def _weekdays(rng: random.Random) -> list[float]:
    first = rng.randrange(7)
    return [day * (0.2 if (first + n) % 7 > 4 else 1) for n, day in enumerate(_noise(rng))]


def _weekends(rng: random.Random) -> list[float]:
    first = rng.randrange(7)
    return [day * (2.5 if (first + n) % 7 > 4 else 1) for n, day in enumerate(_noise(rng))]


def _growth(rng: random.Random) -> list[float]:
    factor = rng.uniform(1.2, 3)
    return [day * (1 + (factor - 1) * n / DAYS) for n, day in enumerate(_noise(rng))]


def _decline(rng: random.Random) -> list[float]:
    factor = rng.uniform(1.2, 3)
    return [
        day * max(0.1, factor - (factor - 1) * n / (2 * DAYS)) for n, day in enumerate(_noise(rng))
    ]


def _drift(rng: random.Random) -> list[float]:
    height, days = 1.0, []
    for _ in range(2 * DAYS):
        height *= math.exp(rng.gauss(0, 0.08))
        days.append(height * rng.lognormvariate(0, 0.2))
    return days


def _bursts(rng: random.Random) -> list[float]:
    days = _noise(rng)
    for number in rng.sample(range(2 * DAYS), 6):
        days[number] *= rng.uniform(4, 10)
    return days


def _step(rng: random.Random) -> list[float]:
    turn, factor = rng.randrange(DAYS // 2, DAYS + 25), rng.choice([0.3, 0.5, 2.0, 3.0])
    return [day * (factor if n >= turn else 1) for n, day in enumerate(_noise(rng))]


def _month_end(rng: random.Random) -> list[float]:
    return [day * (4 if n % DAYS >= DAYS - 2 else 1) for n, day in enumerate(_noise(rng))]


def _idle_spike(rng: random.Random) -> list[float]:
    turn = rng.randrange(DAYS, DAYS + 25)
    return [day * (1 if n >= turn else 0.02) for n, day in enumerate(_noise(rng))]


def _sparse(rng: random.Random) -> list[float]:
    return [rng.uniform(5, 20) if rng.random() < 0.12 else 0.0 for _ in range(2 * DAYS)]


def _new_account(rng: random.Random) -> list[float]:
    turn = rng.randrange(DAYS - 3, DAYS + 8)
    return [
        0.0 if n < turn else day * min(1, (n - turn + 1) / 10) for n, day in enumerate(_noise(rng))
    ]


def _hard_stop(rng: random.Random) -> list[float]:
    days = _noise(rng)
    left = sum(days[DAYS:]) * rng.uniform(0.5, 0.9)
    for number in range(DAYS, 2 * DAYS):
        days[number] = min(days[number], left)
        left -= days[number]
    return days


def _cumulative(days: Sequence[float]) -> list[tuple[float, float]]:
    shown, total = [], 0.0
    for number, day in enumerate(days):
        if number % DAYS == 0:
            total = 0.0
        for part in range(READS):
            shown.append((number + part / READS, total))
            total += day / READS
    return shown


def _late(shown: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A batch each morning at six, with everything up to midnight."""
    found = []
    for number, (when, _) in enumerate(shown):
        source = number - number % READS if number % READS else max(number - READS, 0)
        same_month = source // (READS * DAYS) == number // (READS * DAYS)
        found.append((when, shown[source][1] if same_month else 0.0))
    return found


def _corrected(shown: list[tuple[float, float]], rng: random.Random) -> list[tuple[float, float]]:
    """Six times the last two days are counted 2 to 8 % of the total too high, then corrected."""
    values = [value for _, value in shown]
    for _ in range(6):
        until = rng.randrange(3, 2 * DAYS) * READS
        excess = rng.uniform(0.02, 0.08) * shown[until][1]
        begin = max(until - 2 * READS, until // (READS * DAYS) * READS * DAYS)
        for number in range(begin, until):
            values[number] += excess * (number - until + 2 * READS) / (2 * READS)
    return [(when, value) for (when, _), value in zip(shown, values, strict=True)]


KINDS: dict[str, Callable[[random.Random], list[float]]] = {
    "steady": _steady,
    "noisy": _noisy,
    "weekdays": _weekdays,
    "weekends": _weekends,
    "growth": _growth,
    "decline": _decline,
    "drift": _drift,
    "bursts": _bursts,
    "step": _step,
    "month-end batch": _month_end,
    "idle, then a spike": _idle_spike,
    "sparse events": _sparse,
    "new account": _new_account,
    "hard stop": _hard_stop,
    "late data": _weekdays,
    "corrections": _weekdays,
}


def months(kind: str, seed: int, count: int) -> list[Month]:
    """Return `count` months of a kind, the same ones for the same `seed`."""
    rng = random.Random(f"{kind}{seed}")  # noqa: S311 - the same months in every run
    found = []
    for _ in range(count):
        days = KINDS[kind](rng)
        final = sum(days[DAYS:])
        if final <= 0:
            continue
        shown = _cumulative(days)
        if kind == "late data":
            shown = _late(shown)
        if kind == "corrections":
            shown = _corrected(shown, rng)
        found.append(Month(shown, final, final if kind == "hard stop" else None))
    return found


# ------------------------------------------------------------------------------------- methods

Method = Callable[[float, float, Points, float | None], float | None]
"""The value, the day, the values before (by day) and the limit; to the expected final value."""
START, END = float(DAYS), 2.0 * DAYS


def ours(used: float, day: float, known: Points, limit: float | None) -> float | None:
    """Return what the exporter publishes."""
    history = [(when * DAY, value) for when, value in known]
    period = Span(START * DAY, END * DAY)
    return flow(used, day * DAY, period, limit=limit, history=history).projected


def _straight(used: float, day: float, known: Points, limit: float | None) -> float:
    return used * DAYS / (day - START)


def _last_month(used: float, day: float, known: Points, limit: float | None) -> float | None:
    before = [value for when, value in known if when < START]
    return max(*before, used) if before else None


def _without_resets(known: Points) -> list[tuple[float, float]]:
    grown, offset, last = [], 0.0, 0.0
    for when, value in known:
        if value < last / 2:
            offset += last
        last = value
        grown.append((when, offset + value))
    return grown


def _pace_of(length: float) -> Method:
    def method(used: float, day: float, known: Points, limit: float | None) -> float | None:
        points = _without_resets([*(one for one in known if one[0] >= day - length), (day, used)])
        (begin, low), (end, high) = points[0], points[-1]
        if end - begin < 0.5:
            return None
        return used + max(0.0, (high - low) / (end - begin)) * (END - day)

    return method


def _predict_linear(length: float) -> Method:
    def method(used: float, day: float, known: Points, limit: float | None) -> float | None:
        points = _without_resets([*(one for one in known if one[0] >= day - length), (day, used)])
        if len(points) < 3:
            return None
        middle = sum(when for when, _ in points) / len(points)
        mean = sum(value for _, value in points) / len(points)
        spread = sum((when - middle) ** 2 for when, _ in points)
        slope = sum((when - middle) * (value - mean) for when, value in points) / spread
        return max(0.0, mean + slope * (END - middle) - points[-1][1] + used)

    return method


BASELINES: dict[str, Method] = {
    "straight line": _straight,
    "predict_linear 1 d": _predict_linear(1),
    "predict_linear 7 d": _predict_linear(7),
    "7-day pace": _pace_of(7),
    "last month": _last_month,
}
"""Where one of them says nothing, the straight line is taken, and so where the exporter does."""

Errors = dict[tuple[str, str, float], list[float]]
"""By kind, history and share of the month; signed, as fractions of the final value."""


def errors(method: Method, seed: int, count: int) -> Errors:
    """Return how far off a method is in `count` months of each kind."""
    found: Errors = {}
    for kind in KINDS:
        for month in months(kind, seed, count):
            whens = [when for when, _ in month.shown]
            for share in SHARES:
                day = START + DAYS * share
                here = bisect_right(whens, day)
                used = month.shown[here - 1][1]
                before = month.shown[: here - (whens[here - 1] == day)]
                for name, since in HISTORIES.items():
                    known = before[since * READS :]
                    expected = method(used, day, known, month.limit)
                    if expected is None:
                        expected = _straight(used, day, known, month.limit)
                    error = (expected - month.final) / month.final
                    found.setdefault((kind, name, share), []).append(error)
    return found


def mean_error(found: Errors, kind: str, history: str = "", share: float = 0.0) -> float:
    """Return the mean of the absolute errors of a kind; of all histories and shares if not said."""
    chosen = [
        abs(error)
        for key, some in found.items()
        if key[0] == kind and history in ("", key[1]) and share in (0.0, key[2])
        for error in some
    ]
    return sum(chosen) / len(chosen)


def overall(found: Errors, history: str = "", share: float = 0.0) -> float:
    """Return the geometric mean over the kinds (and the histories) of the mean errors."""
    names = [history] if history else list(HISTORIES)
    means = [mean_error(found, kind, name, share) for kind in KINDS for name in names]
    return math.exp(sum(math.log(max(one, 1e-4)) for one in means) / len(means))


def table(found: Mapping[str, Errors]) -> list[list[str]]:
    """Return the rows of docs/design/forecast.md: kinds, then histories, then shares, then all."""
    rows = [[kind, *(f"{mean_error(one, kind):.1%}" for one in found.values())] for kind in KINDS]
    rows += [[name, *(f"{overall(one, name):.1%}" for one in found.values())] for name in HISTORIES]
    rows += [
        [f"at {share:.0%}", *(f"{overall(one, share=share):.1%}" for one in found.values())]
        for share in SHARES
    ]
    rows.append(["all", *(f"{overall(one):.1%}" for one in found.values())])
    return rows


# ---------------------------------------------------------------------------- levels

LEVEL_DAYS = 60
AHEAD = (3, 7, 14, 25)
LEVEL_KINDS = (
    "growth",
    "growth with noise",
    "growth that quickens",
    "growth that stops",
    "seats",
    "retention",
    "retention with growth",
    "migration",
    "clean-up",
    "burst that goes again",
)


def levels(kind: str, seed: int, count: int) -> list[list[tuple[float, float]]]:
    """Return `count` series of 60 days of a level, read four times a day."""
    rng = random.Random(f"{kind}{seed}")  # noqa: S311 - the same series in every run
    return [_level(kind, rng) for _ in range(count)]


def _level(kind: str, rng: random.Random) -> list[tuple[float, float]]:
    base, pace = rng.uniform(30, 60), rng.uniform(0.1, 0.8)
    turn, cycle, swing = rng.randrange(3, 55), rng.randrange(2, 12), rng.uniform(1, 6)
    cut, seats, found = rng.uniform(0.2, 0.6), 0, []
    for number in range(LEVEL_DAYS * READS):
        day = number / READS
        line = base + pace * day
        if rng.random() < pace / 8:
            seats += rng.choice([1, 2, 3, -1])
        value = {
            "growth": line,
            "growth with noise": line + rng.gauss(0, 0.5),
            "growth that quickens": base + pace * day * day / 40,
            "growth that stops": base + pace * min(day, turn),
            "seats": base // 1 + seats,
            "retention": base + swing * (day % cycle) / 2,
            "retention with growth": line + swing * (day % cycle) / 2,
            "migration": base + pace * day / 20 + 40 * min(1, max(0, (day - turn) / 2)),
            "clean-up": line - (cut * base if day >= turn else 0),
            "burst that goes again": line + 8 * max(0, 1 - abs(day - turn) / 3),
        }[kind]
        found.append((day * DAY, max(0.0, value)))
    return found


LevelMethod = Callable[[Points, float, float | None], tuple[float | None, float | None]]
"""The values (the last is the present one), the end and the limit; what is expected, and when."""


def our_level(points: Points, end: float, limit: float | None) -> tuple[float | None, float | None]:
    """Return what the exporter publishes."""
    at, used = points[-1]
    return level(used, at, end, limit=limit, history=points[:-1])


def last_week(points: Points, end: float, limit: float | None) -> tuple[float | None, float | None]:
    """Follow the least-squares slope of 7 days, which is ``predict_linear`` from the last value."""
    at, used = points[-1]
    some = [(when, value) for when, value in points if when >= at - 7 * DAY]
    middle = sum(when for when, _ in some) / len(some)
    spread = sum((when - middle) ** 2 for when, _ in some)
    slope = sum((when - middle) * value for when, value in some) / spread
    full = None if limit is None or slope <= 0 else at + (limit - used) / slope
    return max(0.0, used + slope * (end - at)), full


def no_change(points: Points, end: float, limit: float | None) -> tuple[float | None, float | None]:
    """Expect what there is."""
    return points[-1][1], None


LEVEL_METHODS: dict[str, LevelMethod] = {
    "no change": no_change,
    "predict_linear 7 d (before)": last_week,
    "now": our_level,
}


def level_table(seed: int, count: int) -> list[list[str]]:
    """Return rows: the mean error of each kind and overall, false and missed alarms of 3 days.

    The limit is 8 % above the present value; an alarm says that it is reached within 3 days.
    """
    sums = {name: dict.fromkeys(LEVEL_KINDS, 0.0) for name in LEVEL_METHODS}
    false, missed, looks = dict.fromkeys(sums, 0), dict.fromkeys(sums, 0), 0
    for kind in LEVEL_KINDS:
        looks = 0
        for shown in levels(kind, seed, count):
            for day in range(5, LEVEL_DAYS - max(AHEAD), 6):
                here = day * READS
                points = shown[: here + 1]
                at, limit = points[-1][0], max(points[-1][1] * 1.08, 1.0)
                full = any(value >= limit for _, value in shown[here : here + 3 * READS + 1])
                looks += 1
                for name, method in LEVEL_METHODS.items():
                    for ahead in AHEAD:
                        true = shown[here + ahead * READS][1]
                        expected, when = method(points, at + ahead * DAY, limit)
                        error = abs((points[-1][1] if expected is None else expected) - true)
                        sums[name][kind] += error / max(true, 1.0) / len(AHEAD)
                    _, when = method(points, at + 4 * DAY, limit)
                    alarm = when is not None and when <= at + 3 * DAY
                    false[name] += alarm and not full
                    missed[name] += full and not alarm
    rows = [[kind, *(f"{one[kind] / looks:.1%}" for one in sums.values())] for kind in LEVEL_KINDS]
    rows.append(["false alarms", *(str(number) for number in false.values())])
    rows.append(["missed alarms", *(str(number) for number in missed.values())])
    return rows

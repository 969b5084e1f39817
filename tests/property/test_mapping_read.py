import math
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.calendar import Cycle
from exporter.mapping.read import drift, read_payload
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.families import FAMILY, Sample
from exporter.model.outcome import Failure
from exporter.model.reading import Money, Reading, Usage
from tests.unit.mapping.factories import (
    NOW,
    config_limit,
    cost,
    instant,
    items,
    join,
    optional,
    paths,
    payload,
    period,
    reduce,
    resource,
    rows,
    target,
    unit,
    unit_at,
    value,
)

NUMBERS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**20), max_value=10**20)
    | st.floats()
    | st.sampled_from(["12.5", "1e3", "unlimited", "1,000", "NaN", "", -1, 10**12, "2026-11-15"])
    | st.text(max_size=3)
)
KEYS = st.sampled_from(["used", "limit", "left", "unit", "date", "name", "usd", "apiCalls"])
ENTRY = st.dictionaries(KEYS, NUMBERS | st.sampled_from(["GB", "users"]), max_size=5)
DOCUMENT = st.fixed_dictionaries(
    {},
    optional={
        "metrics": st.dictionaries(st.text(max_size=4) | KEYS, ENTRY | NUMBERS, max_size=4)
        | NUMBERS,
        "results": st.lists(ENTRY | NUMBERS, max_size=5) | ENTRY,
        "limits": st.dictionaries(KEYS, ENTRY, max_size=3) | NUMBERS,
        "total": NUMBERS,
        "start": NUMBERS,
        "end": NUMBERS,
    },
)
GOOD = st.none() | st.integers(min_value=-1, max_value=10**13) | st.just("12.5")
GOOD_ENTRY = st.fixed_dictionaries(
    {"date": st.sampled_from(["2026-11-14", "2026-11-15", 1794700800])},
    optional={
        "used": GOOD,
        "limit": GOOD | st.just("unlimited"),
        "left": GOOD,
        "usd": GOOD,
        "unit": st.sampled_from(["GB", "users", "EUR"]),
        "name": st.none() | st.text(max_size=3) | st.just("x" * 300),
    },
)
TIME = st.none() | st.integers(min_value=int(NOW) - 40 * 86400, max_value=int(NOW) + 40 * 86400)
SANE = st.fixed_dictionaries(
    {"metrics": st.dictionaries(KEYS, GOOD_ENTRY, max_size=5)},
    optional={
        "results": st.lists(GOOD_ENTRY.map(lambda entry: {**entry, "unit": "EUR"}), max_size=5),
        "limits": st.dictionaries(KEYS, GOOD_ENTRY, max_size=3),
        "total": GOOD,
        "start": TIME,
        "end": TIME,
    },
)
OF = target(
    resource(
        "{m.key}",
        rows(optional("items(metrics)", "m"), joins=[join("l", "limits", "m.key")]),
        unit=unit_at("m.value.unit", {"GB": "GB", "users": "quantity"}, otherwise="quantity"),
        used=value("m.value.used"),
        limit=value("l.limit", unlimited=(-1, None, "unlimited", 10**12)),
        remaining=value("m.value.left"),
        reduce=reduce("max"),
    ),
    resource(
        "storage",
        rows(optional("results")),
        unit=unit("GB"),
        level=True,
        used=value("used"),
        reduce=reduce("last", "date"),
        as_of=instant("date"),
    ),
    resource("total", used=value("total"), ratio=value("total", unit=unit("percent"))),
    cost(
        rows(optional("results")),
        cost=value("usd", unit=unit("cents")),
        limit=value("limit"),
        reduce=reduce("sum"),
    ),
    items("storage", rows(optional("results")), "name", lower=True, used=value("used"), top=2),
    items("spend", rows(optional("results")), "name", cost=value("usd"), currency=paths("unit")),
    limits={"total": config_limit(5.0), "spend": config_limit(100.0)},
    max_series=40,
    definition={
        "period": period(start=instant("start"), end=instant("end"), cycle=Cycle.MONTH),
    },
)


def read_all(documents: list[object]) -> Reading | Failure:
    return read_payload(OF, "usage", (payload(*documents),), NOW)


def check(found: tuple[Sample, ...]) -> None:
    assert len(found) <= OF.max_series
    assert len({(one.family, one.labels, one.extra) for one in found}) == len(found)
    for sample in found:
        assert len(sample.labels) == len(FAMILY[sample.family].labels)
        assert math.isfinite(sample.value)
        for text in sample.labels:
            text.encode()
            assert len(text) <= 128
            assert "\n" not in text


@given(st.lists(SANE | DOCUMENT | NUMBERS, min_size=1, max_size=2))
def test_any_answer_is_read_or_refused_in_one_line(documents: list[object]) -> None:
    match read_all(documents):
        case Failure() as failure:
            assert failure.detail.isprintable()
            assert 0 < len(failure.detail) <= 400
        case Reading() as reading:
            found, _ = samples(target_status(OF, {"usage": reading}, NOW))
            check(found)
            assert drift(reading, reading) == ()


@given(SANE, st.floats(min_value=0, max_value=4e9))
def test_what_is_published_only_gets_less_with_time(document: object, later: float) -> None:
    reading = read_all([document])
    if isinstance(reading, Failure):
        return
    readings: Mapping[str, Reading] = {"usage": reading}
    now, _ = samples(target_status(OF, readings, NOW))
    then, _ = samples(target_status(OF, readings, NOW + later))
    check(then)
    facts: list[Usage | Money] = [*reading.usages, *reading.money]
    ends = [one.period.end for one in facts if one.period is not None and not one.closed]
    if NOW + later < min((end for end in ends if end > NOW), default=math.inf):
        assert then == now
    else:
        assert sum("item" not in one.family for one in then) < len(now)


@given(SANE)
def test_reading_twice_is_the_same(document: object) -> None:
    assert read_all([document]) == read_all([document])

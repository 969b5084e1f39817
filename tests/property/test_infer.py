"""Guesses from any answer: they never crash, always compile, and fit the answer itself."""

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.authoring.sample import Sample, Unusable, read_sample
from exporter.model.outcome import Failure
from exporter.model.reading import Known, Reading
from tests.support.drafting import compiled, drafted, learned

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted(
    path
    for folder in ("providers", "generality")
    for path in (ROOT / "tests" / folder).rglob("*.json*")
    if path.name not in ("index.json", "expected.json")  # ours, and no vendor's
)

WORDS = """
    used usage current limit quota max remaining percent ratio projected overage next total count
    value amount bandwidth storage bytes gb minutes requests calls emails seats cost price usd cents
    currency unit period start end reset date day month name key metric results items data meta
    pagination page next_page has_more offset plan tier id status labels values billing
"""
NOTHING = "Nothing in the sample looks like usage"
KEYS = st.one_of(
    st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=3).map("_".join),
    st.sampled_from(
        ["@odata.nextLink", "a b", 'q"uote', "{brace}", "null", "true", "2fa", "", "Ω"]
    ),
    st.text(max_size=8),
)
MEANT = """
    GB requests USD eur unlimited 2026-11-01 2026-11-30T23:59:59Z 12.5 -1 api_calls storage null
    1e400 https://a.example/?page=2
"""
TEXTS = st.one_of(
    st.sampled_from([*MEANT.split(), "5 GB", ""]),
    st.text(max_size=12),
)
NUMBERS = st.one_of(
    st.integers(-5, 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([-1, 0, 10**12, 2**63 - 1, 1794744000, 1794744000000, 0.45, 10**400, 1e300]),
)
SCALARS = st.one_of(NUMBERS, TEXTS, st.none(), st.booleans())
COLUMNS = st.lists(KEYS, min_size=2, max_size=5, unique=True)
RECORDS = COLUMNS.flatmap(
    lambda keys: st.lists(
        st.fixed_dictionaries(dict.fromkeys(keys, SCALARS)), min_size=1, max_size=4
    )
)
DOCUMENTS = st.recursive(
    st.one_of(SCALARS, RECORDS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=6),
        st.lists(st.fixed_dictionaries({"name": TEXTS, "value": SCALARS}), max_size=4),
        st.dictionaries(
            KEYS, st.fixed_dictionaries({"used": NUMBERS, "limit": SCALARS}), max_size=4
        ),
    ),
    max_leaves=25,
)


@given(DOCUMENTS)
@example({"spend": {"used": 1}})
@example([{"ratio": 0, "used": None}, {"ratio": "", "used": None}])
@example({"used": None, "null": [{"name": "GB", "value": 0}]})
@example({"a": {"": {"used": 1}, "b": {"used": 2}}})
def test_a_draft_always_compiles(document: object) -> None:
    compiled(drafted(document))


@given(DOCUMENTS)
@example({"percent": [{"name": "GB", "value": "5 GB"}]})
@example({"used": [{"name": "GB", "value": 0}], "data": {"": 1, "used": None, "start": 0}})
@example([{}, {"used": {"used": {"used": -1}, "next": {"used": 316}}}])
@example({"percent": "5 GB"})
def test_a_draft_reads_what_it_was_guessed_from(document: object) -> None:
    text = drafted(document)
    if NOTHING in text:
        return
    with tempfile.TemporaryDirectory() as folder:
        reading = learned(text, document, Path(folder))
    if isinstance(reading, Failure):
        assert "nothing in the answer matched" in reading.detail, text


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
@example(b'{"a": NaN}')
@example(b'{"a": 1e999}')
@example(b"[" * 5000 + b"]" * 5000)
@example(b'{"a":1}\n{"a":2}\n')
@example(b"\xef\xbb\xbf{}")
@example(b'"\\ud800"')
def test_a_file_is_read_or_refused_in_words(content: bytes) -> None:
    sample = attempt(content)
    if isinstance(sample, Unusable):
        assert str(sample).endswith((".", "?", ")"))
    else:
        compiled(drafted(sample.document, lines=sample.lines))


def attempt(content: bytes) -> Sample | Unusable:
    try:
        return read_sample(content)
    except Unusable as refusal:
        return refusal


def numbers(reading: Reading) -> list[float]:
    """Return every number that a reading holds."""
    facts = [
        getattr(one, name)
        for one in (*reading.usages, *reading.money)
        for name in one.__struct_fields__
        if name not in ("period", "as_of")
    ]
    facts = [one.value if isinstance(one, Known) else one for one in facts]
    parts = [one.value for one in reading.items]
    return [float(one) for one in (*facts, *parts) if type(one) in (int, float)]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_vendors_answer_gives_a_draft_that_reads_it(path: Path, tmp_path: Path) -> None:
    sample = attempt(path.read_bytes())
    if isinstance(sample, Unusable):
        assert "it is no JSON" in str(sample)
        return
    text = drafted(sample.document, lines=sample.lines)
    reading = learned(text, sample.document, tmp_path)
    if NOTHING in text:
        if isinstance(reading, Failure):
            assert "nothing in the answer matched" in reading.detail
        else:
            assert numbers(reading) == []
        assert "/".join(path.parts[-2:]) not in READ
        return
    assert isinstance(reading, Reading), reading
    told = numbers(reading)
    assert told
    assert all(map(math.isfinite, told))


READ: dict[str, dict[str, float]] = {
    "anthropic/usage_report_messages.json": {"cache_read_input_tokens": 900_210},
    "billing_usage/current.json": {
        "api_calls": 131_480,
        "storage": 148.25e9,
        "seats": 12,
        "bandwidth": 402.6e9,
        "USD": 79,
    },
    "datadog/estimated_cost.json": {"USD": 4127.33},
    "deepl/free.json": {"characters": 381_220},
    "elevenlabs/subscription.json": {"characters": 88_012},
    "github/rate_limit.json": {"core": 789, "search": 2, "graphql": 4_999},
    "harbor/bills1.jsonl": {"USD": 34.84},
    "openai/usage_embeddings.json": {"input_tokens": 90_210, "model_requests": 412},
    "thousandeyes/usage.json": {"cloud_units": 12_844_120, "endpoint_agents": 412},
    "tpstreams/daily_page1.json": {"bandwidth": 187.22e9, "USD": 2.85},
    "twilio/this_month_page2.json": {"phonenumbers": 9, "recordings": 0},
    "vercel/charges.jsonl": {"fast_data_transfer": 126.6e9, "USD": 16.65},
}
"""What is used, or costs, by the vendors' answers: checked by hand."""


@pytest.mark.parametrize("name", READ)
def test_the_numbers_that_a_draft_reads_are_the_vendors(name: str, tmp_path: Path) -> None:
    (path,) = [one for one in SAMPLES if "/".join(one.parts[-2:]) == name]
    sample = read_sample(path.read_bytes())
    text = drafted(sample.document, lines=sample.lines)
    reading = learned(text, sample.document, tmp_path)
    assert isinstance(reading, Reading), reading
    used = {one.resource: one.used for one in reading.usages if one.used is not None}
    found = used | {one.currency: one.cost for one in reading.money if one.cost is not None}
    wanted = {key: pytest.approx(number, rel=1e-12) for key, number in READ[name].items()}
    assert {key: found.get(key) for key in wanted} == wanted

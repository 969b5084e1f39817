"""What is written reads back: the library's parsers are the judges."""

import math
import struct
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.kernel.exposition_text import Dialect, value_texts
from exporter.model.families import FAMILIES, FAMILY, Sample
from exporter.store.exposition import (
    DuplicateError,
    PrefixCache,
    header,
    render,
)

SURROGATES = "".join(map(chr, range(0xD800, 0xE000)))
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
EXTRA = st.dictionaries(st.from_regex(r"x[a-z0-9_]{0,5}", fullmatch=True), ANY_TEXT, max_size=3)


@st.composite
def samples_of(draw: st.DrawFn) -> list[Sample]:
    found: dict[tuple[str, tuple[str, ...]], Sample] = {}
    for _ in range(draw(st.integers(0, 12))):
        family = draw(st.sampled_from(FAMILIES))
        labels = tuple(draw(ANY_TEXT) for _ in family.labels)
        extra = tuple(draw(EXTRA).items()) if family.open_labels else ()
        value = 1.0 if family.name.endswith("_info") else draw(ANY_FLOAT)
        sample = Sample(family=family.name, labels=labels, value=value, extra=extra)
        found[family.name, tuple(map(clean, labels))] = sample
    return list(found.values())


def clean(text: str) -> str:
    return "".join("\ufffd" if character in SURROGATES else character for character in text)


def expected(samples: list[Sample]) -> dict[tuple[str, frozenset[tuple[str, str]]], bytes]:
    found = {}
    for sample in samples:
        pairs = [*zip(FAMILY[sample.family].labels, sample.labels, strict=True), *sample.extra]
        labels = frozenset((name, clean(value)) for name, value in pairs)
        found[sample.family, labels] = bits(sample.value + 0.0)
    return found


def bits(value: float) -> bytes:
    return b"NaN" if math.isnan(value) else struct.pack(">d", value)


def body(blocks: dict[str, bytes], form: Dialect) -> str:
    parts = [header(f, form) + blocks[f.name] for f in FAMILIES if f.name in blocks]
    return b"".join(parts).decode() + form.end.decode()


def parsed(
    text: str, form: Dialect
) -> Iterator[tuple[tuple[str, frozenset[tuple[str, str]]], bytes]]:
    parse = parse_text if form is Dialect.TEXT else parse_openmetrics
    for family in parse(text):
        for sample in family.samples:
            # The OpenMetrics parser reads "-0" as an integer, which has no sign at zero.
            yield (sample.name, frozenset(sample.labels.items())), bits(sample.value + 0.0)


@pytest.mark.parametrize("form", Dialect)
@given(samples=samples_of())
def test_the_parsers_read_back_every_sample(form: Dialect, samples: list[Sample]) -> None:
    read = list(parsed(body(render(samples), form), form))
    assert len(read) == len(samples)
    assert dict(read) == expected(samples)


@given(values=st.lists(ANY_FLOAT))
@example(values=[1e15, 1e16, -1e22, 5e-324, 1.7976931348623157e308, -0.0, 1.5, 100.0])
@example(values=[2.0**53, 2.0**53 + 2, 123456789012345678.0])
def test_every_value_reads_back_bit_by_bit(values: list[float]) -> None:
    texts = value_texts(values)
    assert [bits(float(text)) for text in texts] == [bits(value) for value in values]
    assert not [text for text in texts if text.endswith(b".0")]


@given(value=st.integers(-(10**15) + 1, 10**15 - 1))
def test_whole_numbers_are_written_as_such(value: int) -> None:
    assert value_texts([float(value)]) == [str(value).encode()]


@given(samples=samples_of(), others=samples_of(), factor=ANY_FLOAT)
def test_a_cached_render_is_a_fresh_render(
    samples: list[Sample], others: list[Sample], factor: float
) -> None:
    cache = PrefixCache()
    moved = [
        Sample(family=s.family, labels=s.labels, value=s.value * factor, extra=s.extra)
        for s in samples
    ]
    for turn in (samples, moved, moved[::-1], others, samples):
        assert cache.render(turn) == render(turn)


@given(samples=samples_of().filter(bool), data=st.data())
def test_a_series_given_twice_is_always_noticed(samples: list[Sample], data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(samples))
    with pytest.raises(DuplicateError) as caught:
        render([*samples, again])
    (series,) = caught.value.series
    assert series.startswith(f"{again.family}{{")

"""Samples to lines: the exact text, and what is refused."""

import pytest

from exporter.kernel.exposition_text import Dialect, value_texts
from exporter.model.families import FAMILIES, FAMILY, Sample
from exporter.store.exposition import (
    DuplicateError,
    MalformedError,
    PrefixCache,
    header,
    render,
)


def a_sample(
    value: float = 1.0, *, resource: str = "bandwidth", family: str = "usage_bytes"
) -> Sample:
    return Sample(family=family, labels=("tpstreams", "video", resource), value=value)


def info(*extra: tuple[str, str]) -> Sample:
    labels = ("tpstreams", "video", "pro")
    return Sample(family="usage_account_info", labels=labels, value=1.0, extra=extra)


def test_a_family_becomes_one_line_for_each_sample_in_their_order() -> None:
    blocks = render([a_sample(5), a_sample(0.5, family="usage_ratio"), a_sample(7, resource="b")])
    assert blocks == {
        "usage_bytes": b'usage_bytes{provider="tpstreams",account="video",resource="bandwidth"} 5\n'
        b'usage_bytes{provider="tpstreams",account="video",resource="b"} 7\n',
        "usage_ratio": b'usage_ratio{provider="tpstreams",account="video",resource="bandwidth"}'
        b" 0.5\n",
    }


def test_no_samples_are_no_blocks() -> None:
    assert render([]) == {}
    assert PrefixCache().render([]) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, b"0"),
        (-0.0, b"-0"),
        (5, b"5"),
        (5_368_709_120.0, b"5368709120"),
        (999_999_999_999_999.0, b"999999999999999"),
        (0.1, b"0.1"),
        (0.1 + 0.2, b"0.30000000000000004"),
        (-12.5, b"-12.5"),
        (10.01, b"10.01"),
        (float("inf"), b"+Inf"),
        (float("-inf"), b"-Inf"),
        (float("nan"), b"NaN"),
    ],
)
def test_a_value_is_written_as_prometheus_writes_it(value: float, text: bytes) -> None:
    assert value_texts([value]) == [text]
    assert value_texts([1.0, value, 2.5]) == [b"1", text, b"2.5"]


def test_label_values_are_escaped() -> None:
    (block,) = render([a_sample(resource='a"b\\c\nd%e')]).values()
    assert block.endswith(b'resource="a\\"b\\\\c\\nd%e"} 1\n')


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    (block,) = render([a_sample(resource="a\ud800b")]).values()
    assert block.decode().endswith('resource="a\ufffdb"} 1\n')


def test_the_extra_labels_of_a_target_follow_sorted() -> None:
    (block,) = render([info(("team", "video"), ("cost_centre", "7"))]).values()
    assert block == (
        b'usage_account_info{provider="tpstreams",account="video",plan="pro",'
        b'cost_centre="7",team="video"} 1\n'
    )


def test_a_series_that_comes_twice_is_refused_by_name() -> None:
    with pytest.raises(DuplicateError, match="More than one sample of usage_bytes") as caught:
        render([a_sample(1), a_sample(2), a_sample(3), a_sample(1, resource="other")])
    assert caught.value.series == (
        'usage_bytes{provider="tpstreams",account="video",resource="bandwidth"}',
    )


def test_labels_that_differ_only_before_cleaning_are_one_series() -> None:
    with pytest.raises(DuplicateError):
        render([a_sample(1, resource="a\ud800"), a_sample(2, resource="a\udfff")])


def test_the_order_of_extra_labels_does_not_make_another_series() -> None:
    with pytest.raises(DuplicateError):
        render([info(("a", "1"), ("b", "2")), info(("b", "2"), ("a", "1"))])


@pytest.mark.parametrize(
    "sample",
    [
        Sample(family="usage_nothing", labels=(), value=1.0),
        Sample(family="usage_bytes", labels=("tpstreams", "video"), value=1.0),
        Sample(family="usage_bytes", labels=("a", "b", "c"), value=1.0, extra=(("team", "x"),)),
        info(("plan", "other")),
        info(("team", "a"), ("team", "b")),
        info(("cost-centre", "7")),
        info(("", "7")),
        info(("__name__", "up")),
        info(("ends\n", "7")),
    ],
    ids=str,
)
def test_a_sample_that_would_break_the_scrape_is_refused(sample: Sample) -> None:
    with pytest.raises(MalformedError):
        render([sample])


def test_the_text_header_says_help_and_type() -> None:
    assert header(FAMILY["usage_overage_bytes"], Dialect.TEXT) == (
        b"# HELP usage_overage_bytes Use beyond what is included in the billing period in bytes"
        b" (cached between polls).\n"
        b"# TYPE usage_overage_bytes gauge\n"
    )


def test_the_openmetrics_header_says_the_unit_that_ends_the_name() -> None:
    assert header(FAMILY["usage_overage_bytes"], Dialect.OPENMETRICS) == (
        b"# HELP usage_overage_bytes Use beyond what is included in the billing period in bytes"
        b" (cached between polls).\n"
        b"# TYPE usage_overage_bytes gauge\n"
        b"# UNIT usage_overage_bytes bytes\n"
    )
    assert b"# UNIT" not in header(FAMILY["usage_quantity"], Dialect.OPENMETRICS)


@pytest.mark.parametrize("name", ["usage_info", "usage_account_info"])
def test_openmetrics_calls_info_by_its_type_and_names_it_without_the_suffix(name: str) -> None:
    lines = header(FAMILY[name], Dialect.OPENMETRICS).decode().splitlines()
    assert lines[1] == f"# TYPE {name.removesuffix('_info')} info"
    assert len(lines) == 2
    assert header(FAMILY[name], Dialect.TEXT).decode().splitlines()[1] == f"# TYPE {name} gauge"


def test_a_unit_of_the_table_ends_the_name_of_its_family() -> None:
    assert [f.name for f in FAMILIES if f.unit and not f.name.endswith(f"_{f.unit}")] == []


def test_new_values_of_the_same_series_reuse_the_prefixes() -> None:
    cache = PrefixCache()
    first = cache.render(
        [a_sample(1), a_sample(0.5, family="usage_ratio"), a_sample(resource="%d")]
    )
    kept = (cache._layout, cache._labels)
    again = [a_sample(2), a_sample(0.25, family="usage_ratio"), a_sample(-3, resource="%d")]
    assert cache.render(again) == render(again) != first
    assert cache._layout is kept[0]
    assert cache._labels is kept[1]


@pytest.mark.parametrize(
    "after",
    [
        [],
        [a_sample(1)],
        [a_sample(1), a_sample(2, resource="c")],
        [a_sample(1), a_sample(2, resource="b", family="usage_ratio")],
        [a_sample(2, resource="b"), a_sample(1)],
        [a_sample(1), a_sample(2, resource="b"), info(("team", "x"))],
    ],
    ids=["none", "fewer", "other label", "other family", "other order", "more"],
)
def test_other_series_are_rendered_anew_and_the_former_forgotten(after: list[Sample]) -> None:
    cache = PrefixCache()
    cache.render([a_sample(1), a_sample(2, resource="b")])
    assert cache.render(after) == render(after)
    assert len(cache._labels) == len(cache._layout.families) == len(after)


def test_a_changed_extra_label_is_another_series() -> None:
    cache = PrefixCache()
    cache.render([info(("team", "a"))])
    assert b'team="b"' in cache.render([info(("team", "b"))])["usage_account_info"]


def test_a_refused_render_leaves_the_cache_as_it_was() -> None:
    cache = PrefixCache()
    cache.render([a_sample(1)])
    with pytest.raises(DuplicateError):
        cache.render([a_sample(1), a_sample(2)])
    assert cache.render([a_sample(3)]) == render([a_sample(3)])


def test_a_changed_extra_label_among_series_without_any_is_seen() -> None:
    cache = PrefixCache()
    cache.render([a_sample(1), info(("team", "red"))])
    blue = [a_sample(1), info(("team", "blue"))]
    assert cache.render(blue) == render(blue)
    assert cache.render([a_sample(2), info()]) == render([a_sample(2), info()])
    assert cache.render(blue) == render(blue)

import pytest

from exporter.mapping.values import (
    MAX_LABEL,
    MappingError,
    clean_label,
    fixed,
    label_at,
    resource_name,
)
from tests.unit.mapping.factories import name_parts, paths


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ("checkout API", "checkout API"),
        (None, ""),
        (2067, "2067"),
        (2067.0, "2067"),
        (0.5, "0.5"),
        (True, "true"),
        (False, "false"),
        ('with "quotes" and \\', 'with "quotes" and \\'),
        ("two\nlines\r\tand\x00nul", "two lines  and nul"),
        ("line\u2028paragraph\u2029\x85\x7f", "line paragraph   "),
        ("half \ud83d of a pair", "half � of a pair"),
        ("no\u00a0break", "no\u00a0break"),
        ("héllo 日本", "héllo 日本"),
    ],
)
def test_a_label_is_clean_text(found: object, text: str) -> None:
    assert clean_label(found, "x") == (text, False)
    text.encode()


def test_a_long_label_is_cut() -> None:
    assert clean_label("x" * MAX_LABEL, "x") == ("x" * MAX_LABEL, False)
    assert clean_label("x" * 10_000, "x") == ("x" * MAX_LABEL, True)


@pytest.mark.parametrize("found", [{}, []])
def test_a_map_or_list_is_no_label(found: object) -> None:
    with pytest.raises(MappingError, match="in the place of a text"):
        clean_label(found, "x")


def test_the_first_path_that_gives_something_is_the_label() -> None:
    assert label_at(paths("a", "b"), {"b": "beta"}, set()) == ("beta", False)
    assert label_at(paths("a", "b"), {}, set()) == ("", False)


def test_a_name_is_made_of_parts_and_snake_cased() -> None:
    assert resource_name(name_parts("bandwidth"), None, set()) == "bandwidth"
    seen: set[str] = set()
    assert resource_name(name_parts("{key}"), {"key": "apiCalls"}, seen) == "api_calls"
    assert seen == {"key"}
    parts = name_parts("units_{g.aid}_{kind}")
    assert (
        resource_name(parts, {"g": {"aid": 2067}, "kind": "Cloud Agents"}, seen)
        == "units_2067_cloud_agents"
    )


@pytest.mark.parametrize("key", [None, "", {}, []], ids=repr)
def test_a_name_that_is_not_there_is_refused(key: object) -> None:
    with pytest.raises(MappingError, match="in the place of a resource's name") as raised:
        resource_name(name_parts("{key}"), {"key": key}, set())
    assert raised.value.path == "key"


def test_a_name_cannot_be_longer_than_a_label() -> None:
    assert len(resource_name(name_parts("{key}"), {"key": "x" * 1000}, set())) == MAX_LABEL


def test_a_name_without_paths_is_fixed() -> None:
    assert fixed(name_parts("storage"))
    assert not fixed(name_parts("units_{aid}"))

"""The shape of an answer, however large."""

from exporter.app.explain import DEEP, LINES, WIDE, shape


def told(document: object) -> str:
    return "\n".join(shape(document))


def test_keys_types_and_first_values_are_told() -> None:
    document = {"a": [1, 2], "b": {"c": "text", "d": None, "e": True, "f": 1.5}, "g": []}
    assert (
        told(document)
        == """\
map of 3
  a: list of 2
    [0]: 1
  b: map of 4
    c: "text"
    d: null
    e: true
    f: 1.5
  g: list of 0"""
    )


def test_wide_maps_are_cut() -> None:
    lines = told({f"k{number}": number for number in range(100)}).splitlines()
    assert len(lines) == WIDE + 2
    assert lines[-1] == f"  … {100 - WIDE} more keys"


def test_deep_documents_are_cut() -> None:
    document: object = 1
    for _ in range(1000):
        document = {"k": document}
    assert told(document).count("map of 1") == DEEP + 1


def test_large_documents_are_cut() -> None:
    document = {f"a{n}": {f"b{m}": {"c": 1} for m in range(12)} for n in range(12)}
    lines = told(document).splitlines()
    assert len(lines) == LINES + 1
    assert lines[-1] == "…"


def test_long_texts_and_keys_stay_on_one_short_line() -> None:
    (head, line) = told({"k\n" * 200: "line\nline " * 200}).splitlines()
    assert head == "map of 1"
    assert len(line) < 140

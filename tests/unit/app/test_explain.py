"""`explain` shows the shape of an answer in few lines, however large it is."""

from exporter.app.explain import DEEP, LINES, WIDE, shape


def shown(document: object) -> str:
    return "\n".join(shape(document))


def test_wide_maps_are_cut() -> None:
    lines = shown({f"k{number}": number for number in range(100)}).splitlines()
    assert len(lines) == WIDE + 2
    assert lines[-1] == f"  … {100 - WIDE} more keys"


def test_deep_documents_are_cut() -> None:
    document: object = 1
    for _ in range(1000):
        document = {"k": document}
    assert shown(document).count("map of 1") == DEEP + 1


def test_large_documents_are_cut() -> None:
    document = {f"a{n}": {f"b{m}": {"c": 1} for m in range(12)} for n in range(12)}
    lines = shown(document).splitlines()
    assert len(lines) == LINES + 1
    assert lines[-1] == "…"


def test_long_texts_and_keys_stay_on_one_short_line() -> None:
    (head, line) = shown({"k\n" * 200: "line\nline " * 200}).splitlines()
    assert head == "map of 1"
    assert len(line) < 140

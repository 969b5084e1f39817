from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from exporter.kernel.exposition_text import Dialect
from exporter.observe.family_table import FamilyTable, TableColumn, TableRow


class Counted(TableRow):
    __slots__ = ("count",)

    def __init__(self, account: str) -> None:
        super().__init__(account=account)
        self.count = 0


SEEN = TableColumn[Counted](
    name="seen_total",
    kind="counter",
    help="Seen.",
    write=lambda name, row: f"{name}{{{row.labels}}} {row.count}\n",
)
OTHER = TableColumn[Counted](
    name="other", kind="gauge", help="Other.", write=lambda name, row: f"{name}{{{row.labels}}} 1\n"
)


def filled(count: int) -> tuple[FamilyTable[Counted], list[Counted]]:
    sheet = FamilyTable(SEEN, OTHER)
    rows = [Counted(str(number)) for number in range(count)]
    for row in rows:
        sheet.add(row)
    return sheet, rows


def test_an_empty_sheet_has_no_headers() -> None:
    assert filled(0)[0].pieces(Dialect.TEXT) == []


def test_headers_follow_the_format() -> None:
    assert SEEN.header(Dialect.TEXT) == b"# HELP seen_total Seen.\n# TYPE seen_total counter\n"
    assert SEEN.header(Dialect.OPENMETRICS) == b"# HELP seen Seen.\n# TYPE seen counter\n"


def test_a_change_makes_one_chunk_of_one_family_anew() -> None:
    sheet, rows = filled(200)
    before = sheet.pieces(Dialect.TEXT)
    rows[100].count = 7
    sheet.touch(rows[100], SEEN)
    after = sheet.pieces(Dialect.TEXT)
    anew = [new for old, new in zip(before, after, strict=True) if new is not old and new != old]
    assert len(anew) == 1
    assert b'seen_total{account="100"} 7\n' in anew[0]


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "count", "read"]), st.integers(0, 300)),
        max_size=400,
    )
)
def test_what_is_kept_is_what_would_be_written_anew(steps: list[tuple[str, int]]) -> None:
    sheet = FamilyTable(SEEN)
    rows: dict[int, Counted] = {}
    for step, number in steps:
        row = rows.get(number)
        if step == "add" and row is None:
            rows[number] = Counted(str(number))
            sheet.add(rows[number])
        elif step == "remove" and row is not None:
            sheet.remove(rows.pop(number))
        elif step == "count" and row is not None:
            row.count += 1
            sheet.touch(row, SEEN)
        elif step == "read":
            sheet.pieces(Dialect.TEXT)
    lines = b"".join(sheet.pieces(Dialect.TEXT)).decode().splitlines(keepends=True)
    assert sorted(lines[2:]) == sorted(SEEN.write(SEEN.name, row) for row in rows.values())


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_label_reads_back(account: str) -> None:
    sheet = FamilyTable(OTHER)
    sheet.add(Counted(account))
    (family,) = text_string_to_metric_families(b"".join(sheet.pieces(Dialect.TEXT)).decode())
    assert family.samples[0].labels == {"account": account}

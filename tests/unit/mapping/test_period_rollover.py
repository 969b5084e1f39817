"""A period that ends while the pages are turned: two halves are no whole."""

import pytest

from exporter.mapping.read import read_payload
from exporter.model.outcome import Failure, Page, Payload, Reason
from exporter.model.reading import Reading
from tests.unit.mapping.factories import (
    NOW,
    cost,
    instant,
    period,
    reduce,
    resource,
    rows,
    target,
    value,
)

OLD = {"from": "2026-10-15", "to": "2026-11-15"}
NEW = {"from": "2026-11-15", "to": "2026-12-15"}
OWN = period(start=instant("from"), end=instant("to"))


def read_pages(rule: object, *documents: object, **definition: object) -> Reading | Failure:
    """Read an answer of several pages."""
    pages = tuple(Page(document=document, headers={}) for document in documents)
    of = target(rule, definition=definition)  # type: ignore[arg-type]
    return read_payload(of, "usage", (Payload(pages=pages),), NOW)


def page(n: int, span: dict[str, str]) -> dict[str, object]:
    return {**span, "rows": [{"n": n, **span}, {"n": n, **span}]}


def test_rows_of_two_periods_are_not_added_across_pages() -> None:
    rule = resource("a", rows("rows"), used=value("n"), reduce=reduce("sum"), period=OWN)
    found = read_pages(rule, page(100, OLD), page(1, NEW))
    assert isinstance(found, Failure)
    assert found.reason is Reason.SCHEMA
    assert "ends at 2026-11-15T00:00:00Z" in found.detail
    assert "resources[a]" in found.detail


def test_pages_of_two_periods_are_not_added_where_the_document_tells_it() -> None:
    rule = resource("a", rows("rows"), used=value("n"), reduce=reduce("sum"))
    found = read_pages(rule, page(100, OLD), page(1, NEW), period=OWN)
    assert isinstance(found, Failure)


def test_money_of_two_periods_is_not_added() -> None:
    rule = cost(rows("rows"), cost=value("n"), reduce=reduce("sum"), period=OWN)
    assert isinstance(read_pages(rule, page(100, OLD), page(1, NEW)), Failure)


@pytest.mark.parametrize("how", ["last", "max", "min", "first"])
def test_what_is_not_added_may_be_of_two_periods(how: str) -> None:
    rule = resource("a", rows("rows"), used=value("n"), reduce=reduce(how), period=OWN)
    assert isinstance(read_pages(rule, page(100, OLD), page(1, NEW)), Reading)


def test_pages_of_one_period_are_added() -> None:
    rule = resource("a", rows("rows"), used=value("n"), reduce=reduce("sum"), period=OWN)
    found = read_pages(rule, page(100, NEW), page(1, NEW))
    assert isinstance(found, Reading)
    assert found.usages[0].used == 202


def test_a_reset_that_jitters_is_no_new_period() -> None:
    rule = resource("a", rows("rows"), used=value("n"), reduce=reduce("sum"), period=OWN)
    shifted = {**NEW, "to": "2026-12-15T00:00:03Z"}
    assert isinstance(read_pages(rule, page(100, NEW), page(1, shifted)), Reading)


def test_rows_that_have_periods_of_their_own_are_added() -> None:
    def days(first: int) -> dict[str, object]:
        return {
            "rows": [
                {"n": 1, "from": f"2026-11-{day:02}", "to": f"2026-11-{day + 1:02}"}
                for day in range(first, first + 3)
            ]
        }

    rule = resource("a", rows("rows"), used=value("n"), reduce=reduce("sum"), period=OWN)
    found = read_pages(rule, days(1), days(4))
    assert isinstance(found, Reading)
    assert found.usages[0].used == 6

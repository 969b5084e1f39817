"""Costs, currencies and periods that are guessed from an answer."""

from pathlib import Path
from typing import Any

import pytest

from exporter.kernel.calendar import Span
from exporter.model.reading import Reading
from tests.support.drafting import drafted, learned, resources, tree


@pytest.mark.parametrize(
    ("document", "currency", "amount"),
    [
        ({"total_cost_cents": 1234}, "USD", 12.34),
        ({"cost_eur": 5}, "EUR", 5),
        ({"amount": {"value": 7, "currency": "gbp"}}, "GBP", 7),
        ({"invoice": {"total": "8.50"}, "currency": "CHF"}, "CHF", 8.5),
    ],
    ids=str,
)
def test_money_is_told_from_numbers(
    document: dict[str, Any], currency: str, amount: float, tmp_path: Path
) -> None:
    reading = learned(drafted(document), document, tmp_path)
    assert isinstance(reading, Reading)
    assert [(one.currency, one.cost) for one in reading.money] == [(currency, amount)]


def test_of_a_bill_the_net_amount_counts_and_its_rows_are_parts(tmp_path: Path) -> None:
    document = {
        "lines": [
            {"sku": "a", "grossAmount": 10, "discountAmount": 4, "netAmount": 6},
            {"sku": "b", "grossAmount": 3, "discountAmount": 0, "netAmount": 3},
        ]
    }
    reading = learned(drafted(document), document, tmp_path)
    assert isinstance(reading, Reading)
    assert [one.cost for one in reading.money] == [9]
    assert [(one.resource, one.item, one.value) for one in reading.items] == [
        ("spend", "a", 6),
        ("spend", "b", 3),
    ]


def test_the_price_of_a_piece_is_no_cost() -> None:
    assert "costs" not in tree(drafted({"emails_used": 3, "price_per_email": 0.01}))


@pytest.mark.parametrize(
    ("period", "span"),
    [
        ({"start": "2026-11-01", "end": "2026-12-01"}, Span(1793491200, 1796083200)),
        ({"start": "2026-11-01", "end": "2026-11-30"}, Span(1793491200, 1796083200)),
        ({"from": 1793491200, "to": 1796083200}, Span(1793491200, 1796083200)),
        (
            {"start": "2026-11-01T00:00:00Z", "end": "2026-11-30T23:59:59Z"},
            Span(1793491200, 1796083200),
        ),
        ({"resets_at": "2026-12-01T00:00:00Z"}, Span(1793491200, 1796083200)),
        ({"daily_reset": "2026-11-16T00:00:00Z"}, Span(1794700800, 1794787200)),
    ],
    ids=str,
)
def test_periods_are_found(period: dict[str, Any], span: Span, tmp_path: Path) -> None:
    document = {"billing": period, "emails_sent": {"used": 1}}
    reading = learned(drafted(document), document, tmp_path)
    assert isinstance(reading, Reading)
    assert reading.usages[0].period == span


def test_the_time_of_the_data_is_no_number() -> None:
    (rule,) = resources({"emails_used": 1, "last_updated_at": 1794744000}).values()
    assert rule["as_of"] == "last_updated_at"

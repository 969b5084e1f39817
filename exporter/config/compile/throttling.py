"""The vendor's limit on its own API."""

from exporter.config.compile import leaves
from exporter.config.findings import Place
from exporter.config.grammar.definition import ThrottlingText
from exporter.model.definition import BudgetScope, ResetKind, Throttling


def throttling(place: Place, text: ThrottlingText) -> Throttling:
    """Compile the throttling rules of a definition."""
    usual = Throttling()
    headers = text.headers
    reserve = leaves.share(place / "reserve", text.reserve)
    max_wait = leaves.positive_duration(place / "max_wait", text.max_wait)
    return Throttling(
        scope=BudgetScope(text.scope),
        rate=leaves.rate(place / "rate", text.rate),
        burst=text.burst,
        reserve=usual.reserve if reserve is None else reserve,
        limit_headers=_names(headers.limit),
        remaining_headers=_names(headers.remaining),
        reset_headers=_names(headers.reset),
        reset_kind=ResetKind(headers.reset_kind),
        max_wait=usual.max_wait if max_wait is None else max_wait,
    )


def _names(text: str | list[str]) -> tuple[str, ...]:
    names = [text] if isinstance(text, str) else text
    return tuple(name.lower() for name in names)

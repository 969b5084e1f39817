"""What an answer means: statuses, conditions, the guard, the vendor's own error text."""

from msgspec import UNSET, UnsetType

from exporter.config.compile import leaves
from exporter.config.findings import Place
from exporter.config.grammar.requests import MatchText, SuccessText
from exporter.model.definition import Match, Verdict

_RULES = ("quota_exhausted", "throttled", "forbidden", "absent")  # the first that fits wins


def verdict(place: Place, text: SuccessText | UnsetType) -> Verdict:
    """Compile a collector's success rule."""
    if isinstance(text, UnsetType):
        return Verdict()
    _check_overlap(place, text)
    return Verdict(
        quota_exhausted=_matches(place / "quota_exhausted", text.quota_exhausted),
        throttled=_matches(place / "throttled", text.throttled),
        forbidden=_matches(place / "forbidden", text.forbidden),
        absent=_matches(place / "absent", text.absent),
        accepted=frozenset(text.accepted),
        guard=leaves.optional_path(place / "guard", text.guard),
        error=leaves.paths(place / "error", text.error),
    )


def _check_overlap(place: Place, text: SuccessText) -> None:
    """Refuse a status that, without further condition, would mean two things."""
    meanings: dict[int, str] = {}
    for rule in _RULES:
        for index, match in enumerate(getattr(text, rule)):
            if isinstance(match, MatchText):
                continue
            if match in meanings:
                (place / rule / index).error(
                    f"{match} stands under {meanings[match]} already, which comes first. "
                    "Delete one of them."
                )
            meanings.setdefault(match, rule)
    for index, status in enumerate(text.accepted):
        if status in meanings:
            (place / "accepted" / index).error(
                f"{status} stands under {meanings[status]} already, which comes first. "
                "Delete one of them."
            )


def _matches(place: Place, texts: list[int | MatchText]) -> tuple[Match, ...]:
    return tuple(_match(place / index, text) for index, text in enumerate(texts))


def _match(place: Place, text: int | MatchText) -> Match:
    if isinstance(text, int):
        return Match(statuses=frozenset({text}))
    if not text.statuses:
        (place / "statuses").error("The list is empty. Write the statuses: [403].")
    if text.headers is UNSET and text.body is UNSET:
        place.error("Nothing is asked of the answer. Write headers or body, or the status alone.")
    return Match(
        statuses=frozenset(text.statuses),
        headers=leaves.optional_path(place / "headers", text.headers),
        body=leaves.optional_path(place / "body", text.body),
    )

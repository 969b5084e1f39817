"""What an answer means: statuses, conditions, the guard, the vendor's own error text.

The rules are asked in the order of `ResponseRules`' fields, and the first that fits wins; so a
status that stands alone under two of them is refused. Without any rule 200 carries a payload, 429
is throttling and 401 a wrong credential. ``fetch.classify`` applies the rules.
"""

from collections.abc import Iterator
from typing import Annotated, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.jmes import Selector
from exporter.kernel.problems import ErrorLocation
from exporter.model.definition import parsers
from exporter.model.definition.parsers import CodeFormat, PathOrPaths, PathStr, Strict

Status: TypeAlias = Annotated[int, Meta(ge=100, le=599)]


class MatchText(Strict, kw_only=True, frozen=True):
    """A condition on an answer: all that is given must hold."""

    statuses: Annotated[list[Status], Meta(description="The HTTP statuses that it is about.")]
    headers: Annotated[
        PathStr | UnsetType, Meta(description="A path into the headers (lower-case names).")
    ] = UNSET
    body: Annotated[PathStr | UnsetType, Meta(description="A path into the body.")] = UNSET


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on an answer: one of the statuses, and where given both conditions hold.

    ``headers`` is evaluated on the map of headers (lower-case names), ``body`` on the decoded body;
    each holds when its result is neither null, false, empty nor zero.
    """

    statuses: frozenset[int]
    headers: Selector | None = None
    body: Selector | None = None

    def describe(self, code: CodeFormat = str) -> str:
        """Return the condition as the beginning of a sentence."""
        text = "Status " + ", ".join(str(status) for status in sorted(self.statuses))
        for place, selector in (("headers", self.headers), ("body", self.body)):
            if selector is not None:
                text += f" with {code(selector.text)} in the {place}"
        return text


class SuccessText(Strict, kw_only=True, frozen=True):
    """What an answer means. 429 is throttling and 401 a wrong credential without being told."""

    accepted: Annotated[list[Status], Meta(description="Statuses that carry a payload.")] = field(
        default_factory=lambda: [200]
    )
    guard: Annotated[
        PathStr | UnsetType,
        Meta(description="Must hold on the body: vendors also say no with status 200."),
    ] = UNSET
    error: Annotated[PathOrPaths, Meta(description="Where the vendor's own error text stands.")] = (
        field(default_factory=list)
    )
    absent: Annotated[
        list[Status | MatchText], Meta(description='"There is none": no samples, no failure.')
    ] = field(default_factory=list)
    throttled: Annotated[
        list[Status | MatchText], Meta(description="Too many requests, besides 429.")
    ] = field(default_factory=list)
    quota_exhausted: Annotated[
        list[Status | MatchText],
        Meta(description="The account's quota is used up; waiting a little does not help."),
    ] = field(default_factory=list)
    forbidden: Annotated[
        list[Status | MatchText], Meta(description="The credential lacks a permission.")
    ] = field(default_factory=list)


class ResponseRules(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer means. The first rule that fits wins, in the order of the fields.

    ``quota_exhausted`` and ``throttled`` are refusals, ``forbidden`` a lack of permission whatever
    the status; ``absent`` means "there is none" (no samples, no failure); ``accepted`` statuses
    carry a payload. ``guard`` must then hold on the body. ``error`` are the places of the vendor's
    own error text.
    """

    quota_exhausted: tuple[Match, ...] = ()
    throttled: tuple[Match, ...] = ()
    forbidden: tuple[Match, ...] = ()
    absent: tuple[Match, ...] = ()
    accepted: frozenset[int] = frozenset({200})
    guard: Selector | None = None
    error: tuple[Selector, ...] = ()

    def describe(self, code: CodeFormat = str) -> Iterator[str]:
        """Yield a sentence for each rule that is not the usual one."""
        for words, matches in (
            ("means that there is none: no samples, and no failure", self.absent),
            (f"is throttling ({code('rate_limited')})", self.throttled),
            (f"is a used-up quota ({code('quota_exhausted')})", self.quota_exhausted),
            (f"is a lack of permission ({code('forbidden')})", self.forbidden),
        ):
            yield from (f"{one.describe(code)} {words}." for one in matches)
        if self.accepted != {200}:
            statuses = ", ".join(str(status) for status in sorted(self.accepted))
            yield f"Good answers have the status {statuses}."
        if self.guard is not None:
            yield f"A good answer fulfils {code(self.guard.text)}."


_RULES = ("quota_exhausted", "throttled", "forbidden", "absent")  # the first that fits wins


def compile_responses(place: ErrorLocation, text: SuccessText | UnsetType) -> ResponseRules:
    """Compile a collector's success rule."""
    if isinstance(text, UnsetType):
        return ResponseRules()
    meanings: dict[int, str] = {}  # of statuses that stand without a further condition
    for rule in (*_RULES, "accepted"):
        for index, status in enumerate(getattr(text, rule)):
            if isinstance(status, MatchText):
                continue
            if status in meanings:
                (place / rule / index).error(
                    f"{status} stands under {meanings[status]} already, which comes first. "
                    "Delete one of them."
                )
            if rule != "accepted":
                meanings.setdefault(status, rule)
    compiled = {
        rule: tuple(
            _match(place / rule / index, one) for index, one in enumerate(getattr(text, rule))
        )
        for rule in _RULES
    }
    return ResponseRules(
        **compiled,
        accepted=frozenset(text.accepted),
        guard=parsers.parse_optional_path(place / "guard", text.guard),
        error=parsers.parse_paths(place / "error", text.error),
    )


def _match(place: ErrorLocation, text: int | MatchText) -> Match:
    if isinstance(text, int):
        return Match(statuses=frozenset({text}))
    if not text.statuses:
        (place / "statuses").error("The list is empty. Write the statuses: [403].")
    if text.headers is UNSET and text.body is UNSET:
        place.error("Nothing is asked of the answer. Write headers or body, or the status alone.")
    return Match(
        statuses=frozenset(text.statuses),
        headers=parsers.parse_optional_path(place / "headers", text.headers),
        body=parsers.parse_optional_path(place / "body", text.body),
    )

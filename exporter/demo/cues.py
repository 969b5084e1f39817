"""Faults on cue: which page of which vendor breaks, in which way, and how often."""

from collections.abc import Callable

import msgspec

from exporter.demo.faults import FAULTS, Fault
from exporter.demo.wire import Answer, Asked, Script

_LEADS_ON = frozenset({"after", "cursor", "next", "offset", "page", "page_token", "starting_after"})
_BEGINS = frozenset({"", "0", "1"})  # page 1 and offset 0 are asked for by name, too


class Walks:
    """Counts how often somebody began to turn a vendor's pages, and on which page he is."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, str, str], tuple[int, int]] = {}

    def step(self, vendor: str, asked: Asked) -> tuple[int, int]:
        """Return the number of the walk and of the page that this request is for, from 1 on."""
        key = (vendor, asked.path, asked.headers.get("authorization", ""))
        walk, page = self._at.get(key, (0, 0))
        leads_on = any(name in _LEADS_ON and value not in _BEGINS for name, value in asked.query)
        self._at[key] = (walk, page + 1) if leads_on and walk else (walk + 1, 1)
        return self._at[key]


class _Cue(msgspec.Struct):
    fault: Fault
    vendor: str
    page: int
    times: float


class Cues:
    """Breaks what it is told to, and is honest otherwise: to be handed to `FakeVendors` as `spoil`.

    `wall` gives epoch seconds.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._walks = Walks()
        self._cues: list[_Cue] = []
        self.played = 0
        """How many answers were broken."""

    def cue(self, vendor: str, fault: str | Fault, *, page: int = 1, times: float = 1) -> None:
        """Break the next `times` answers of a vendor for that page; `math.inf` for ever.

        `fault` is a name out of `FAULTS`, or a fault of one's own.
        """
        chosen = FAULTS[fault] if isinstance(fault, str) else fault
        self._cues.append(_Cue(chosen, vendor, page, times))

    def clear(self) -> None:
        """Let the vendors be honest again."""
        self._cues.clear()

    def __call__(self, vendor: str, asked: Asked, answer: Answer) -> Script | None:
        """Return what goes over the wire instead of an answer, None for the answer itself."""
        _, page = self._walks.step(vendor, asked)
        for cue in self._cues:
            if (cue.vendor, cue.page) == (vendor, page) and cue.times > 0:
                cue.times -= 1
                self.played += 1
                return cue.fault(asked, answer, self._wall())
        return None

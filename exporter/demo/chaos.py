"""The chaos of ``demo --chaos``: an account for every fault, each of which breaks in its own way.

An account answers well and breaks by turns, on its first page and on its second by turns, so that
the status page shows side by side what the exporter makes of each fault. The accounts have keys of
their own, as one that is throttled must not hold the others up.
"""

from collections.abc import Callable, Mapping

from exporter.demo.cues import Walks
from exporter.demo.faults import FAULTS
from exporter.demo.server import Spoil
from exporter.demo.wire import MARK, Answer, Asked, Script

VENDORS = ("tpstreams", "billing_usage", "thousandeyes")

_TARGET = """\
  - name: "{name}"
    provider: {vendor}
    base_url: {origin}/{vendor}{path}
    credentials: {{token: "{token}{mark}{name}"}}
    labels: {{team: chaos}}
{more}"""


def targets(origin: str, tokens: Mapping[str, str]) -> str:
    """Return the accounts as the configuration writes them, for vendors at `origin`."""
    return "".join(_target(name, origin, tokens) for name in sorted(FAULTS))


def _target(name: str, origin: str, tokens: Mapping[str, str]) -> str:
    # Those that spoil links are for the vendor that has links.
    turns = len(VENDORS) if not name.startswith("next_") else 1
    vendor = VENDORS[sorted(FAULTS).index(name) % turns]
    path = "/v7" if vendor == "thousandeyes" else ""
    more = "    params: {organization_id: 9q94nm}\n" if vendor == "tpstreams" else ""
    return _TARGET.format(
        name=name,
        vendor=vendor,
        origin=origin,
        path=path,
        token=tokens[vendor],
        mark=MARK,
        more=more,
    )


class Chaos:
    """Breaks every second answer of the accounts that are there to break; others go to `calm`."""

    def __init__(self, calm: Spoil, wall: Callable[[], float]) -> None:
        self._calm = calm
        self._wall = wall
        self._walks = Walks()

    def __call__(self, vendor: str, asked: Asked, answer: Answer) -> Script | None:
        """Return what goes over the wire instead of an answer, None for the answer itself."""
        name = asked.headers.get("authorization", "").partition(MARK)[2]
        if not name:
            return self._calm(vendor, asked, answer)
        walk, page = self._walks.step(vendor, asked)
        breaks = walk % 2 == 0 and page == _page(walk, answer, page)
        return FAULTS[name](asked, answer, self._wall()) if breaks else None


def _page(walk: int, answer: Answer, page: int) -> int:
    """Return the page at which a walk breaks: by turns the first, and the second if there is."""
    is_only = page == 1 and b'"next":"' not in answer.body
    return 1 if walk % 4 or is_only else 2

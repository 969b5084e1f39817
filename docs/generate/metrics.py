"""The page of all metrics, made from the tables that publish them."""

import re
from collections.abc import Iterator

from docs.generate.markdown import code, table
from exporter.kernel.exposition_text import Dialect
from exporter.model.events import PollFinished, SchemaNote, SeriesDropped
from exporter.model.families import FAMILIES
from exporter.model.outcome import Exchange, Failure, Poll, Reason
from exporter.model.reading import NOTES
from exporter.observe.metrics import Build, LiveValues, SelfMetrics, Tracked

_HELP = re.compile(r"# HELP (\S+) (.*)")
_TYPE = re.compile(r"# TYPE (\S+) (\S+)")
_LABELS = re.compile(r"(\w+)\{([^}]*)\}")
_NAMES = re.compile(r'(\w+)="')
_SUFFIXES = ("_bucket", "_count", "_sum")


def page() -> str:
    """Return the Markdown of docs/metrics.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "<!-- Made by `make docs` from exporter/model/families.py and exporter/observe. -->"
    yield "# Metrics"
    yield ""
    yield "## Usage"
    yield ""
    yield "All are gauges: vendors correct their numbers downward. Values are in base units (bytes,"
    yield "seconds, ratios, major units of a currency) and are cached between polls."
    yield ""
    rows = [[code(one.name), ", ".join(map(code, one.labels)), one.help] for one in FAMILIES]
    yield from table(["family", "labels", "meaning"], rows)
    yield ""
    yield "`usage_account_info` also has the labels that a target sets under `labels`."
    yield ""
    yield "`limit_kind` of `usage_info` is `provider` (the vendor gives the limit), `config` (the"
    yield "target does), `unlimited` (the vendor says so) or `unknown`. `period` is `day`, `week`,"
    yield "`month`, `year`, `custom` or `none`; `projection` is `provider`, `linear` or `none`."
    yield ""
    yield "## The exporter itself"
    yield ""
    head = ["family", "type", "labels", "meaning"]
    yield from table(head, self_metrics())
    reasons = ", ".join(code(reason) for reason in Reason)
    yield ""
    yield f"`reason` of a failed poll is one of {reasons}; each is there from the start, at 0."
    yield ""
    yield "`reason` of `usage_exporter_answer_notes_total`, of which the log has a line for each"
    yield "different one, is one of these:"
    yield ""
    rows = [[code(reason), meaning] for reason, meaning in NOTES.items()]
    yield from table(["`reason`", "meaning"], rows)
    yield ""
    yield "`process_*` and `python_info` of the Prometheus client library come on top."


def self_metrics() -> list[list[str]]:
    """Return name, type, labels and help of the exporter's own families."""
    text = _rendered()
    kinds = dict(_TYPE.findall(text))
    labels: dict[str, list[str]] = {}
    for name, pairs in _LABELS.findall(text):
        names = [label for label in _NAMES.findall(pairs) if label != "le"]
        labels.setdefault(_family(name, kinds), names)
    return [
        [code(name), kinds[name], ", ".join(map(code, labels.get(name, []))), words]
        for name, words in _HELP.findall(text)
        if name.startswith("usage_exporter_")
    ]


def _family(name: str, kinds: dict[str, str]) -> str:
    for suffix in _SUFFIXES:
        if name.removesuffix(suffix) in kinds:
            return name.removesuffix(suffix)
    return name


def _rendered() -> str:
    """Return the exposition after something of everything has happened."""
    now = LiveValues(backoffs=dict, lateness=lambda: 0.0, series=lambda: 0)
    metrics = SelfMetrics(Build(version=""), now, clock=lambda: 0.0, process=False)
    metrics.track([Tracked(provider="p", account="a", intervals={"c": 60.0})])
    exchange = Exchange(
        method="GET", url="", request_headers={}, status=200, headers={}, size=0, seconds=0.0
    )
    poll = Poll(
        target="a",
        provider="p",
        collector="c",
        at=0.0,
        seconds=0.0,
        outcome=Failure(reason=Reason.TIMEOUT, detail=""),
        exchanges=(exchange,),
    )
    metrics(PollFinished(poll=poll, failures=1, next_poll=0.0, lateness=0.0))
    metrics(SeriesDropped(provider="p", target="a", reason="series_limit", count=1))
    metrics(SchemaNote(provider="p", target="a", collector="c", reason="new_key", detail=""))
    return metrics.render(Dialect.TEXT).decode()

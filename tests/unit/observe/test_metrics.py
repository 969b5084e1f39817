import re
from collections.abc import Mapping

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.kernel.exposition_text import Dialect
from exporter.model.events import (
    ConfigLoaded,
    ConfigRejected,
    LedgerStatus,
    PollFinished,
    SchemaNote,
    SeriesDropped,
    WaitCut,
)
from exporter.model.outcome import Reason
from exporter.observe.metrics import Build, LiveValues, SelfMetrics, Tracked
from tests.support.events import NOON, a_failure, a_poll, finished

VIDEO = Tracked(provider="tpstreams", account="video-prod", intervals={"usage": 300.0})
NETWORK = Tracked(
    provider="thousandeyes", account="network", intervals={"usage": 900.0, "quotas": 3600.0}
)
DESIGNED = {
    "usage_exporter_build_info",
    "usage_exporter_config_last_reload_successful",
    "usage_exporter_config_last_reload_success_timestamp_seconds",
    "usage_exporter_polls_total",
    "usage_exporter_poll_failures_total",
    "usage_exporter_poll_duration_seconds",
    "usage_exporter_poll_interval_seconds",
    "usage_exporter_poll_lateness_seconds",
    "usage_exporter_http_requests_total",
    "usage_exporter_backoff_seconds",
    "usage_exporter_targets",
    "usage_exporter_series",
    "usage_exporter_series_dropped_total",
    "usage_exporter_answer_notes_total",
    "usage_exporter_log_messages_total",
    "usage_exporter_log_messages_dropped_total",
    "usage_exporter_state_failures_total",
}


class Daemon:
    """Self-metrics and the world that they ask."""

    def __init__(self, *targets: Tracked, process: bool = False) -> None:
        self.now = 0.0
        self.backoffs: dict[tuple[str, str], float] = {}
        self.lateness = 0.0
        self.series = 0
        world = LiveValues(
            backoffs=lambda: self.backoffs,
            lateness=lambda: self.lateness,
            series=lambda: self.series,
        )
        build = Build(version="1.2.3", revision="abc", branch="main")
        self.metrics = SelfMetrics(build, world, clock=lambda: self.now, process=process)
        self.metrics.track(targets or (VIDEO, NETWORK))

    def text(self) -> str:
        return self.metrics.render(Dialect.TEXT).decode()

    def value(self, name: str, **labels: str) -> float | None:
        return samples(self.text()).get((name, frozenset(labels.items())))


Series = tuple[str, frozenset[tuple[str, str]]]


def samples(text: str) -> Mapping[Series, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def names(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def test_the_families_are_those_of_the_design() -> None:
    assert names(Daemon().text()) == DESIGNED


def test_process_families_are_the_librarys_and_can_be_left_out() -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    process = {family.name for family in registry.collect()}
    more = {name.removesuffix("_total") for name in names(Daemon(process=True).text()) - DESIGNED}
    assert more == {name.removesuffix("_total") for name in process} | {"python_info"}


def test_the_build_says_what_runs() -> None:
    assert re.search(
        r'usage_exporter_build_info\{branch="main",python_version="3\.\d+\.\d+",'
        r'revision="abc",version="1\.2\.3"\} 1\.0',
        Daemon().text(),
    )


def test_all_reasons_are_there_at_zero_before_the_first_poll() -> None:
    daemon = Daemon(VIDEO)
    for reason in Reason:
        assert daemon.value(
            "usage_exporter_poll_failures_total",
            provider="tpstreams",
            account="video-prod",
            collector="usage",
            reason=reason.value,
        ) == 0  # fmt: skip
    for drop in ("series_limit", "duplicate"):
        labels = {"provider": "tpstreams", "account": "video-prod", "reason": drop}
        assert daemon.value("usage_exporter_series_dropped_total", **labels) == 0
    for level in ("debug", "info", "warn", "error"):
        assert daemon.value("usage_exporter_log_messages_total", level=level) == 0


def test_polls_failures_and_requests_are_counted() -> None:
    daemon = Daemon()
    who = {"provider": "tpstreams", "account": "video-prod", "collector": "usage"}
    daemon.metrics(finished())
    daemon.text()
    daemon.metrics(finished(a_poll(a_failure(Reason.AUTH), statuses=(200, 401))))
    daemon.metrics(finished(a_poll(a_failure(Reason.CONNECT), statuses=(None,))))
    daemon.metrics(finished(a_poll(a_failure(Reason.AUTH), statuses=(401,))))
    assert daemon.value("usage_exporter_polls_total", **who) == 4
    assert daemon.value("usage_exporter_poll_failures_total", **who, reason="auth") == 2
    assert daemon.value("usage_exporter_poll_failures_total", **who, reason="connect") == 1
    assert daemon.value("usage_exporter_poll_failures_total", **who, reason="timeout") == 0
    for code, count in (("200", 2), ("401", 2), ("error", 1)):
        labels = {"provider": "tpstreams", "code": code}
        assert daemon.value("usage_exporter_http_requests_total", **labels) == count
    assert daemon.value("usage_exporter_poll_duration_seconds_sum", provider="tpstreams") == 1.0


def test_waits_are_shown_while_they_last() -> None:
    daemon = Daemon()
    video = {"provider": "tpstreams", "account": "video-prod"}
    network = {"provider": "thousandeyes", "account": "network"}
    daemon.backoffs = {("tpstreams", "video-prod"): 61.23456, ("unknown", "x"): 5.0}
    assert daemon.value("usage_exporter_backoff_seconds", **video) == 61.235
    assert daemon.value("usage_exporter_backoff_seconds", **network) == 0
    daemon.backoffs = {("thousandeyes", "network"): 3.0}
    assert daemon.value("usage_exporter_backoff_seconds", **video) == 0
    assert daemon.value("usage_exporter_backoff_seconds", **network) == 3
    daemon.backoffs = {("thousandeyes", "network"): -1.0}
    assert daemon.value("usage_exporter_backoff_seconds", **network) == 0


def test_what_is_asked_at_each_scrape_is_the_present() -> None:
    daemon = Daemon()
    for series, lateness in ((5, 0.5), (6, 0.5), (6, 0.25)):
        daemon.series, daemon.lateness = series, lateness
        assert daemon.value("usage_exporter_series") == series
        assert daemon.value("usage_exporter_poll_lateness_seconds") == lateness


def test_the_configuration_is_told() -> None:
    daemon = Daemon()
    daemon.metrics(ConfigLoaded(at=NOON, targets=2))
    assert daemon.value("usage_exporter_config_last_reload_successful") == 1
    daemon.metrics(ConfigRejected(at=NOON + 60, problems=("a",)))
    assert daemon.value("usage_exporter_config_last_reload_successful") == 0
    time = "usage_exporter_config_last_reload_success_timestamp_seconds"
    assert daemon.value(time) == NOON


def test_targets_are_counted_by_provider() -> None:
    daemon = Daemon(VIDEO, NETWORK, Tracked(provider="tpstreams", account="b", intervals={}))
    assert daemon.value("usage_exporter_targets", provider="tpstreams") == 2
    assert daemon.value("usage_exporter_targets", provider="thousandeyes") == 1


def test_a_removed_target_and_provider_leave_nothing() -> None:
    daemon = Daemon()
    daemon.metrics(finished())
    daemon.text()
    daemon.metrics.track([NETWORK])
    assert "video-prod" not in daemon.text()
    assert "tpstreams" not in daemon.text()
    daemon.metrics(finished())
    daemon.metrics(SeriesDropped(provider="tpstreams", target="video-prod", reason="x", count=1))
    daemon.metrics.retime("tpstreams", "video-prod", "usage", 1.0)
    assert "tpstreams" not in daemon.text()


def test_a_target_that_stays_keeps_its_counts() -> None:
    daemon = Daemon()
    daemon.metrics(finished())
    daemon.metrics.track(
        [
            Tracked(
                provider="tpstreams", account="video-prod", intervals={"usage": 60.0, "more": 5.0}
            )
        ]
    )
    who = {"provider": "tpstreams", "account": "video-prod", "collector": "usage"}
    assert daemon.value("usage_exporter_polls_total", **who) == 1
    assert daemon.value("usage_exporter_poll_interval_seconds", **who) == 60
    daemon.metrics.retime("tpstreams", "video-prod", "usage", 30.0)
    assert daemon.value("usage_exporter_poll_interval_seconds", **who) == 30


def test_a_poll_tells_an_interval_that_adapts() -> None:
    daemon = Daemon()
    who = {"provider": "tpstreams", "account": "video-prod", "collector": "usage"}
    daemon.metrics(finished())
    assert daemon.value("usage_exporter_poll_interval_seconds", **who) == 300
    daemon.metrics(msgspec.structs.replace(finished(), interval=75.0))
    assert daemon.value("usage_exporter_poll_interval_seconds", **who) == 75


def test_losses_of_the_state_are_counted() -> None:
    daemon = Daemon()
    assert daemon.value("usage_exporter_state_failures_total") == 0
    for ok in (False, True, False):
        daemon.metrics(LedgerStatus(ok=ok, detail="the disk is full"))
    assert daemon.value("usage_exporter_state_failures_total") == 2


def test_dropped_series_are_counted_by_reason() -> None:
    daemon = Daemon()
    for reason in ("series_limit", "series_limit", "other"):
        daemon.metrics(
            SeriesDropped(provider="tpstreams", target="video-prod", reason=reason, count=5)
        )
        daemon.text()
    who = {"provider": "tpstreams", "account": "video-prod"}
    assert daemon.value("usage_exporter_series_dropped_total", **who, reason="series_limit") == 10
    assert daemon.value("usage_exporter_series_dropped_total", **who, reason="other") == 5
    assert daemon.value("usage_exporter_series_dropped_total", **who, reason="duplicate") == 0


def test_notes_are_counted_by_reason_from_the_first_on() -> None:
    daemon = Daemon(VIDEO, NETWORK)
    name = "usage_exporter_answer_notes_total"
    assert f"{name}{{" not in daemon.text()
    who = {"provider": "tpstreams", "target": "video-prod", "collector": "usage"}
    for reason, count in (("path_gone", 1), ("new_key", 3), ("path_gone", 1)):
        daemon.metrics(SchemaNote(**who, reason=reason, detail="a", count=count))
        daemon.text()
    labels = {"provider": "tpstreams", "account": "video-prod"}
    assert daemon.value(name, **labels, reason="path_gone") == 2
    assert daemon.value(name, **labels, reason="new_key") == 3
    daemon.metrics(
        SchemaNote(provider="x", target="gone", collector="c", reason="new_key", detail="a")
    )
    assert daemon.text().count(f"{name}{{") == 2


def test_log_lines_are_counted() -> None:
    daemon = Daemon()
    daemon.text()
    daemon.metrics.count_log_message("warn")
    assert daemon.value("usage_exporter_log_messages_total", level="warn") == 1


def test_other_events_change_nothing() -> None:
    daemon = Daemon()
    before = daemon.metrics.pieces(Dialect.TEXT)
    daemon.metrics(WaitCut(provider="tpstreams", target="video-prod", asked=2, applied=1))
    assert all(
        old is new for old, new in zip(before, daemon.metrics.pieces(Dialect.TEXT), strict=True)
    )


def test_openmetrics_and_text_say_the_same() -> None:
    daemon = Daemon(process=True)
    daemon.metrics(finished(a_poll(a_failure(), statuses=(None,))))
    openmetrics = daemon.metrics.render(Dialect.OPENMETRICS).decode()
    assert openmetrics.endswith("# EOF\n")
    assert openmetrics.count("# EOF") == 1
    assert "# EOF" not in daemon.text()
    parsed = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_openmetrics(openmetrics)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }
    told = samples(daemon.text())
    assert parsed.keys() == told.keys()
    assert lasting(parsed) == lasting(told)


def lasting(found: Mapping[Series, float]) -> dict[Series, float]:
    """Leave out what changes between two looks at a process: its seconds, memory and files."""
    return {key: value for key, value in found.items() if not key[0].startswith("process_")}


def test_no_created_series() -> None:
    daemon = Daemon()
    daemon.metrics(finished())
    assert "_created" not in daemon.text() + daemon.metrics.render(Dialect.OPENMETRICS).decode()


def test_the_files_of_the_process_are_read_once_a_second() -> None:
    daemon = Daemon(process=True)
    first, second = (daemon.metrics.pieces(Dialect.TEXT)[-1] for _ in range(2))
    assert first is second
    daemon.now = 1.0
    assert daemon.metrics.pieces(Dialect.TEXT)[-1] is not first


def test_an_account_cannot_break_the_exposition() -> None:
    odd = 'a"\\b\n# EOF'
    daemon = Daemon(Tracked(provider="p", account=odd, intervals={"usage": 5.0}))
    daemon.metrics(
        PollFinished(poll=a_poll(target=odd, provider="p"), failures=0, next_poll=0, lateness=0)
    )
    labels = {"provider": "p", "account": odd, "collector": "usage"}
    assert daemon.value("usage_exporter_polls_total", **labels) == 1


def test_ten_thousand_targets_are_not_rendered_at_each_scrape() -> None:
    daemon = Daemon(
        *(Tracked(provider="p", account=str(n), intervals={"usage": 60.0}) for n in range(10_000))
    )
    before = daemon.metrics.pieces(Dialect.TEXT)
    daemon.metrics(finished(a_poll(target="77", provider="p")))
    after = daemon.metrics.pieces(Dialect.TEXT)
    assert sum(len(new) for old, new in zip(before, after, strict=True) if old is not new) < 20_000


def test_what_was_warmed_is_not_written_again() -> None:
    daemon = Daemon()
    steps = sum(1 for _ in daemon.metrics.warm())
    warmed = daemon.text()
    assert steps == 2
    assert warmed == Daemon().text()


def test_names_and_help_are_what_promtool_asks_for() -> None:
    for family in parse_text(Daemon(process=True).text()):
        assert family.documentation
        assert family.type in {"counter", "gauge", "histogram"}
        assert not re.search(r"_(count|sum|bucket|minutes|hours|ms|s)$", family.name)


def test_counters_end_in_total_and_nothing_else_does() -> None:
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)", Daemon().text(), re.MULTILINE))
    assert {name for name, kind in kinds.items() if kind == "counter"} == {
        name for name in kinds if name.endswith("_total")
    }

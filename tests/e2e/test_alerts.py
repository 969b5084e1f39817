"""An alert on usage, all the way: exporter, Prometheus, Alertmanager, webhook."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typing_extensions import override

from tests.support.processes import ask, exporter, free_port, program, prometheus, started, until

pytestmark = pytest.mark.timeout(120)

RULE = {
    "alert": "UsageHigh",
    "expr": 'usage_ratio{account="video-prod", resource="storage"} > 0.5',
    "for": "1s",
    "labels": {"severity": "warning"},
    "annotations": {
        "summary": "{{ $labels.resource }} of {{ $labels.account }} is at"
        " {{ $value | humanizePercentage }}"
    },
}


class Inbox(ThreadingHTTPServer):
    """A webhook that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.alerts: list[dict[str, Any]] = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Inbox)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.alerts += json.loads(body)["alerts"]
        self.send_response(200)
        self.end_headers()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def webhook() -> Iterator[Inbox]:
    server = Inbox()
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def alertmanager(folder: Path, inbox: Inbox) -> Iterator[str]:
    port = free_port()
    path = folder / "alertmanager.yml"
    hook = {"url": f"http://127.0.0.1:{inbox.server_port}/"}
    route = {"receiver": "inbox", "group_wait": "1s", "group_by": ["alertname"]}
    receivers = [{"name": "inbox", "webhook_configs": [hook]}]
    path.write_text(json.dumps({"route": route, "receivers": receivers}))
    command = (
        program("prometheus-alertmanager"),
        f"--config.file={path}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    with started(command, folder / "alertmanager.log"):
        until(lambda: ask(f"http://127.0.0.1:{port}/-/ready").status == 200, what="Alertmanager")
        yield f"127.0.0.1:{port}"


def test_an_alert_on_usage_reaches_whoever_is_on_call(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "usage", "rules": [RULE]}]}))
    with (
        exporter(tmp_path, "demo") as demo,
        webhook() as inbox,
        alertmanager(tmp_path, inbox) as manager,
    ):
        demo.first("video-prod")
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [manager]}]}],
            },
            "scrape_configs": [
                {
                    "job_name": "usage",
                    "static_configs": [{"targets": [demo.url.removeprefix("http://")]}],
                }
            ],
        }
        with prometheus(tmp_path, config):
            until(lambda: inbox.alerts, seconds=40, what="an alert")
            alert = inbox.alerts[0]
    assert alert["status"] == "firing"
    assert alert["labels"]["alertname"] == "UsageHigh"
    assert alert["labels"]["provider"] == "tpstreams"
    summary = r"storage of video-prod is at [0-9.]+%"
    assert re.fullmatch(summary, alert["annotations"]["summary"])

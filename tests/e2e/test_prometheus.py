"""A real Prometheus scrapes a real exporter."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import bcrypt
import pytest
import trustme
from typing_extensions import override

from tests.support.processes import Got, ask, exporter, program, prometheus, query, until

pytestmark = pytest.mark.timeout(120)


class Recorder(ThreadingHTTPServer):
    """Hands scrapes on and remembers what was asked and answered."""

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = url
        self.scrapes: list[tuple[Mapping[str, str], Got]] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Recorder)
        asked = {name: value for name, value in self.headers.items() if name != "Host"}
        got = ask(self.server.url + self.path, **asked)
        self.server.scrapes.append((asked, got))
        self.send_response(got.status)
        for name in ("content-type", "content-encoding", "content-length"):
            if name in got.headers:
                self.send_header(name, got.headers[name])
        self.end_headers()
        self.wfile.write(got.body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def recorded(url: str) -> Iterator[Recorder]:
    server = Recorder(url)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def job(address: str, **more: object) -> dict[str, object]:
    return {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {"job_name": "usage", "static_configs": [{"targets": [address]}], **more}
        ],
    }


def test_prometheus_scrapes_and_answers_questions(tmp_path: Path) -> None:
    with exporter(tmp_path, "demo") as demo:
        demo.first("video-prod", "saas-prod", "network")
        with recorded(demo.url) as recorder:
            address = f"127.0.0.1:{recorder.server_port}"
            with prometheus(tmp_path, job(address)) as url:
                up = until(lambda: query(url, "up == 1"), what="up")
                percent = until(lambda: query(url, "usage_percent > 0"), what="usage_percent")
                joined = query(
                    url,
                    "usage_ratio * on (provider, account) group_left (team) usage_account_info",
                )
                same = query(url, "usage_percent - 100 * usage_ratio > 1e-9")
                both = query(
                    url,
                    "usage_bytes / usage_limit_bytes"
                    " - on (provider, account, resource) usage_ratio > 1e-9",
                )
                types = ask(f"{url}/api/v1/metadata?metric=usage_percent").text
    assert len(up) == 1
    assert {one["metric"]["account"] for one in percent} == {"video-prod", "saas-prod", "network"}
    assert {one["metric"]["team"] for one in joined} == {"video", "product", "network"}
    assert (same, both) == ([], [])
    assert '"type":"gauge"' in types
    asked, got = recorder.scrapes[0]
    assert asked["Accept"].startswith("application/openmetrics-text")
    assert got.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert got.headers["content-encoding"] == "gzip"


def test_prometheus_scrapes_behind_tls_and_a_password(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
    web = tmp_path / "web.yaml"
    web.write_text(
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
        f"basic_auth_users: {{scraper: '{hashed}'}}\n"
    )
    checked = subprocess.run(  # noqa: S603 - promtool
        [program("promtool"), "check", "web-config", str(web)], check=False, timeout=60
    )
    assert checked.returncode == 0
    secure = {
        "scheme": "https",
        "tls_config": {"ca_file": str(tmp_path / "ca.pem")},
        "basic_auth": {"username": "scraper", "password": "open sesame"},
    }
    with exporter(tmp_path, "demo", f"--web.config.file={web}", scheme="https") as demo:
        address = demo.url.removeprefix("https://")
        with prometheus(tmp_path, job(address, **secure)) as url:
            found = until(lambda: query(url, "usage_percent > 0"), what=f"values\n{demo.log}")
            assert query(url, "up == 1")
    assert found

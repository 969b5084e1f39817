"""What clients can do to the exporter: nobody else waits, and the memory is bounded.

Each case runs against a daemon in a process of its own. The event loop's longest hold is the CPU
time of one callback, the memory is the peak of the process. The bounds leave room for a slow
machine, and are a fraction of what each case costs without its limit.
"""

import base64
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from tests.support.hostile_clients import Measured, daemon, request, status_of, unread
from tests.support.processes import until

HOLD = 0.15
"""Seconds of CPU: three times the promise."""
LARGE = 1_500
"""Targets whose self-metrics are a body of 2.7 MB."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    with daemon(tmp_path_factory.mktemp("small"), "--web.enable-lifecycle") as live:
        yield live


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    with daemon(tmp_path_factory.mktemp("large"), targets=LARGE) as live:
        live.get("/metrics")
        live.get("/")
        live.get("/api/v1/targets")
        yield live


EIGHT = 8_000
HEADERS = {
    "60 lines of Accept": [f"Accept: {'a,' * (EIGHT // 2)}"] * 60,
    "60 lines of Accept-Encoding": [f"Accept-Encoding: {'a,' * (EIGHT // 2)}"] * 60,
    "3 lines of Accept": [f"Accept: {'a,' * (EIGHT // 2)}"] * 3,
    "Accept of parameters": [f"Accept: {';' * EIGHT}"] * 3,
    "Accept-Encoding of weights": [f"Accept-Encoding: {'gzip;q=0.1,' * (EIGHT // 11)}"] * 3,
    "a number of 8,000 digits": [f"Accept: text/plain;q={'9' * EIGHT}"],
    "Authorization": [f"Authorization: Basic {'A' * EIGHT}"] * 3,
    "If-None-Match": ["If-None-Match: " + '"a",' * (EIGHT // 4)] * 3,
    "Cookie": [f"Cookie: {'a=b;' * (EIGHT // 4)}"] * 3,
    "Range": [f"Range: bytes={'0-1,' * (EIGHT // 4)}"] * 3,
    "X-Forwarded-For": [f"X-Forwarded-For: {'1.1.1.1,' * (EIGHT // 8)}"] * 3,
    "70 lines": [f"X-{number}: a" for number in range(70)],
    "Connection": [f"Connection: {'a,' * (EIGHT // 2)}"] * 3,
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_any_size_hold_up_nothing(small: Measured, name: str) -> None:
    with small.costing() as cost:
        answers = [small.send(request("/metrics", *HEADERS[name])) for _ in range(10)]
    assert {status_of(answer) for answer in answers} <= {200, 400, 431}
    assert cost[0].hold < HOLD
    assert cost[0].grown < 20
    assert small.get("/-/healthy").status == 200


TARGETS = {
    "one of 8 kB": "/probe?target=" + "a" * 7_900,
    "percent-coded": "/probe?target=" + "%C3%A4" * 1_300,
    "broken percent codes": "/probe?target=" + "%" * 7_900,
    "thousands of parameters": "/probe?" + "a&" * 3_900,
    "thousands of targets": "/probe?" + "target=a&" * 870,
    "a long path": "/" + "a/" * 3_900,
    "dots": "/" + "../" * 2_600,
    "semicolons": "/probe?" + ";" * 7_900,
    "an address of another host": "http://other.example" + "/a" * 3_900,
    "colons": "http://" + ":" * 7_000,
    "brackets": "http://[" + ":" * 7_000 + "]/",
}


@pytest.mark.parametrize("name", TARGETS)
def test_request_lines_of_any_form_hold_up_nothing(small: Measured, name: str) -> None:
    with small.costing() as cost:
        answers = [small.send(request(TARGETS[name])) for _ in range(10)]
    assert {status_of(answer) for answer in answers} <= {200, 400, 404}
    assert cost[0].hold < HOLD
    assert cost[0].grown < 20
    assert small.get("/-/healthy").status == 200


def chunked(count: int) -> bytes:
    return b"1\r\nx\r\n" * count + b"0\r\n\r\n"


BODIES = {
    "a body for a scrape": request("/metrics", "Content-Length: 9000000") + b"x" * 9_000_000,
    "a body that is promised": request("/metrics", "Content-Length: 9000000"),
    "a body that is refused": request("/", "Content-Length: 9000000", method="POST")
    + b"x" * 9_000_000,
    "a million chunks": request("/metrics", "Transfer-Encoding: chunked") + chunked(1_000_000),
    "a chunk without an end": request("/metrics", "Transfer-Encoding: chunked")
    + b"1;"
    + b"x" * 900_000,
    "gzip": request("/metrics", "Content-Encoding: gzip", "Content-Length: 20") + b"\x1f\x8b" * 10,
    "20,000 requests in one": b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n" * 20_000
    + request("/-/healthy"),
    "pipelined requests with large heads": (
        b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"x" * 8_000 + b"\r\n") * 3 + b"\r\n"
    )
    * 200
    + request("/-/healthy"),
    "an upgrade": request("/metrics", "Upgrade: websocket") + b"x" * 900_000,
    "lines without an end": b"\r\n" * 400_000,
    "a head without an end": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200_000,
    "TLS": b"\x16\x03\x01" * 10_000,
    "a method of 1 MB": b"A" * 1_000_000,
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_and_streams_of_any_form_hold_up_nothing(small: Measured, name: str) -> None:
    with small.costing() as cost:
        small.send(BODIES[name])
    assert cost[0].hold < HOLD
    assert cost[0].grown < 20
    assert small.get("/-/healthy").status == 200


def test_an_unknown_target_is_not_compared_with_thousands(large: Measured) -> None:
    with large.costing() as cost:
        answers = [large.send(request(f"/probe?target=targat-{one}")) for one in range(10)]
        answers.append(large.send(request("/probe")))
    assert {status_of(answer) for answer in answers} == {400}
    assert b"There are 1,500 targets; api/v1/targets lists them." in answers[0]
    assert cost[0].hold < HOLD


@pytest.mark.parametrize("path", ["/", "/api/v1/targets", "/config", "/metrics"])
def test_thousands_of_targets_are_shown_in_slices(large: Measured, path: str) -> None:
    with large.costing() as cost:
        assert status_of(large.send(request(path))) == 200
    assert cost[0].hold < HOLD
    assert cost[0].grown < 60


@pytest.mark.parametrize(
    ("path", "megabytes"),
    [
        ("/metrics", 120),
        pytest.param("/", 60, marks=pytest.mark.slow),
        pytest.param("/api/v1/targets", 60, marks=pytest.mark.slow),
        pytest.param("/config", 60, marks=pytest.mark.slow),
    ],
)
def test_clients_that_do_not_read_take_bounded_memory(
    large: Measured, path: str, megabytes: float
) -> None:
    with (
        large.costing() as cost,
        unread(large, 400, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()),
    ):
        began = time.monotonic()
        scraped = large.send(request("/metrics"), seconds=30)
        took = time.monotonic() - began
    assert status_of(scraped) == 200
    assert len(scraped) > 2_000_000
    assert took < 10
    assert cost[0].hold < HOLD
    assert cost[0].grown < megabytes


@pytest.mark.slow
def test_clients_that_do_not_read_are_cut_off_and_logged_once(tmp_path: Path) -> None:
    with daemon(tmp_path, targets=LARGE) as live:
        # More than the system buffers for a client: the rest would stay for a minute.
        with unread(live, 40, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n") as clients:
            until(lambda: established(live) > 40, what="all clients accepted")
            deadline = time.monotonic() + 30
            while established(live) > 5 and time.monotonic() < deadline:
                time.sleep(0.5)
            assert established(live) <= 5
            assert len(clients) == 40
        lines = [line for line in live.log.splitlines() if "an address failed" in line]
    assert len(lines) == 1, live.log
    assert "its client does not read" in lines[0]


def established(live: Measured) -> int:
    return len([one for one in Path(f"/proc/{live.process.pid}/fd").iterdir() if sock(one)])


def sock(descriptor: Path) -> bool:
    with contextlib.suppress(OSError):
        return str(descriptor.readlink()).startswith("socket:")
    return False


@pytest.fixture
def descriptors() -> Iterator[None]:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < 4096:
        pytest.skip("this machine has too few file descriptors for the clients")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, 4096), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


@pytest.mark.slow
@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize(
    ("limit", "count", "first"),
    [
        (1024, 1_100, b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n"),
        (1024, 1_100, b"GET /-/heal"),
        (64, 150, b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n"),
    ],
    ids=["idle", "slow headers", "few descriptors"],
)
def test_more_connections_than_descriptors_keep_no_scrape_out(
    tmp_path: Path, limit: int, count: int, first: bytes
) -> None:
    with daemon(tmp_path, descriptors=limit) as live:
        clients: list[socket.socket] = []
        try:
            with live.costing() as cost:
                for _ in range(count):
                    client = live.connect()
                    clients.append(client)
                    with contextlib.suppress(OSError):
                        client.sendall(first)
                scrapes = [live.get("/metrics").status for _ in range(10)]
            assert established(live) <= limit // 2 + 40
        finally:
            for client in clients:
                client.close()
        assert scrapes == [200] * 10
        assert cost[0].hold < HOLD
        assert cost[0].grown < 40
        told = [line for line in live.log.splitlines() if "connections have reached" in line]
        assert len(told) == 1, live.log
        assert len(live.log.splitlines()) < 20

        def over() -> bool:
            return "connections are accepted as usual again" in live.log

        deadline = time.monotonic() + 20
        while not over() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert over()


def test_running_out_of_descriptors_pauses_the_accepting(tmp_path: Path) -> None:
    """Something else in the process holds them: the cap alone does not help."""
    with daemon(tmp_path, descriptors=64) as live:
        own = len(list(Path(f"/proc/{live.process.pid}/fd").iterdir()))
        resource.prlimit(live.process.pid, resource.RLIMIT_NOFILE, (own + 3, 64))
        clients = [live.connect() for _ in range(30)]
        time.sleep(2)
        for client in clients:
            client.close()
        time.sleep(0.5)
        assert live.get("/metrics").status == 200
        lines = [line for line in live.log.splitlines() if "cannot be accepted" in line]
        assert len(lines) == 1, live.log
        assert len(live.log.splitlines()) < 20


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("user", ["scraper", "stranger"])
def test_wrong_passwords_keep_no_right_one_out(tmp_path: Path, user: str) -> None:
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(8)).decode()
    (tmp_path / "web.yaml").write_text(f"basic_auth_users: {{scraper: '{hashed}'}}\n")
    stop = threading.Event()
    refused: list[int] = []

    def guess(live: Measured, number: int) -> None:
        tries = 0
        while not stop.is_set():
            tries += 1
            with contextlib.suppress(OSError):
                answer = live.send(request("/", basic(user, f"wrong {number} {tries}")))
                refused.append(status_of(answer))

    with daemon(tmp_path, f"--web.config.file={tmp_path / 'web.yaml'}") as live:
        guessers = [threading.Thread(target=guess, args=(live, one)) for one in range(60)]
        with live.costing() as cost:
            for guesser in guessers:
                guesser.start()
            time.sleep(1)
            scrapes, took = [], []
            for _ in range(30):
                began = time.monotonic()
                scrapes.append(status_of(live.send(request("/metrics", basic("scraper", "right")))))
                took.append(time.monotonic() - began)
            stop.set()
        for guesser in guessers:
            guesser.join()
    assert scrapes == [200] * 30
    assert max(took[1:]) < 2  # let in once, it never queues again
    assert refused
    assert 200 not in refused
    assert cost[0].hold < HOLD


@pytest.mark.parametrize(
    "lines",
    [
        ["Origin: https://evil.example"],
        ["Origin: null"],
        ["Origin: http://exporter:81"],
        ["Origin: http://exporter.evil.example"],
        ["Origin: http://exporter", "Origin: http://evil.example"],
        ["Origin: http://[::1"],
        ["Origin: " + "http://" * 1_000],
        ["Origin:"],
        ["Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: same-site"],
        ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        ["Origin: http://exporter", "Sec-Fetch-Site: cross-site"],
    ],
)
def test_a_page_of_another_origin_reloads_nothing(small: Measured, lines: list[str]) -> None:
    asked = request("/-/reload", "Content-Length: 0", *lines, method="POST")
    assert status_of(small.send(asked)) == 403


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Origin: http://exporter"],
        ["Origin: http://EXPORTER:80", "Sec-Fetch-Site: same-origin"],
        ["Origin: https://exporter"],
        ["Sec-Fetch-Site: none"],
    ],
)
def test_its_own_page_and_a_program_reload(small: Measured, lines: list[str]) -> None:
    asked = request("/-/reload", "Content-Length: 0", *lines, method="POST")
    assert status_of(small.send(asked)) == 200


def test_the_daemon_still_ends_in_time(tmp_path: Path) -> None:
    with (
        daemon(tmp_path) as live,
        unread(live, 50, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET"),
    ):
        live.process.terminate()
        assert live.ended(8) == 0

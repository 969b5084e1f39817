"""What a vendor's answer can do to a running exporter: not hold its loop, not fill its memory.

One real process; each case is a target that is added by a reload and polled once. Its vendor writes
raw bytes. CPU is measured and not wall time, so that a busy machine does not matter.
"""

import gzip
import json
import os
import signal
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec
import pytest

from tests.support.cli_watched_loop import Held
from tests.support.parsed_exposition import ParsedExposition
from tests.support.processes import Exporter, exporter, until

MB = 1024 * 1024
FULL = 8 * MB  # the usual max_size
CALLBACK = 0.1  # seconds of CPU; the bar is 0.05 on a quiet machine, the faults were 0.15 to 58
BEAT = 0.2
PEAK = 120 * MB
GROWTH = 75 * MB  # beyond what the process has anyway
DEFINITION = """\
title: MeteredVendor
documentation: https://meter.example/docs
interval: 5m
credentials: {token: {description: The key.}}
auth: {kind: bearer}
collectors:
  usage:
    request: {path: /usage}
    paging: {kind: next_url, next: next}
resources:
  - name: "{line.name}"
    each: {path: rows, as: line}
    unit: bytes
    reduce: sum
    used: line.used
    limit: line.limit
    period: {start: line.start, end: line.end}
items:
  - resource: traffic
    group: part
    each: {path: rows, as: line}
    item: line.name
    unit: bytes
    used: line.used
"""
EMPTY = b'{"rows":[]}'


def answer(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join((b"HTTP/1.1 " + status, length, *lines, b"", body))


def chunked(body: bytes, size: int) -> bytes:
    cuts = (body[place : place + size] for place in range(0, len(body), size))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(cut), cut) for cut in cuts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def gzipped(body: bytes) -> bytes:
    return answer(body, b"Content-Encoding: gzip")


def text(inside: bytes) -> bytes:
    return answer(b'{"rows":[],"x":"' + inside + b'"}')


def value(used: bytes, **more: bytes) -> bytes:
    rest = b"".join(b',"%s":%s' % (name.encode(), text) for name, text in more.items())
    return answer(b'{"rows":[{"name":"a","used":' + used + rest + b"}]}")


def listed(row: bytes, count: int) -> bytes:
    return b'{"rows":[' + b",".join([row] * count) + b"]}"


def numbered(count: int) -> bytes:
    lines = (b'{"name":"n%d","used":%d}' % (number, number) for number in range(count))
    return b'{"rows":[' + b",".join(lines) + b"]}"


def keys(count: int) -> bytes:
    return b'{"rows":[]' + b"".join(b',"k%d":1' % number for number in range(count)) + b"}"


def headers(line: bytes, count: int) -> bytes:
    return answer(EMPTY, *[line] * count)


CASES: Mapping[str, tuple[str, Callable[[], bytes]]] = {
    # The reason of the failure ("" for a good poll), and the answer.
    "error page of unclosed titles": (
        "http_5xx",
        lambda: answer(b"<title" * 50 + b">" + b" " * 3700, status=b"502 Bad Gateway"),
    ),
    "title that never ends": ("not_json", lambda: answer(b"<title>" + b"<title> " * 500)),
    "gzip of empty members": ("not_json", lambda: gzipped(gzip.compress(b"", mtime=0) * 400_000)),
    "gzip bomb": ("too_large", lambda: gzipped(gzip.compress(bytes(100 * MB)))),
    "gzip bomb of gzip bombs": ("too_large", lambda: gzipped(gzip.compress(bytes(MB)) * 4000)),
    "gzip of many values": ("too_large", lambda: gzipped(gzip.compress(listed(b"[]", FULL // 4)))),
    "deflate of empty blocks": (
        "not_json",
        lambda: answer(b"\x78\x9c" + b"\0\0\0\xff\xff" * 1_600_000, b"Content-Encoding: deflate"),
    ),
    "raw deflate": (
        "not_json",
        lambda: answer(zlib.compress(b" " * FULL)[2:-4], b"Content-Encoding: deflate"),
    ),
    "brotli": ("not_json", lambda: answer(os.urandom(MB), b"Content-Encoding: br")),
    "half a million keys": ("too_large", lambda: answer(keys(500_000))),
    "as many keys as are allowed": ("", lambda: answer(keys(65_000))),
    "lists in maps": ("too_large", lambda: answer(listed(b'{"a":[]}', 750_000))),
    "lists in maps, as many as are allowed": (
        "schema",
        lambda: answer(listed(b'{"a":[]}', 32_000)),
    ),
    "numbers": ("too_large", lambda: answer(listed(b"1", FULL // 2 - 8))),
    "rows": ("too_large", lambda: answer(numbered(200_000))),
    "rows, as many as are allowed": ("", lambda: answer(numbered(25_000))),
    "rows of 250 kB": ("", lambda: answer(numbered(9000))),
    "rows of 15 kB": ("", lambda: answer(numbered(500))),
    "chunks of one byte": ("", lambda: chunked(b'{"rows":[],"x":"' + b"a" * MB + b'"}', 1)),
    "one text": ("", lambda: text(b"a" * (FULL - 64))),
    "one text of wide letters": ("", lambda: text("\U0001f600".encode() + b"a" * (FULL - 64))),
    "one text of escapes": ("", lambda: text(b"\\n" * (FULL // 2 - 64))),
    "one text of marks": ("", lambda: text(b"{," * (FULL // 2 - 64))),
    "halves of surrogate pairs": ("", lambda: text(b"\\ud800" * 1_300_000)),
    "bytes that are no text": ("not_json", lambda: text(b"\xff" * (FULL - 64))),
    "a long name": ("", lambda: answer(b'{"rows":[{"name":"' + b"a b" * MB + b'","used":1}]}')),
    "a deep list": ("too_large", lambda: answer(b"[" * FULL)),
    "a list of 100,000 levels": ("not_json", lambda: answer(b"[" * 100_000)),
    "a number beyond all": ("not_json", lambda: value(b"1e999999")),
    "100,000 digits": ("not_json", lambda: value(b"9" * 100_000)),
    "8 MB of digits": ("", lambda: value(b"0." + b"9" * (FULL - 64))),
    "8 MB of digits in a text": ("schema", lambda: value(b'"' + b"9" * (FULL - 64) + b'"')),
    "thousands apart": ("schema", lambda: value(b'"1' + b",000" * (2 * MB - 64) + b'"')),
    "blanks around a number": ("schema", lambda: value(b'"1' + b" " * (FULL - 64) + b'x"')),
    "blanks around a date": (
        "",
        lambda: value(b"1", start=b'"' + b" " * (FULL - 128) + b'2026-11-01"', end=b'"2026-12-01"'),
    ),
    "a long next link": (
        "paging",
        lambda: answer(b'{"rows":[],"next":"/' + b"a" * (FULL - 64) + b'"}'),
    ),
    "blanks": ("not_json", lambda: answer(b" " * FULL)),
    "an error message": (
        "http_5xx",
        lambda: answer(b'{"detail":"' + b"e " * 500_000 + b'"}', status=b"500 No"),
    ),
    "UTF-16": (
        "",
        lambda: answer(('{"rows":[],"x":"' + "ä" * (4 * MB - 200) + '"}').encode("utf-16")),
    ),
    "a charset that takes quadratic time": (
        "not_json",
        lambda: answer(b"\xff{a-" + b"b9" * 200_000, b"Content-Type: text/json; charset=punycode"),
    ),
    "60 headers of 8 kB": ("too_large", lambda: headers(b"X-RateLimit-A: " + b"9," * 4000, 60)),
    "many links": ("too_large", lambda: headers(b"Link: " + b"<a>;b," * 5000, 100)),
    "many waits": ("too_large", lambda: headers(b"Retry-After: " + b"9," * 15_000, 60)),
    "many limits": ("too_large", lambda: headers(b"RateLimit: " + b'"a";r=1,' * 3900, 120)),
    "many cookies": ("too_large", lambda: headers(b"Set-Cookie: " + b"a=b;" * 7000, 120)),
    "many challenges": (
        "auth",
        lambda: answer(
            b"", *[b"WWW-Authenticate: " + b"Digest a=b," * 2900] * 100, status=b"401 No"
        ),
    ),
    "endless headers": ("connect", lambda: b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * MB),
    "an endless chunk extension": (
        "connect",
        lambda: chunked(b"", 1)[:-5] + b"1;" + b"a" * (20 * MB),
    ),
    "further answers that nobody asked for": ("", lambda: answer(EMPTY) + answer(b"") * 200_000),
}


class RawVendor:
    """Writes bytes to each connection; the path of the request says which."""

    def __init__(self, answers: Sequence[Callable[[], bytes]]) -> None:
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._socket, *self._open):
            with suppress(OSError):  # the threads that wait for it go on, and end
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            try:
                number = int(peer.recv(65_536).split(b" ")[1].split(b"/")[1])
                peer.sendall(self._answers[number]())
                peer.shutdown(socket.SHUT_WR)
                peer.recv(1)
            except (OSError, IndexError, ValueError):  # the exporter has had enough
                pass


class Watched:
    """A running exporter that is given one target after the other."""

    def __init__(self, folder: Path, live: Exporter, vendor: RawVendor) -> None:
        self.live = live
        self._folder = folder
        self._vendor = vendor
        self._report = folder / "report.json"

    def poll(self, *numbers: int) -> ParsedExposition:
        """Poll targets with the answers of these numbers; return the scrape after it."""
        names = [f"t{number}-{index}" for index, number in enumerate(numbers)]
        self.begin(*numbers)

        def polled(seen: ParsedExposition) -> bool:
            return all(seen.get("usage_exporter_polls_total", account=name) for name in names)

        return self.live.until(polled, seconds=18)

    def begin(self, *numbers: int) -> None:
        """Let the targets be polled."""
        write_config(self._folder, self._vendor.url, numbers)
        self.live.tell(signal.SIGHUP)

    def held(self) -> Held:
        """Return how long the loop was held, and how much memory there was, since the last call."""
        before = self._read()
        self.live.tell(signal.SIGUSR1)
        number = -1 if before is None else before.number

        def newer() -> Held | None:
            held = self._read()
            return held if held is not None and held.number > number else None

        return until(newer, seconds=15, what="a report")

    def _read(self) -> Held | None:
        try:
            return msgspec.json.decode(self._report.read_bytes(), type=Held)
        except FileNotFoundError:
            return None


def write_config(folder: Path, url: str, numbers: Sequence[int]) -> None:
    targets = [
        {
            "name": f"t{number}-{index}",
            "provider": "meter",
            "base_url": f"{url}/{number}",
            "credentials": {"token": f"test-token-{index}"},
            "items": True,
        }
        for index, number in enumerate(numbers)
    ]
    config = {"providers": {"files": ["meter.yaml"]}, "targets": targets}
    (folder / "config.yaml").write_text(json.dumps(config))


@contextmanager
def watched(folder: Path, answers: Sequence[Callable[[], bytes]]) -> Iterator[Watched]:
    (folder / "meter.yaml").write_text(DEFINITION)
    with RawVendor(answers) as vendor:
        write_config(folder, vendor.url, ())
        words = (str(folder / "report.json"), "run", f"--config.file={folder / 'config.yaml'}")
        with exporter(
            folder, *words, module="tests.support.cli_watched_loop", covered=False
        ) as live:
            until(lambda: live.get("/-/healthy").status == 200, what="the start")
            found = Watched(folder, live, vendor)
            found.held()
            yield found


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("hostile")
    with watched(folder, [make for _, make in CASES.values()]) as found:
        yield found


def check(held: Held, *, growth: int = GROWTH) -> None:
    assert held.callback < CALLBACK, held
    assert held.beat < BEAT, held
    assert held.peak - held.before < growth, held


@pytest.mark.parametrize("name", CASES)
def test_no_answer_holds_the_loop_or_fills_the_memory(one: Watched, name: str) -> None:
    number = list(CASES).index(name)
    seen = one.poll(number)
    check(one.held())
    reason = CASES[name][0]
    assert seen.failed(f"t{number}-0") == ({reason: 1} if reason else {})


@pytest.mark.parametrize(
    "name",
    [
        "rows, as many as are allowed",
        pytest.param("one text of wide letters", marks=pytest.mark.slow),
        pytest.param("one text of escapes", marks=pytest.mark.slow),
        pytest.param("UTF-16", marks=pytest.mark.slow),
    ],
)
def test_one_answer_takes_the_process_to_no_more_than_120_mb(tmp_path: Path, name: str) -> None:
    with watched(tmp_path, [CASES[name][1]]) as found:
        found.poll(0)
        assert found.held().peak < PEAK


@pytest.mark.slow
def test_several_large_answers_at_once_are_not_all_in_memory(tmp_path: Path) -> None:
    wide = CASES["one text of wide letters"][1]()
    with watched(tmp_path, [lambda: wide]) as found:
        seen = found.poll(*[0] * 24)
        check(found.held(), growth=200 * MB)  # 4 of them; all 24 would take 800 MB
    assert all(seen.get("usage_up", account=f"t0-{index}") for index in range(24))


def test_the_pages_of_a_poll_are_limited_together(tmp_path: Path) -> None:
    page = b'{"next":"/1/%d","rows":' + listed(b'{"name":"a","used":1,"limit":2}', 15_000)[8:]
    pages = iter(range(1, 1000))
    with watched(tmp_path, [lambda: answer(page % 0), lambda: answer(page % next(pages))]) as found:
        seen = found.poll(0)
        check(found.held(), growth=150 * MB)
    assert seen.failed("t0-0") == {"too_large": 1}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("error page of unclosed titles", marks=pytest.mark.slow),
        "gzip of empty members",
        pytest.param("halves of surrogate pairs", marks=pytest.mark.slow),
        pytest.param("rows, as many as are allowed", marks=pytest.mark.slow),
    ],
)
def test_it_ends_within_five_seconds_of_a_signal_whatever_arrives(
    tmp_path: Path, name: str
) -> None:
    asked = threading.Event()

    def make() -> bytes:
        found = CASES[name][1]()
        asked.set()
        return found

    with watched(tmp_path, [make]) as found:
        found.begin(0)
        assert asked.wait(10)
        time.sleep(0.2)  # it is at work on it
        found.live.tell(signal.SIGTERM)
        assert found.live.ended(5) == 0

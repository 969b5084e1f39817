import argparse
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trustme

from exporter.cli import healthcheck
from exporter.cli.main import main


@contextlib.contextmanager
def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Answer one connection with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            accepted, _ = server.accept()
            with (
                accepted
                if tls is None
                else tls.wrap_socket(accepted, server_side=True) as connection
            ):
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{server.getsockname()[1]}/-/healthy"
        thread.join()


def test_a_healthy_exporter_ends_with_0() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as url:
        assert main(["healthcheck", f"--url={url}"]) == 0


def test_an_exporter_with_tls_is_asked_whatever_its_certificate_is_for() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("exporter.example.com").configure_cert(tls)
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", tls) as url:
        assert main(["healthcheck", f"--url={url}"]) == 0


def test_an_exporter_that_wants_a_password_is_well() -> None:
    with answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as url:
        assert main(["healthcheck", f"--url={url}"]) == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "answered 503"),
        (b"SSH-2.0-OpenSSH\r\n", "no answer: BadStatusLine"),
        (b"", "no answer: RemoteDisconnected"),
    ],
    ids=["unwell", "no HTTP", "nothing"],
)
def test_everything_else_ends_with_1(
    answer: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(answer) as url:
        assert main(["healthcheck", f"--url={url}"]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1/", "127.0.0.1:1", "http://", "http://[::1"])
def test_an_address_that_is_none_ends_with_1(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["healthcheck", f"--url={url}"]) == 1
    assert "no answer: ValueError" in capsys.readouterr().err


def test_nobody_there_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert main(["healthcheck", f"--url=http://127.0.0.1:{port}/"]) == 1
    assert "ConnectionRefusedError" in capsys.readouterr().err


def test_an_exporter_that_hangs_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["healthcheck", f"--url=http://127.0.0.1:{port}/", "--timeout=0.1"]) == 1
    assert "TimeoutError" in capsys.readouterr().err


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def asked_by(words: Sequence[str]) -> tuple[int, bytes]:
    """Return the exit code and what an exporter was asked; "PORT" in a word is its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        received = []

        def serve() -> None:
            accepted, _ = server.accept()
            with accepted:
                received.append(accepted.recv(4096).partition(b"\r\n")[0])
                accepted.sendall(GOOD)

        thread = threading.Thread(target=serve)
        thread.start()
        code = main([word.replace("PORT", str(port)) for word in words])
        thread.join()
    return code, received[0]


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        (["--web.listen-address=:PORT"], b"/-/healthy"),
        (["--web.listen-address=0.0.0.0:PORT"], b"/-/healthy"),
        (
            ["--web.listen-address", "127.0.0.1:PORT", "--web.route-prefix=usage/"],
            b"/usage/-/healthy",
        ),
        (
            ["--web.listen-address=:PORT", "--web.external-url=https://x.example/a/b/"],
            b"/a/b/-/healthy",
        ),
        (
            [
                "--web.listen-address=:PORT",
                "--web.external-url=https://x.example/a",
                "--web.route-prefix=/",
            ],
            b"/-/healthy",
        ),
    ],
)
def test_it_asks_where_the_flags_of_run_say(flags: list[str], path: bytes) -> None:
    assert asked_by(["healthcheck", *flags]) == (0, b"GET " + path + b" HTTP/1.1")


@pytest.mark.parametrize(
    "program",
    [
        ["/opt/usage-exporter/bin/python", "/opt/usage-exporter/bin/usage-exporter"],
        ["/sbin/docker-init", "--", "/opt/usage-exporter/bin/usage-exporter"],
        ["python", "-m", "exporter"],
    ],
)
def test_without_flags_it_asks_the_first_process_of_the_container(
    program: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    file = tmp_path / "cmdline"
    words = [
        *program,
        "run",
        "--config.file=x",
        f"--web.listen-address=:{port}",
        "--web.route-prefix",
        "u",
        "",
    ]
    file.write_text("\0".join(words))
    monkeypatch.setattr(healthcheck, "FIRST_PROCESS", str(file))
    args = argparse.ArgumentParser()
    healthcheck.add_healthcheck(args)
    assert healthcheck._addresses(args.parse_args([])) == (f"http://127.0.0.1:{port}/u/-/healthy",)


@pytest.mark.parametrize(
    "words", ["/sbin/init\0", "python\0-m\0other\0run\0", "usage-exporter\0check\0", None]
)
def test_another_first_process_says_nothing(
    words: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cmdline"
    if words is not None:
        file.write_text(words)
    monkeypatch.setattr(healthcheck, "FIRST_PROCESS", str(file))
    args = argparse.ArgumentParser()
    healthcheck.add_healthcheck(args)
    assert healthcheck._addresses(args.parse_args([])) == ("http://127.0.0.1:10187/-/healthy",)


def test_with_a_web_configuration_it_asks_with_tls_and_then_without() -> None:
    args = argparse.ArgumentParser()
    healthcheck.add_healthcheck(args)
    given = args.parse_args(["--web.config.file=web.yaml", "--web.listen-address=[::]:1"])
    assert healthcheck._addresses(given) == (
        "https://[::1]:1/-/healthy",
        "http://[::1]:1/-/healthy",
    )

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
import trustme

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

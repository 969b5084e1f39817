"""A client that costs as little as can be: a raw socket, a buffer that is used again."""

import socket
import time
from typing import Self

_HEAD = 64 * 1024


class Browser:
    """Asks one address again and again over one connection."""

    def __init__(self, port: int, path: str, *headers: str) -> None:
        self._request = "\r\n".join([f"GET {path} HTTP/1.1", "Host: bench", *headers, "", ""])
        self._socket = socket.create_connection(("127.0.0.1", port), 30.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(64 * 1024 * 1024))
        self.size = 0
        """Bytes of the last body, as it travelled."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self) -> float:
        """Ask once, read all of the answer, return the seconds that it took."""
        began = time.perf_counter()
        self._socket.sendall(self._request.encode())
        have, end = 0, -1
        while end < 0:
            have += self._receive(have)
            end = bytes(self._buffer[: min(have, _HEAD)]).find(b"\r\n\r\n")
        head = bytes(self._buffer[:end]).decode("latin-1").lower()
        if " 200 " not in head.split("\r\n", 1)[0]:
            raise RuntimeError(head)
        length = _length(head)
        whole = self._plain(have, end + 4 + length) if length >= 0 else self._chunked(have, end + 4)
        self.size = whole - end - 4
        return time.perf_counter() - began

    def body(self) -> bytes:
        """Return the body of the last answer that had a Content-Length."""
        head = bytes(self._buffer[:_HEAD]).find(b"\r\n\r\n") + 4
        return bytes(self._buffer[head : head + self.size])

    def _receive(self, have: int) -> int:
        got = self._socket.recv_into(self._buffer[have:])
        if not got:
            raise EOFError("the server hung up")
        return got

    def _plain(self, have: int, whole: int) -> int:
        while have < whole:
            have += self._receive(have)
        return whole

    def _chunked(self, have: int, start: int) -> int:
        while bytes(self._buffer[max(start, have - 5) : have]) != b"0\r\n\r\n":
            have += self._receive(have)
        return have


def _length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, value = line.partition(":")
        if name == "content-length":
            return int(value)
    return -1

"""A vendor that costs little: one answer of about 2 kB, over kept connections.

python -m tests.bench.vendor PORT
"""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from exporter.kernel.override import override
from tests.bench.processes import free_port, running

CURRENT = Path(__file__).resolve().parents[1] / "providers" / "billing_usage" / "current.json"


def document() -> bytes:
    """Return a usage answer of about 2 kB: the one that `billing_usage` is tested with."""
    return CURRENT.read_bytes()


class Answering(asyncio.Protocol):
    """Answers whatever ends a head with the same bytes."""

    answer = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._seen = b""

    @override
    def data_received(self, data: bytes) -> None:
        """Answer each complete head."""
        self._seen += data
        heads = self._seen.count(b"\r\n\r\n")
        if heads:
            self._seen = self._seen.rpartition(b"\r\n\r\n")[2]
            self._transport.write(self.answer * heads)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    body = document()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    Answering.answer = f"{head}\r\n\r\n".encode() + body
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
    await server.serve_forever()


@contextlib.contextmanager
def vendor() -> Iterator[str]:
    """Run it in a process of its own; give its origin."""
    port = free_port()
    with running([sys.executable, "-m", "tests.bench.vendor", str(port)], port):
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))

"""aioresponses under aiohttp 3.14, for answers of hosts that no test may reach.

aiohttp 3.14 gave ``ClientResponse`` a required argument that aioresponses 0.7.9 does not know of
(https://github.com/pnuckowski/aioresponses/issues/289). What it cannot express (time-outs, resets,
slow and huge bodies) is tested against ``tests.support.vendor``.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses, core

from exporter.kernel.override import override


class _Response(aiohttp.ClientResponse):
    """The response class as aioresponses expects it."""

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


@contextmanager
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Stand between all aiohttp sessions and the network, until the end of the block."""
    if "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters:
        monkeypatch.setattr(core, "ClientResponse", _Response)
    with aioresponses() as hosts:
        yield hosts

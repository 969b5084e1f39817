"""Listen addresses as Go's exporters write them (``:10187``, ``127.0.0.1:9``, ``[::1]:9``).

Also the two errors that keep the web side from starting. Nothing of aiohttp is imported here: the
command line uses this module at every start.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from exporter.kernel.override import override
from exporter.kernel.problems import Problem

_LISTEN_ADDRESS: Final = re.compile(
    r"(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>[0-9]+)"
)
_LAST_PORT: Final = 65535


class Address(msgspec.Struct, frozen=True):
    """Where to listen. An empty `host` is every interface, port 0 any free port."""

    host: str
    port: int

    @override
    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address that `text` names. Raises ValueError with a sentence for the user."""
    found = _LISTEN_ADDRESS.fullmatch(text)
    if found is None or int(found["port"][:6]) > _LAST_PORT:
        raise ValueError(
            f'"{text}" is not a listen address. Write [HOST]:PORT with a port up to 65535, for'
            " example :10187, 127.0.0.1:10187 or [::1]:10187."
        )
    return Address(found["six"] or found["host"] or "", int(found["port"]))


class CannotListen(Exception):  # noqa: N818 - the name of the fact, and of exit code 4
    """An address cannot be listened on: `why`, and `instead` what would help."""

    def __init__(self, address: str, why: str, instead: str) -> None:
        super().__init__(address, why, instead)
        self.address = address
        self.why = why
        self.instead = instead

    @override
    def __str__(self) -> str:
        return (
            f'--web.listen-address: cannot listen on "{self.address}": {self.why}. {self.instead}'
        )


class BadWebConfig(ValueError):  # noqa: N818 - the name of the fact
    """The web configuration cannot be used: every problem, sorted."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))

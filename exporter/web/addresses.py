"""Listen addresses as Go's exporters write them: ``:10187``, ``127.0.0.1:9``, ``[::1]:9``."""

import re
from typing import Final

import msgspec

from exporter.kernel.override import override

_GRAMMAR: Final = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>[0-9]+)")
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
    found = _GRAMMAR.fullmatch(text)
    if found is None or int(found["port"][:6]) > _LAST_PORT:
        raise ValueError(
            f'"{text}" is not a listen address. Write [HOST]:PORT with a port up to 65535, for'
            " example :10187, 127.0.0.1:10187 or [::1]:10187."
        )
    return Address(found["six"] or found["host"] or "", int(found["port"]))

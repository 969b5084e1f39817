"""Programs of this folder that measure themselves, in a process of their own, and print JSON."""

import json
import subprocess
from typing import Any

from tests.bench import peers
from tests.bench.processes import clean_environ

_SLOWEST = 600.0


def told(module: str, *words: object) -> dict[str, Any]:
    """Run ``tests.bench.<module>`` in the image's environment; return what it prints."""
    command = [str(peers.own_environment()), "-m", f"tests.bench.{module}", *map(str, words)]
    done = subprocess.run(  # noqa: S603 - our own commands
        command,
        check=True,
        stdout=subprocess.PIPE,
        timeout=_SLOWEST,
        env=clean_environ() | peers.own_environ(),
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found

"""Seconds to read a configuration: ``... loading FILE``; ours, PyYAML's, and with it paused."""

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from exporter.config.load import load_plan
from exporter.model.plan import Plan

ROUNDS = 3


def best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some runs, each from a swept heap."""
    times = []
    for _ in range(ROUNDS):
        gc.collect()
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Measure and print."""
    path = Path(sys.argv[1])
    text = path.read_text()

    def load() -> None:
        assert isinstance(load_plan(str(path), environ={}), Plan)

    def parse() -> None:
        yaml.load(text, Loader=yaml.CSafeLoader)  # the peer

    def parse_paused() -> None:
        gc.disable()
        try:
            parse()
        finally:
            gc.enable()

    found = {"ours": best(load), "yaml": best(parse), "yaml_paused": best(parse_paused)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

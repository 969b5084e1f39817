"""Seconds to read a configuration: ``... loading FILE``; ours, PyYAML's, and with it paused."""

import gc
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from exporter.config.plan import load_plan
from exporter.model.target import Plan

ROUNDS = 5


def best(works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the seconds of the fastest of some runs in turn, each from a swept heap."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            gc.collect()
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: min(took) for name, took in times.items()}


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

    found = best({"ours": load, "yaml": parse, "yaml_paused": parse_paused})
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

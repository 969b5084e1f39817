"""Frozen garbage goes again."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from exporter.app.daemon import SWEEP_EVERY, GcTuning


class Ring:
    """Garbage that only the collector frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.collect()
    yield
    gc.unfreeze()


def test_garbage_that_was_frozen_goes_after_some_reloads() -> None:
    heap = GcTuning()
    ring = Ring()
    witness = weakref.ref(ring)
    heap.rest()
    del ring
    for _ in range(SWEEP_EVERY - 1):
        heap.reloaded()
    gc.collect()
    assert witness() is not None  # nobody looks at what is frozen
    heap.reloaded()
    assert witness() is None

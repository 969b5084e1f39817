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
    gc_tuning = GcTuning()
    ring = Ring()
    witness = weakref.ref(ring)
    gc_tuning.freeze()
    del ring
    for _ in range(SWEEP_EVERY - 1):
        gc_tuning.reloaded()
    gc.collect()
    assert witness() is not None  # what is frozen is not collected
    gc_tuning.reloaded()
    assert witness() is None

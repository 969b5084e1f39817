"""Whatever happened to the cache: its bodies are those of a cache built from scratch."""

import gzip

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from exporter.kernel.exposition_text import Dialect
from exporter.model.families import FAMILIES, Sample
from exporter.store.cache import ExpositionCache
from exporter.store.exposition import PrefixCache, assemble_gzip, deflate, render

ACCOUNTS = st.sampled_from(["a", "b", "c"])
PICKS = st.dictionaries(st.sampled_from([f.name for f in FAMILIES]), st.integers(1, 4), max_size=5)
VALUES = st.floats(allow_nan=False, allow_infinity=False)
LABELS = {family.name: family.labels for family in FAMILIES}


def samples(target: str, picks: dict[str, int], value: float) -> list[Sample]:
    return [
        Sample(family=name, labels=(target, *(str(n) for _ in LABELS[name][1:])), value=value + n)
        for name, count in picks.items()
        for n in range(count)
    ]


class CacheMachine(RuleBasedStateMachine):
    """Targets come, change and go, by cached renders; the model is the list of samples."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = ExpositionCache()
        self.caches: dict[str, PrefixCache] = {}
        self.truth: dict[str, list[Sample]] = {}

    @rule(account=ACCOUNTS, picks=PICKS, value=VALUES)
    def publish(self, account: str, picks: dict[str, int], value: float) -> None:
        self.truth[account] = samples(account, picks, value)
        cache = self.caches.setdefault(account, PrefixCache())
        self.cache.put(account, cache.render(self.truth[account]))

    @rule(account=ACCOUNTS, value=VALUES)
    def change_values(self, account: str, value: float) -> None:
        self.truth[account] = [
            Sample(family=s.family, labels=s.labels, value=value)
            for s in self.truth.get(account, [])
        ]
        cache = self.caches.setdefault(account, PrefixCache())
        self.cache.put(account, cache.render(self.truth[account]))

    @rule(account=ACCOUNTS)
    def remove(self, account: str) -> None:
        self.truth.pop(account, None)
        self.caches.pop(account, None)
        self.cache.remove(account)

    @rule(form=st.sampled_from(Dialect))
    def scrape(self, form: Dialect) -> None:
        piece = deflate(self.cache._parts(form))
        packed = b"".join(assemble_gzip(piece, b"tail 1\n"))
        assert gzip.decompress(packed) == self.cache.body(form) + b"tail 1\n"

    @invariant()
    def bodies_are_those_of_a_fresh_cache(self) -> None:
        fresh = ExpositionCache()
        for account, held in self.truth.items():
            fresh.put(account, render(held))
        for form in Dialect:
            assert sorted(self.cache.body(form).splitlines()) == sorted(
                fresh.body(form).splitlines()
            )
        assert self.cache.series() == fresh.series() == sum(map(len, self.truth.values()))
        assert self.cache._size == fresh._size


TestCache = CacheMachine.TestCase
TestCache.settings = settings(stateful_step_count=12)

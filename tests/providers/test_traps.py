"""Every trap that is known has its test."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.catalogue import PROVIDERS, cases_of

ROOT = PROVIDERS.parents[1]
TRAPS: dict[str, str] = yaml.safe_load((PROVIDERS / "traps.yaml").read_text())


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_has_its_test(trap: str) -> None:
    place = TRAPS[trap]
    if "::" in place:
        file, _, name = place.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
        return
    folder, _, case = place.rpartition("/")
    cases = cases_of(Path(folder).name, (PROVIDERS / folder).parent)
    assert case == "golden" or case in cases.cases

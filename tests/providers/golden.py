"""Write expected.prom anew: ``python -m tests.providers.golden [PROVIDER ...]``. Read the diff."""

import asyncio
import sys
from pathlib import Path

from tests.support.provider_cases import golden_case, run
from tests.support.replay import PROVIDERS

GENERALITY = PROVIDERS.parent / "generality"


def main(names: list[str]) -> None:
    folders = [*PROVIDERS.glob("*/index.json"), *GENERALITY.glob("*/index.json")]
    for folder in sorted(path.parent for path in folders):
        if not names or folder.name in names:
            write(folder)


def write(folder: Path) -> None:
    trial = asyncio.run(run(folder, golden_case(folder.name, folder.parent)))
    (folder / "expected.prom").write_text("\n".join(trial.lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Write expected.prom anew: ``python -m tests.providers.golden [PROVIDER ...]``. Read the diff."""

import asyncio
import sys

from tests.support.catalogue import PROVIDERS, golden_case, provider_names, run


def main(names: list[str]) -> None:
    for name in names or provider_names():
        trial = asyncio.run(run(PROVIDERS / name, golden_case(name)))
        (PROVIDERS / name / "expected.prom").write_text("\n".join(trial.lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

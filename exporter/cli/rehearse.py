"""``providers test``: a definition on captured answers, for its author and for CI."""

import sys
from collections.abc import Sequence
from pathlib import Path

from exporter.app.rehearsal import rehearse, target_for
from exporter.cli import exits
from exporter.cli.problems import show
from exporter.config.load import load_definition
from exporter.model.plan import Rejected


def test(file: str, answers: Path, params: Sequence[str]) -> int:
    """Print the exposition to stdout and every complaint to stderr; 1 if there is any."""
    definition = load_definition(file)
    if isinstance(definition, Rejected):
        show(definition.problems)
        return exits.CONFIG
    pairs = dict(param.partition("=")[::2] for param in params)
    target = target_for(definition, Path(file).resolve(), pairs)
    if isinstance(target, Rejected):
        show(target.problems)
        return exits.CONFIG
    result = rehearse(target, answers)
    sys.stdout.buffer.write(result.exposition)
    for complaint in result.complaints:
        sys.stderr.write(f"{complaint}\n")
    return exits.CONFIG if result.complaints else exits.FINE

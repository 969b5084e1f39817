"""``providers new``: the text of a new definition, empty or guessed from a captured answer."""

import json
import sys
from pathlib import Path

from exporter.cli import exits
from exporter.cli.options import show
from exporter.config import files
from exporter.config.plan import compile_text
from exporter.config.settings import provider_schema
from exporter.config.skeleton import skeleton
from exporter.config.sketch.guess import sketch
from exporter.config.sketch.sample import Unusable, read_sample
from exporter.model.target import Rejected

SCHEMA = "provider.schema.json"
"""The file beside a new definition by which editors complete and check it."""


def new(path: Path, sample: str) -> int:
    """Write a definition, and the schema for editors; a file that is there stays as it is."""
    if not files.is_definition_name(path.stem):
        sys.stderr.write(
            f'{path}: the provider would be called "{path.stem}". A name has small letters, digits'
            " and underscores: name the file after the vendor, acme.yaml.\n"
        )
        return exits.CONFIG
    try:
        guesses = sketch(read_sample(Path(sample).read_bytes())) if sample else None
    except (Unusable, OSError) as error:
        sys.stderr.write(f"{sample}: {_why(error)}\n")
        return exits.CONFIG
    text = skeleton(path.stem, file=str(path), schema=SCHEMA, sketch=guesses)
    try:
        _write_new(path, text)
        _write_schema(path.with_name(SCHEMA))
    except FileExistsError:
        sys.stderr.write(f"{path}: there is such a file already; it stays as it is.\n")
        return exits.CONFIG
    except OSError as error:
        sys.stderr.write(f"{path}: {_why(error)}\n")
        return exits.CONFIG
    sys.stdout.write(f"{path}: written{', with guesses to check' if sample else ''}\n")
    return _checked(text, path)


def _write_schema(path: Path) -> None:
    try:
        _write_new(path, json.dumps(provider_schema(), indent=2) + "\n")
    except FileExistsError:
        return


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, not even as a link; nothing stays on a full disk."""
    with path.open("x", encoding="utf-8", errors="replace") as file:  # the path may be no Unicode
        try:
            file.write(text)
            file.flush()
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _checked(text: str, path: Path) -> int:
    loaded = compile_text(text, name=path.stem, origin=str(path))
    if isinstance(loaded, Rejected):
        show(loaded.problems)
        return exits.CONFIG
    return exits.FINE


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)

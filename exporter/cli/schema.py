"""``schema``: the JSON Schema of the configuration or of a definition, for editors."""

import argparse
import json
import sys

from exporter.cli import exits
from exporter.config.settings import config_schema, provider_schema


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``schema``."""
    parser.add_argument(
        "what", choices=("config", "provider"), nargs="?", default="config", help="of which file"
    )


def run(args: argparse.Namespace) -> int:
    """Print the schema to stdout."""
    schema = config_schema() if args.what == "config" else provider_schema()
    json.dump(schema, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return exits.FINE

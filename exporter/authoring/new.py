"""The text of a new definition: a commented skeleton, or one filled with guesses; and its file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from exporter.authoring.infer import Draft
from exporter.authoring.paging import Rule

SCHEMA = "provider.schema.json"
"""The file beside a new definition by which editors complete and check it."""

_HEAD = """\
# yaml-language-server: $schema={schema}
#
# What every key means: docs/providers/writing.md, and your editor, by the schema above. Try it:
#   usage-exporter providers test {file} --answers DIR
# and, with a target that uses it (providers.files in the configuration):
#   usage-exporter explain --config.file=config.yaml TARGET

title: {title}
documentation: https://example.com/docs/api
base_url: https://api.example.com
interval: 15m # how often to ask; vendors' numbers rarely change faster
min_interval: 1m # never faster, whatever a target says
permission: "" # what the key must be allowed to do

# What a target must say, for {{params.account}} in the request:
# params:
#   account: {{description: Whose usage., required: true}}

credentials:
  token: {{description: API key.}}

auth: {{kind: bearer}} # or header, query, basic, login, oauth2_client_credentials, none

collectors:
  usage:
    request:
      path: /v1/usage
      # query: {{start: "{{month.start:date}}", end: "{{month.last:date}}"}}
{paging}    success:
      error: [error.message, message, detail] # where the vendor says what is wrong

"""

_EXAMPLE = """\
resources:
  - name: bandwidth # snake_case, and the same for all vendors where the thing is the same
    unit: GB # of the vendor's numbers; published in base units
    used: data.used
    limit: {path: data.limit, unlimited: [-1, null]} # what means "no limit"
    # each: data.rows         one row a day, say
    # reduce: sum             and how they become one number: sum, max, {how: last, by: date}
    # level: true             for what there is now (storage, seats), not what was used

# costs:
#   - {currency: USD, cost: data.cost}

period: {cycle: month} # or {start: data.period.start, end: data.period.end, inclusive_end: true}
"""
_DOUBTS = "# Everything below is guessed from the sample: check each line, above all the units."
_NOTHING = """\
# Nothing in the sample looks like usage. The numbers in it, if any, are named at the end.
"""


def text_of(name: str, *, file: str, draft: Draft | None = None) -> str:
    """Return the text of a new definition in `file`: with the guesses of a draft, or examples."""
    paging = ""
    if draft and draft.lines:
        paging += "    format: jsonl\n"
    if draft and draft.paging:
        paging += f"    paging: {_flow(draft.paging)} # guess\n"
    head = _HEAD.format(title=_flow(name), file=file, schema=SCHEMA, paging=paging)
    if draft is None:
        return head + _EXAMPLE
    unread = [f"#   {path}" for path in draft.unread]
    if unread:
        unread[:0] = ["", "# Numbers of the sample that nothing above reads:"]
    if not (draft.resources or draft.costs or draft.items):
        return head + _NOTHING + _EXAMPLE + "\n".join(["", *unread]) + "\n"
    lines = [_DOUBTS]
    for title, rules in (
        ("resources:", draft.resources),
        ("costs:", draft.costs),
        ("items: # breakdowns, for targets with `items: true`", draft.items),
    ):
        if rules:
            lines += ["", title] if len(lines) > 1 else [title]
            lines += [line for rule in rules for line in _rule(rule)]
    if draft.plan:
        lines += ["", f"plan: {_flow(draft.plan)} # guess"]
    lines += ["", f"period: {_flow(draft.period)} # guess", *unread]
    return head + "\n".join(lines) + "\n"


def _rule(rule: Rule) -> Iterator[str]:
    """Yield the lines of a rule; the comment on a key stands under ``#key``."""
    sign = "-"
    for key, value in rule.items():
        if key.startswith("#"):
            continue
        doubt = f" # guess: {rule[f'#{key}']}" if f"#{key}" in rule else " # guess"
        if key == "each" and isinstance(value, list):
            yield f"  {sign} each:{doubt}"
            yield from (f"      - {_flow(step)}" for step in value)
        else:
            yield f"  {sign} {key}: {_flow(value)}{doubt}"
        sign = " "


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def _flow(value: object) -> str:
    """Return a value as YAML writes it in one line. JSON is YAML, for what needs quotes."""
    match value:
        case dict():
            return f"{{{', '.join(f'{_flow(key)}: {_flow(one)}' for key, one in value.items())}}}"
        case list():
            return f"[{', '.join(map(_flow, value))}]"
        case str() if _PLAIN.fullmatch(value) and value.lower() not in ("null", "true", "false"):
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)


def write(path: Path, text: str, schema: str) -> None:
    """Write a definition and beside it the schema for editors, which may be there already.

    Raises FileExistsError for a definition that is there, OSError for what cannot be written.
    """
    _write_new(path, text)
    try:
        _write_new(path.with_name(SCHEMA), schema)
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

"""The text of a new definition: a commented skeleton, or one filled with guesses."""

from collections.abc import Iterator

from exporter.config.sample import Resource, Sketch

_HEAD = """\
# yaml-language-server: $schema={schema}
#
# Words: docs/providers/README.md. Try it:
#   usage-exporter providers test {file} --answers DIR
# and, with a target that uses it (providers.files in the configuration):
#   usage-exporter explain --config.file=config.yaml TARGET

title: {name}
documentation: https://example.com/docs/api
base_url: https://api.example.com
interval: 15m # how often to ask; vendors' numbers rarely change faster
min_interval: 1m # never faster, whatever a target says
permission: "" # what the key must be allowed to do

params: {{}} # what a target must say: {{account: {{description: whose usage, required: true}}}}

credentials:
  token: {{description: API key}}

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


def skeleton(name: str, *, file: str, schema: str, sketch: Sketch | None = None) -> str:
    """Return the text of ``file``. ``schema`` is where the JSON Schema is, for editors."""
    paging = f"    paging: {sketch.paging} # guess\n" if sketch and sketch.paging else ""
    head = _HEAD.format(name=name, file=file, schema=schema, paging=paging)
    if sketch is None or not sketch.resources:
        return head + _EXAMPLE
    return head + "\n".join(_guesses(sketch)) + "\n"


def _guesses(sketch: Sketch) -> Iterator[str]:
    yield "# Everything below is guessed from the sample: check each line."
    yield "resources:"
    for resource in sketch.resources:
        yield from _resource(resource)
    if sketch.costs:
        yield "\ncosts:"
        currency = f"{{path: {sketch.currency}}}" if sketch.currency else "USD"
        yield f"  - currency: {currency} # guess"
        yield f"    cost: {sketch.costs[0]} # guess"
        for path in sketch.costs[1:]:
            yield f"    # or: {path}"
    start, end = sketch.period_start, sketch.period_end
    if start or end:
        sides = [f"start: {start}"] * bool(start) + [f"end: {end}"] * bool(end)
        cycle = [] if start and end else ["cycle: month"]
        yield f"\nperiod: {{{', '.join([*sides, *cycle])}}} # guess"
    else:
        yield "\nperiod: {cycle: month} # guess"


def _resource(resource: Resource) -> Iterator[str]:
    yield f"  - name: {resource.name} # guess"
    yield f"    unit: {resource.unit} # guess"
    if resource.each:
        yield f'    each: "{resource.each}" # guess'
        yield "    reduce: sum # guess: a flow; a level is {how: last, by: date}"
    for role, path in resource.roles.items():
        yield f"    {role}: '{path}' # guess"

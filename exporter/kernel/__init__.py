"""Values and pure functions that know nothing of exporters, vendors or metrics.

Holds: durations, calendars, units, templates, JMESPath, YAML with positions, messages, secrets and
their redaction, the text of an exposition.
May import: the standard library, msgspec, jmespath (in ``jmes``), PyYAML (in ``yamlfile``).
Must never: read a clock or a socket, or know the word "provider".
"""

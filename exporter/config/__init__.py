"""Text becomes a Plan.

Lives here: the reader of YAML (with the position of every node), the grammar of configuration and
definitions, the catalogue, the plan and the difference of two plans, the JSON Schema.
May know: the kernel and the model. Only ``files`` and ``catalogue`` open files.
Must never: stop at the first problem, or guess what a user may have meant.
"""

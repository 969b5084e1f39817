"""How generated pages are made: definitions and tables in, Markdown out.

`provider` puts a provider's page together from `asks` and `publishes`; `metrics` is the page of
all families. Nothing here writes a file.
"""

"""The page of a provider: a definition in, Markdown out.

`provider` puts the page together from `asks` and `publishes`. The documentation is made of these
pages, and ``providers show`` prints them. Nothing here writes a file.
"""

"""usage-exporter: the usage, quota and billing APIs of SaaS vendors as Prometheus gauges.

One folder per stage of the flow: config, schedule, fetch, mapping, store, web. Stages never import
each other; they meet in ``pipeline`` and ``app``. ``docs/architecture.md`` shows the whole picture.
"""

__version__ = "0.1.0"

"""Consumers of events: log lines, self-metrics, the recent polls of each target.

May import: the kernel and the model.
Must never: be called by a stage, or change what the exporter does.
"""

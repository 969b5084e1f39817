"""Readers of events: log lines, self-metrics, the recent history of each target.

May know: the kernel and the model.
Must never: be called by a stage, or change what the exporter does.
"""

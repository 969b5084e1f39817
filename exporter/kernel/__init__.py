"""What could be anyone's: durations, units, timestamps, calendars, paths, templates, secrets.

Lives here: values and pure functions that know nothing of exporters, vendors or metrics.
May know: the standard library's values, msgspec, and jmespath in ``select`` alone.
Must never: read a clock, a file or a socket, or know the word "provider".
"""

"""When: back-off, cadence, budgets, the state of each target, and the one heap of due times.

Lives here: pure steps that are told the time and the chance, and ``runner``, the only owner of
waiting and retrying.
May know: the kernel and the model.
Must never: know what a poll does, or what HTTP is.
"""

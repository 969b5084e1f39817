"""The payload: request, authentication, paging, verdict.

Lives here: pure protocol steps, ``transport``, the only caller of the network, and ``client``,
which turns their crank and decides nothing itself.
May know: the kernel and the model.
Must never: retry or wait (the scheduler does), or look into a payload beyond paging and verdict.
"""

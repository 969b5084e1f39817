"""One attempt to get what a collector asks for.

Holds: request, authentication, paging, rate-limit headers, classification of responses;
``transport``, the only caller of the network; ``client``, which puts the steps in order.
May import: the kernel and the model.
Must never: retry or wait (the scheduler does), or read a payload beyond paging and its success
rule.
"""

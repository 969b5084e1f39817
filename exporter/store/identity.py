"""Which account a target's values belong to."""

import hashlib

import msgspec

from exporter.model.target import Target


def fingerprint(target: Target) -> str:
    """Return a short digest of what makes a target the account that it is.

    Provider, address, parameters and accounts: when one of them changes, what was known belongs to
    another account and must not come back. A renewed credential changes nothing.
    """
    parts = (target.provider, target.base_url, sorted(target.params.items()), target.accounts)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]

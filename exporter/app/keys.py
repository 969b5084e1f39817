"""Secrets at run time: read when a poll needs them, and made known to the redactor."""

from exporter.config.files import SecretReader
from exporter.kernel.secrets import Redactor, Secret
from exporter.model.target import SecretSource


class Keys:
    """Reads secrets and tells the redactor of each."""

    def __init__(self, reader: SecretReader, redactor: Redactor) -> None:
        self._reader = reader
        self._redactor = redactor

    def read(self, source: SecretSource) -> Secret:
        """Return the present value. Raises SecretUnavailable with a text without the secret."""
        secret = self._reader.read(source)
        self._redactor.learn(secret)
        return secret

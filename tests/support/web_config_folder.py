"""A folder with a web configuration, certificates, and clients for them."""

import ssl
from pathlib import Path

import trustme

from exporter.web.access import AccessControl


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0  # the files are looked at on each request
        return self.now


class WebConfigFolder:
    """A folder with a web configuration and what it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(folder / "ca.pem")
        self.complaints: list[str] = []

    def issue(self, *names: str) -> None:
        issued = self.authority.issue_cert(*names)
        (self.folder / "cert.pem").write_bytes(b"".join(b.bytes() for b in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(self.folder / "key.pem")

    def control(self, text: str) -> AccessControl:
        self.write(text)
        return AccessControl(
            str(self.folder / "web.yaml"), clock=Clock(), complain=self.complaints.append
        )

    def write(self, text: str) -> None:
        (self.folder / "web.yaml").write_text(text)

    def client(self, *names: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if names:
            self.authority.issue_cert(*names).configure_cert(context)
        return context

"""One recorded case of a vendor as a fake vendor of its own: for many cases behind one server."""

from pathlib import Path

from exporter.demo.server import VendorRequest, VendorResponse
from tests.support.replay import Exchange, read_exchanges

PROVIDERS = Path(__file__).resolve().parents[1] / "providers"


class Recorded:
    """Answers the exchanges of a case as they were, and 418 to all else.

    Not `exact`: whatever the address is. `strange` are the requests that fit nothing.
    """

    def __init__(self, exchanges: dict[str, Exchange], *cases: str, exact: bool = True) -> None:
        self.strange: list[VendorRequest] = []
        self._exchanges = [exchanges[case] for case in cases]
        self._exact = exact

    def __call__(self, asked: VendorRequest, _now: float) -> VendorResponse:
        """Answer as the vendor did; its links lead to the one who replays them."""
        for exchange in self._exchanges:
            if self._fits(exchange, asked):
                body = exchange.body.replace(exchange.origin.encode(), asked.origin.encode())
                headers = tuple(exchange.answer_headers.items())
                return VendorResponse(status=exchange.status, headers=headers, body=body)
        self.strange.append(asked)
        return VendorResponse(status=418, body=b"this was not recorded")

    def _fits(self, exchange: Exchange, asked: VendorRequest) -> bool:
        signed = exchange.headers.get("Authorization", "")
        if (exchange.method, signed) != (asked.method, asked.headers.get("authorization", "")):
            return False
        here = (exchange.path, exchange.query)
        return not self._exact or here == (asked.path, tuple(sorted(asked.query)))


def exchanges_of(provider: str) -> dict[str, Exchange]:
    """Return what was recorded of a provider, by case."""
    return read_exchanges(PROVIDERS / provider)

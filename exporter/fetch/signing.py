"""The signature of one attempt's requests: tokens fetched, kept and renewed."""

import msgspec

from exporter.fetch.auth import AuthError, Token, apply, read_token
from exporter.fetch.exchanges import Exchanges, Order, Refused, World
from exporter.fetch.keyring import Keyring
from exporter.fetch.request import Signature, draft, wire
from exporter.fetch.tokens import TOO_FRESH
from exporter.fetch.verdict import Judged, Rules, judge
from exporter.kernel.templates import Clock
from exporter.model.definition import TokenAuth, Verdict
from exporter.model.outcome import Failure, Page, Reason
from exporter.model.target import Target

_LOG_IN_BYTES = 1024 * 1024
_LOG_IN_ACCEPTED = Verdict(accepted=frozenset({200, 201}))
_BAD_LOG_IN = frozenset({400, 401, 403, 422})
"""What vendors answer to a wrong password or client secret (OAuth 2: 400 and 401)."""
_NO_TIME = Clock(0.0)


class Signer:
    """Signs the requests of one attempt at a target, with a log-in where one is needed."""

    def __init__(
        self, target: Target, keyring: Keyring, moment: Clock, world: World, exchanges: Exchanges
    ) -> None:
        self._target = target
        self._keyring = keyring
        self._moment = moment
        self._world = world
        self._exchanges = exchanges
        self._refused: Token | None = None
        self._refusal: Failure | None = None

    async def sign(self) -> Signature:
        """Return the signature of a request. Raises Refused and AuthError."""
        keyring = self._keyring
        auth = self._target.auth
        if isinstance(auth, TokenAuth):
            token = await self._a_token(auth)
            if token is not keyring.token:
                keyring.take(token)
        if keyring.signature is None:
            token_text = None if keyring.token is None else keyring.token.value
            signature = apply(auth, keyring.values.texts, self._moment, token_text)
            keyring.learn(signature)
            keyring.signature = signature
        return keyring.signature

    def renews(self, judged: Judged) -> bool:
        """Tell whether a token that may be old was refused; `sign` then gets another, once."""
        if self._keyring.token is None or self._refusal is not None:
            return False
        if not isinstance(judged, Failure) or judged.reason is not Reason.AUTH:
            return False
        self._refused, self._refusal = self._keyring.token, judged
        return True

    async def _a_token(self, auth: TokenAuth) -> Token:
        found = await self._world.tokens.get(
            self._log_in_key(auth), lambda: self._log_in(auth), refused=self._refused
        )
        if found is TOO_FRESH and self._refusal is not None:
            detail = f"{self._refusal.detail}; {TOO_FRESH.detail}"
            raise Refused(msgspec.structs.replace(self._refusal, detail=detail))
        if isinstance(found, Failure):
            raise Refused(found)
        return found

    def _log_in_key(self, auth: TokenAuth) -> tuple[object, ...]:
        """Return what makes two log-ins the same: all that is sent, at a fixed time."""
        key = self._keyring.log_in_key
        if key is None:
            request = self._log_in_order(auth, _NO_TIME).wire
            headers = tuple(sorted(request.headers.items()))
            key = self._target.budget, request.method, request.url, headers, request.body
            self._keyring.log_in_key = key
        return key

    def _log_in_order(self, auth: TokenAuth, moment: Clock) -> Order:
        values = self._keyring.values
        signature = apply(auth.login, values.texts, moment)
        self._keyring.learn(signature)
        drafted = draft(auth.request, self._target, values, moment)
        return Order(
            wire=wire(drafted, signature),
            draft=drafted,
            signature=signature,
            most=_LOG_IN_BYTES,
            is_log_in=True,
        )

    async def _log_in(self, auth: TokenAuth) -> Token | Failure:
        rules = Rules(verdict=_LOG_IN_ACCEPTED, throttling=self._target.definition.throttling)
        try:
            answer = await self._exchanges.ask(self._log_in_order(auth, self._moment))
            clean = self._keyring.redactor.text
            judged = judge(answer, rules, self._world.wall(), clean=clean)
            if isinstance(judged, Failure):
                return _log_in_failure(judged)
            document = judged.document if isinstance(judged, Page) else None
            return read_token(auth, document, self._world.wall())
        except Refused as refused:
            return _log_in_failure(refused.failure)
        except AuthError as error:
            return _log_in_failure(Failure(reason=Reason.SCHEMA, detail=str(error)))


def _log_in_failure(failure: Failure) -> Failure:
    reason = Reason.AUTH if failure.status in _BAD_LOG_IN else failure.reason
    return msgspec.structs.replace(failure, reason=reason, detail=f"log-in: {failure.detail}")

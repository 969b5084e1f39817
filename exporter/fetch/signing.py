"""The signature of one attempt's requests: credentials read, tokens fetched and renewed."""

from http import HTTPStatus

import msgspec

from exporter.fetch.auth import AuthError, Token, apply, read_token
from exporter.fetch.exchanges import Exchanges, Order, Refused, World
from exporter.fetch.request import Signature, Values, draft, wire
from exporter.fetch.telling import Teller
from exporter.fetch.verdict import Judged, Rules, judge
from exporter.kernel.secrets import Secret
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
    """Signs the requests of one attempt at a target; what it learns of secrets the teller knows."""

    def __init__(
        self,
        target: Target,
        world: World,
        teller: Teller,
        exchanges: Exchanges,
        *,
        values: Values,
        moment: Clock,
    ) -> None:
        self.signature: Signature | None = None
        self._target = target
        self._world = world
        self._teller = teller
        self._exchanges = exchanges
        self._moment = moment
        self._several = values.several
        self._texts = dict(values.texts)
        self._token: Token | None = None
        self._renewed = False

    def read_credentials(self) -> None:
        """Read the secrets that the authentication uses. Raises Refused."""
        for name in self._target.auth.needs:
            source = self._target.credentials.get(name)
            if source is None:
                continue
            try:
                secret = self._world.read_secret(source)
            except Exception as error:
                detail = f"the credential {name} cannot be read: {error}"
                raise Refused(Failure(reason=Reason.AUTH, detail=detail)) from error
            self._teller.learn(secret)
            self._texts[f"credentials.{name}"] = secret.reveal()

    async def sign(self) -> Signature:
        """Return the signature, by a log-in where one is needed. Raises Refused, AuthError."""
        if self.signature is None:
            auth = self._target.auth
            if isinstance(auth, TokenAuth):
                self._token = await self._a_token(auth)
                self._teller.learn(Secret(self._token.value))
            text = None if self._token is None else self._token.value
            self.signature = self._told(apply(auth, self._texts, self._moment, text))
        return self.signature

    def renews(self, judged: Judged) -> bool:
        """Tell whether a token that may be old was refused; `sign` then gets another, once."""
        stale = (
            self._token is not None
            and not self._renewed
            and isinstance(judged, Failure)
            and judged.reason is Reason.AUTH
            and judged.status == HTTPStatus.UNAUTHORIZED
        )
        if stale:
            self._renewed = True
            self.signature = None
        return stale

    async def _a_token(self, auth: TokenAuth) -> Token:
        found = await self._world.tokens.get(
            self._log_in_key(auth), lambda: self._log_in(auth), refused=self._token
        )
        if isinstance(found, Failure):
            raise Refused(found)
        return found

    def _log_in_key(self, auth: TokenAuth) -> tuple[object, ...]:
        """Return what makes two log-ins the same: all that is sent, at a fixed time."""
        request = self._log_in_order(auth, _NO_TIME).wire
        headers = tuple(sorted(request.headers.items()))
        return self._target.budget, request.method, request.url, headers, request.body

    def _log_in_order(self, auth: TokenAuth, moment: Clock) -> Order:
        signature = self._told(apply(auth.login, self._texts, moment))
        values = Values(texts=self._texts, several=self._several)
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
            judged = judge(answer, rules, self._world.wall())
            if isinstance(judged, Page):
                return read_token(auth, judged.document, self._world.wall())
        except Refused as refused:
            judged = refused.failure
        except AuthError as error:
            judged = Failure(reason=Reason.SCHEMA, detail=str(error))
        return _log_in_failure(judged)

    def _told(self, signature: Signature) -> Signature:
        """Let the teller know the base64 of user and password."""
        for value in signature.headers.values():
            scheme, _, packed = value.partition(" ")
            if scheme == "Basic":
                self._teller.learn(Secret(packed))
        return signature


def _log_in_failure(judged: Judged) -> Failure:
    if not isinstance(judged, Failure):
        return Failure(reason=Reason.SCHEMA, detail="log-in: the answer holds no token")
    reason = Reason.AUTH if judged.status in _BAD_LOG_IN else judged.reason
    return msgspec.structs.replace(judged, reason=reason, detail=f"log-in: {judged.detail}")

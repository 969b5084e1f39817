"""Tokens: shared, renewed in time, and never asked for in a rush."""

import asyncio

import pytest

from exporter.fetch.authorize import TOO_FRESH, Token, Tokens
from exporter.model.outcome import Failure, Reason

DENIED = Failure(reason=Reason.AUTH, detail="wrong password", status=401)


class LogIns:
    """Answers log-ins with what is laid out, and counts them; also the clock."""

    def __init__(self, *answers: Token | Failure, seconds: float = 0.0) -> None:
        self.answers = list(answers)
        self.count = 0
        self.now = 1000.0
        self.seconds = seconds
        self.tokens = Tokens(lambda: self.now)

    async def log_in(self) -> Token | Failure:
        self.count += 1
        await asyncio.sleep(self.seconds)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def get(self, key: str = "k", refused: Token | None = None) -> Token | Failure:
        return await self.tokens.get(key, self.log_in, refused=refused)


async def test_a_token_is_kept() -> None:
    log_ins = LogIns(Token(value="a"))
    assert await log_ins.get() == await log_ins.get() == Token(value="a")
    assert log_ins.count == 1


async def test_other_log_ins_have_other_tokens() -> None:
    log_ins = LogIns(Token(value="a"), Token(value="b"))
    assert (await log_ins.get("k"), await log_ins.get("l")) == (Token(value="a"), Token(value="b"))


@pytest.mark.looptime
async def test_of_many_that_wait_one_logs_in() -> None:
    log_ins = LogIns(Token(value="a"), seconds=5.0)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(log_ins.get()) for _ in range(20)]
    assert {task.result() for task in tasks} == {Token(value="a")}
    assert log_ins.count == 1


@pytest.mark.looptime
async def test_one_that_is_cancelled_leaves_the_log_in_to_the_next() -> None:
    log_ins = LogIns(Token(value="a"), seconds=5.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await log_ins.get()
    assert await log_ins.get() == Token(value="a")
    assert log_ins.count == 2


async def test_a_token_is_renewed_when_its_time_comes() -> None:
    log_ins = LogIns(Token(value="a", renew_at=1100.0), Token(value="b"))
    log_ins.now = 1099.9
    assert await log_ins.get() == Token(value="a", renew_at=1100.0)
    log_ins.now = 1100.0
    assert await log_ins.get() == Token(value="b")


async def test_a_refused_token_is_renewed_once_it_is_a_minute_old() -> None:
    log_ins = LogIns(Token(value="a"), Token(value="b"))
    token = await log_ins.get()
    assert isinstance(token, Token)
    log_ins.now += 10
    assert await log_ins.get(refused=token) is TOO_FRESH
    assert log_ins.count == 1
    log_ins.now += 50
    assert await log_ins.get(refused=token) == Token(value="b")


async def test_a_token_that_another_poll_renewed_already_is_taken() -> None:
    log_ins = LogIns(Token(value="a"), Token(value="b"))
    old = await log_ins.get()
    assert isinstance(old, Token)
    log_ins.now += 61
    assert await log_ins.get(refused=old) == Token(value="b")
    assert await log_ins.get(refused=old) == Token(value="b")
    assert log_ins.count == 2


async def test_a_failed_log_in_is_not_repeated_for_a_minute() -> None:
    log_ins = LogIns(DENIED, Token(value="a"))
    assert await log_ins.get() == DENIED
    log_ins.now += 20
    held = await log_ins.get()
    assert isinstance(held, Failure)
    assert (held.reason, held.detail, held.wait) == (Reason.AUTH, "wrong password", 40.0)
    assert log_ins.count == 1
    log_ins.now += 40
    assert await log_ins.get() == Token(value="a")


async def test_a_log_in_waits_as_long_as_the_vendor_asks() -> None:
    throttled = Failure(reason=Reason.RATE_LIMITED, detail="slow down", wait=600.0)
    log_ins = LogIns(throttled, Token(value="a"))
    await log_ins.get()
    log_ins.now += 599
    held = await log_ins.get()
    assert isinstance(held, Failure)
    assert held.wait == 1.0
    log_ins.now += 1
    assert await log_ins.get() == Token(value="a")


async def test_a_clock_that_goes_back_holds_no_log_in_for_long() -> None:
    log_ins = LogIns(DENIED, Token(value="a"))
    await log_ins.get()
    log_ins.now -= 10_000
    assert await log_ins.get() == Token(value="a")


async def test_tokens_that_nobody_uses_are_dropped() -> None:
    log_ins = LogIns(Token(value="a"))
    await log_ins.get("old")
    log_ins.now += 90_000
    await log_ins.get("new")
    await log_ins.get("old")
    assert log_ins.count == 3

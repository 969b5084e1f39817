"""Tokens: shared, renewed in time, and never asked for in a rush."""

import asyncio

import pytest

from exporter.fetch.authorize import TOO_FRESH, Token, Tokens
from exporter.model.outcome import Failure, Reason

DENIED = Failure(reason=Reason.AUTH, detail="wrong password", status=401)


class Desk:
    """Answers log-ins with what is laid out, and counts them; also the clock."""

    def __init__(self, *answers: Token | Failure, seconds: float = 0.0) -> None:
        self.answers = list(answers)
        self.log_ins = 0
        self.now = 1000.0
        self.seconds = seconds
        self.tokens = Tokens(lambda: self.now)

    async def log_in(self) -> Token | Failure:
        self.log_ins += 1
        await asyncio.sleep(self.seconds)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def get(self, key: str = "k", refused: Token | None = None) -> Token | Failure:
        return await self.tokens.get(key, self.log_in, refused=refused)


async def test_a_token_is_kept() -> None:
    desk = Desk(Token(value="a"))
    assert await desk.get() == await desk.get() == Token(value="a")
    assert desk.log_ins == 1


async def test_other_log_ins_have_other_tokens() -> None:
    desk = Desk(Token(value="a"), Token(value="b"))
    assert (await desk.get("k"), await desk.get("l")) == (Token(value="a"), Token(value="b"))


@pytest.mark.looptime
async def test_of_many_that_wait_one_logs_in() -> None:
    desk = Desk(Token(value="a"), seconds=5.0)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(desk.get()) for _ in range(20)]
    assert {task.result() for task in tasks} == {Token(value="a")}
    assert desk.log_ins == 1


@pytest.mark.looptime
async def test_one_that_is_cancelled_leaves_the_log_in_to_the_next() -> None:
    desk = Desk(Token(value="a"), seconds=5.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await desk.get()
    assert await desk.get() == Token(value="a")
    assert desk.log_ins == 2


async def test_a_token_is_renewed_when_its_time_comes() -> None:
    desk = Desk(Token(value="a", renew_at=1100.0), Token(value="b"))
    desk.now = 1099.9
    assert await desk.get() == Token(value="a", renew_at=1100.0)
    desk.now = 1100.0
    assert await desk.get() == Token(value="b")


async def test_a_refused_token_is_renewed_once_it_is_a_minute_old() -> None:
    desk = Desk(Token(value="a"), Token(value="b"))
    token = await desk.get()
    assert isinstance(token, Token)
    desk.now += 10
    assert await desk.get(refused=token) is TOO_FRESH
    assert desk.log_ins == 1
    desk.now += 50
    assert await desk.get(refused=token) == Token(value="b")


async def test_a_token_that_another_poll_renewed_already_is_taken() -> None:
    desk = Desk(Token(value="a"), Token(value="b"))
    old = await desk.get()
    assert isinstance(old, Token)
    desk.now += 61
    assert await desk.get(refused=old) == Token(value="b")
    assert await desk.get(refused=old) == Token(value="b")
    assert desk.log_ins == 2


async def test_a_failed_log_in_is_not_repeated_for_a_minute() -> None:
    desk = Desk(DENIED, Token(value="a"))
    assert await desk.get() == DENIED
    desk.now += 20
    held = await desk.get()
    assert isinstance(held, Failure)
    assert (held.reason, held.detail, held.wait) == (Reason.AUTH, "wrong password", 40.0)
    assert desk.log_ins == 1
    desk.now += 40
    assert await desk.get() == Token(value="a")


async def test_a_log_in_waits_as_long_as_the_vendor_asks() -> None:
    throttled = Failure(reason=Reason.RATE_LIMITED, detail="slow down", wait=600.0)
    desk = Desk(throttled, Token(value="a"))
    await desk.get()
    desk.now += 599
    held = await desk.get()
    assert isinstance(held, Failure)
    assert held.wait == 1.0
    desk.now += 1
    assert await desk.get() == Token(value="a")


async def test_a_clock_that_goes_back_holds_no_log_in_for_long() -> None:
    desk = Desk(DENIED, Token(value="a"))
    await desk.get()
    desk.now -= 10_000
    assert await desk.get() == Token(value="a")


async def test_tokens_that_nobody_uses_are_dropped() -> None:
    desk = Desk(Token(value="a"))
    await desk.get("old")
    desk.now += 90_000
    await desk.get("new")
    await desk.get("old")
    assert desk.log_ins == 3

"""Whatever a body holds, inflating it ends in bytes or in a refusal."""

import contextlib
import gzip

from hypothesis import given
from hypothesis import strategies as st

from exporter.fetch.errors import InflateError
from exporter.fetch.transport import inflate


@given(st.binary(), st.sampled_from(["gzip", "deflate", "", "br"]))
def test_no_bytes_do_worse_than_a_refusal(body: bytes, encoding: str) -> None:
    with contextlib.suppress(InflateError):
        assert isinstance(b"".join(inflate(body, encoding)), bytes)


@given(st.binary(min_size=1), st.data())
def test_a_cut_body_is_never_taken_for_a_whole_one(text: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(text)
    cut = packed[: data.draw(st.integers(1, len(packed) - 1))]
    got: list[bytes] = []
    with contextlib.suppress(InflateError):
        got.extend(inflate(cut, "gzip"))
        raise AssertionError(got)

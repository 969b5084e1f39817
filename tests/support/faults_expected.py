"""What each way of breaking must be called, wherever in an answer of several pages it happens.

None: it breaks nothing, the poll succeeds.
"""

from exporter.model.outcome import Reason

EXPECTED: dict[str, Reason | None] = {
    # throttling, in every dialect
    "429_seconds": Reason.RATE_LIMITED,
    "429_float": Reason.RATE_LIMITED,
    "429_ms": Reason.RATE_LIMITED,
    "429_http_date": Reason.RATE_LIMITED,
    "429_odd_date": Reason.RATE_LIMITED,
    "429_zero": Reason.RATE_LIMITED,
    "429_negative": Reason.RATE_LIMITED,
    "429_junk": Reason.RATE_LIMITED,
    "429_huge": Reason.RATE_LIMITED,
    "429_twice": Reason.RATE_LIMITED,
    "429_bare": Reason.RATE_LIMITED,
    "429_reset_epoch": Reason.RATE_LIMITED,
    "429_reset_ms": Reason.RATE_LIMITED,
    "429_reset_delta": Reason.RATE_LIMITED,
    "429_reset_iso": Reason.RATE_LIMITED,
    "429_ietf": Reason.RATE_LIMITED,
    "429_html": Reason.RATE_LIMITED,
    "503_retry_after": Reason.HTTP_5XX,
    "403_used_up": Reason.FORBIDDEN,  # a definition may say that it is throttling
    "200_retry_after": None,
    "200_used_up": None,
    # errors
    "401": Reason.AUTH,
    "403": Reason.FORBIDDEN,
    "404": Reason.HTTP_4XX,
    "500": Reason.HTTP_5XX,
    "502_empty": Reason.HTTP_5XX,
    "204": Reason.SCHEMA,
    "304_unasked": Reason.HTTP_4XX,
    "redirect_elsewhere": Reason.HTTP_4XX,
    "redirect_in_a_circle": Reason.HTTP_4XX,
    # bodies
    "html_at_200": Reason.NOT_JSON,
    "empty_body": Reason.NOT_JSON,
    "wrong_content_type": None,
    "cut_json": Reason.NOT_JSON,
    "trailing_bytes": Reason.NOT_JSON,
    "too_big_a_number": Reason.NOT_JSON,
    "nan": Reason.NOT_JSON,
    "null": Reason.SCHEMA,
    "a_list": Reason.SCHEMA,
    "a_number": Reason.SCHEMA,
    "deep": Reason.NOT_JSON,
    "bad_utf8": Reason.NOT_JSON,
    "bad_gzip": Reason.NOT_JSON,
    "not_gzip": Reason.NOT_JSON,
    "gzip_bomb": Reason.TOO_LARGE,
    "large": Reason.TOO_LARGE,
    "renamed_keys": Reason.SCHEMA,
    "words_for_numbers": Reason.SCHEMA,
    # paging
    "next_is_itself": Reason.PAGING,
    "next_elsewhere": Reason.PAGING,
    "next_is_a_file": Reason.PAGING,
    # the wire
    "cut_short": Reason.CONNECT,
    "reset_midway": Reason.CONNECT,
    "reset_at_once": Reason.CONNECT,
    "close_at_once": Reason.CONNECT,
    "never_answers": Reason.TIMEOUT,
    "stops_after_headers": Reason.TIMEOUT,
    "drips": Reason.TIMEOUT,
    "stale_connection": None,
    "header_drips": Reason.TIMEOUT,
    "length_too_small": Reason.CONNECT,
    "early_hints": None,
    "old_http": None,
    "not_http": Reason.CONNECT,
    "endless_header": Reason.CONNECT,
}

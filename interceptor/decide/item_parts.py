"""What items hold: requests as people write them, and URLs among the arguments of a tool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from interceptor.verdict import Reason
from interceptor.wire.fields import HttpError
from interceptor.wire.http1 import Framing, RequestHead, read_request
from interceptor.wire.http1_body import BodyReader

_URL_SCHEMES: Final = ("http:", "https:", "ws:", "wss:")


def written_request(text: bytes) -> bytes:
    """Return a request that a person wrote, with LF alone and without an end, as a client sends it.

    What holds a CR is left as it is.
    """
    if b"\r" in text:
        return text
    head, _, body = text.lstrip(b"\n").partition(b"\n\n")
    return head.rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n" + body


def take_body(
    head: RequestHead, data: bytes, limit: int
) -> tuple[bytes, list[tuple[bytes, bytes]], bytes, bool]:
    """Take the body of a request off `data`: (body, trailers, what follows, whether it is whole).

    Whoever writes a request down may leave Content-Length out; what follows and is no request is
    its body then.
    """
    if head.framing is Framing.NONE:
        if not data.strip(b"\r\n") or _begins_request(data, limit):
            return b"", [], data, True
        return data, [], b"", True
    reader = BodyReader(head.framing, head.length, Reason.HTTP_MALFORMED)
    body = reader.feed(data)
    trailers = [(lower, value) for _, lower, value in reader.trailers]
    return body, trailers, reader.rest, reader.done


def _begins_request(data: bytes, limit: int) -> bool:
    try:
        return read_request(data, limit, limit) is not None
    except HttpError:
        return False


def addressed(content: bytes) -> Iterator[bytes]:
    """Give the URLs that stand in a tool call's arguments as values of their own, each once.

    Raises:
        HttpError: INCOMPLETE, JSON that is nested too deeply.
    """
    if b":" not in content:
        return
    try:
        values = [msgspec.json.decode(content)]
    except msgspec.DecodeError:
        values = [content.decode("utf-8", "replace")]
    except RecursionError:
        raise HttpError(Reason.INCOMPLETE, "JSON that is nested too deeply") from None
    seen: set[str] = set()
    while values:
        value: Any = values.pop()
        if isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list):
            values += value
        elif isinstance(value, str):
            text = value.lstrip()
            if text[:6].lower().startswith(_URL_SCHEMES) and text not in seen:
                seen.add(text)
                yield text.split(maxsplit=1)[0].encode("utf-8", "surrogatepass")

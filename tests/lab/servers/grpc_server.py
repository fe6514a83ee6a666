"""A gRPC server with real grpcio: all four kinds of call, messages as bytes, no protoc.

    python grpc_server.py KEY CERTIFICATE ADDRESS...

Listens on 443 with TLS, on 80 and 50051 without. Service `lab.Echo`; a message `word*3` is answered
three times by the streaming calls. Each call and message is a line of JSON on standard output.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc


def note(**values: object) -> None:
    """Write one line of the log at once."""
    print(json.dumps(values), flush=True)


def begin(kind: str, context: Any) -> None:
    """Log a call and send metadata back."""
    metadata = [(key, str(value)) for key, value in context.invocation_metadata()]
    note(call=kind, metadata=metadata)
    context.send_initial_metadata((("lab-kind", kind),))
    context.set_trailing_metadata((("lab-sent", str(time.monotonic())),))


def taken(message: bytes) -> str:
    """Log a message; its text."""
    text = message.decode("latin-1")
    note(message=text)
    return text


def unary(message: bytes, context: Any) -> bytes:
    """One message, one answer; `fail` is answered with a status."""
    begin("unary", context)
    text = taken(message)
    if text == "fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as you wish: 100% ü")
    return f"echo:{text}".encode("latin-1")


def client_stream(messages: Iterator[bytes], context: Any) -> bytes:
    """Many messages, one answer."""
    begin("client_stream", context)
    return "+".join(taken(message) for message in messages).encode("latin-1")


def server_stream(message: bytes, context: Any) -> Iterator[bytes]:
    """One message, many answers."""
    begin("server_stream", context)
    word, _, count = taken(message).partition("*")
    for number in range(int(count or 1)):
        if number:
            time.sleep(0.25)
        yield f"{word}{number}@{time.monotonic()}".encode("latin-1")


def bidi(messages: Iterator[bytes], context: Any) -> Iterator[bytes]:
    """Each message is answered before the next one is sent."""
    begin("bidi", context)
    for message in messages:
        yield f"echo:{taken(message)}".encode("latin-1")


def main() -> None:
    """Serve until killed."""
    key, certificate, *addresses = sys.argv[1:]
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    }
    server = grpc.server(
        futures.ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", 64 << 20)]
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lab.Echo", handlers),))
    pair = (Path(key).read_bytes(), Path(certificate).read_bytes())
    secure = grpc.ssl_server_credentials([pair])
    for address in addresses:
        place = f"[{address}]" if ":" in address else address
        server.add_secure_port(f"{place}:443", secure)
        server.add_insecure_port(f"{place}:80")
        server.add_insecure_port(f"{place}:50051")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()

"""gRPC calls with grpcio: `grpc_calls.py TARGET PLAN`, TARGET such as grpc.example.com:443.

PLAN is JSON: `{"calls": [{"kind", "messages", "metadata"}], "compress": false, "secure": true}`.
Prints a JSON list: answers, status, metadata, and for each answer when it came (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import grpc

SERVICE = "/lab.Echo/"


def call(channel: Any, plan: dict[str, Any], compression: Any) -> dict[str, Any]:
    """One call of any kind."""
    messages = [text.encode("latin-1") for text in plan["messages"]]
    options = {
        "metadata": [tuple(pair) for pair in plan.get("metadata", [])],
        "timeout": plan.get("timeout", 20),
        "compression": compression,
    }
    answers: list[str] = []
    arrived: list[float] = []

    def take(answer: bytes) -> None:
        answers.append(answer.decode("latin-1"))
        arrived.append(time.monotonic())

    def in_turn() -> Iterator[bytes]:
        """Each message only when the one before was answered."""
        for number, message in enumerate(messages):
            end = time.monotonic() + 10
            while len(answers) < number and time.monotonic() < end:
                time.sleep(0.005)
            yield message

    found: dict[str, Any] = {"answers": answers, "arrived": arrived}
    try:
        match plan["kind"]:
            case "unary":
                answer, under_way = channel.unary_unary(SERVICE + "Unary").with_call(
                    messages[0], **options
                )
                take(answer)
            case "client_stream":
                answer, under_way = channel.stream_unary(SERVICE + "ClientStream").with_call(
                    iter(messages), **options
                )
                take(answer)
            case "server_stream":
                under_way = channel.unary_stream(SERVICE + "ServerStream")(messages[0], **options)
                for answer in under_way:
                    take(answer)
            case "bidi":
                under_way = channel.stream_stream(SERVICE + "Bidi")(in_turn(), **options)
                for answer in under_way:
                    take(answer)
            case other:
                raise SystemExit(f"unknown kind {other}")
        found["initial"] = dict(under_way.initial_metadata())
        found["trailing"] = sorted(dict(under_way.trailing_metadata()))
        found["code"] = "OK"
    except grpc.RpcError as error:
        found["code"] = error.code().name
        found["details"] = error.details()
    return found


def main() -> None:
    """Run the plan and print."""
    target, text = sys.argv[1:]
    plan = json.loads(text)
    if plan.get("secure", True):
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials())
    else:
        channel = grpc.insecure_channel(target)
    compression = grpc.Compression.Gzip if plan.get("compress") else grpc.Compression.NoCompression
    with channel:
        print(json.dumps([call(channel, step, compression) for step in plan["calls"]]))


if __name__ == "__main__":
    main()

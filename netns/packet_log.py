"""What the kernel logs of the packets that the rules of a namespace show: nfnetlink_log, as bytes.

The socket is opened and bound inside the namespace, which takes CAP_NET_ADMIN there; whoever has
its descriptor then reads without any right, from anywhere. Numbers are those of
linux/netfilter/nfnetlink_log.h and nfnetlink.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from netns.nft import LOG_BYTES, LOG_GROUP

_NETLINK_NETFILTER: Final = 12
_SOL_NETLINK: Final = 270
_NO_ENOBUFS: Final = 5  # netlink(7): what there is no room for is left out without an error
_PACKET: Final = 0x0400  # NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET
_CONFIG: Final = 0x0401  # NFULNL_MSG_CONFIG
_ERROR: Final = 2  # NLMSG_ERROR
_REQUEST: Final = 0x5  # NLM_F_REQUEST, NLM_F_ACK
_PAYLOAD: Final = 9  # NFULA_PAYLOAD
_TYPE: Final = 0x3FFF  # NLA_TYPE_MASK
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct nlattr
_GENERAL: Final = 4  # struct nfgenmsg
LARGEST: Final = 65_536
"""Bytes of one datagram, at most."""


def open_log() -> socket.socket:
    """Bind to the log group in the network namespace of this process; not blocking.

    Raises:
        OSError: the kernel logs nothing, somebody has the group (EBUSY), or rights are missing.
    """
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK,
                         _NETLINK_NETFILTER)  # fmt: skip
    try:
        made.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)
        made.bind((0, 0))
        for kind, value in (
            (1, b"\1"),  # NFULA_CFG_CMD, NFULNL_CFG_CMD_BIND
            (2, struct.pack("!IBx", LOG_BYTES, 2)),  # NFULA_CFG_MODE, NFULNL_COPY_PACKET
            (5, struct.pack("!I", 1)),  # NFULA_CFG_QTHRESH: each packet at once
        ):
            _configure(made, kind, value)
    except BaseException:
        made.close()
        raise
    return made


def _configure(log: socket.socket, kind: int, value: bytes) -> None:
    attribute = _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)
    body = struct.pack("!BBH", 0, 0, LOG_GROUP) + attribute
    log.send(_HEADER.pack(16 + len(body), _CONFIG, _REQUEST, 0, 0) + body)
    while True:  # the kernel answers within the call; packets may be before it
        data = log.recv(LARGEST)
        if _HEADER.unpack_from(data)[1] == _ERROR:
            (number,) = struct.unpack_from("=i", data, 16)
            if number:
                raise OSError(-number, f"packet log: {os.strerror(-number)}")
            return


def packets(datagram: bytes) -> Iterator[bytes]:
    """IP packets, from their IP headers on, of one datagram that was read from the socket.

    Never raises: what is malformed ends it, for only the kernel can have sent it.
    """
    at = 0
    while at + 16 <= len(datagram):
        size, kind, *_ = _HEADER.unpack_from(datagram, at)
        if size < 16 or at + size > len(datagram):
            return
        if kind == _PACKET:
            found = _payload(datagram[at + 16 + _GENERAL : at + size])
            if found:
                yield found
        at += size + -size % 4


def _payload(attributes: bytes) -> bytes:
    at = 0
    while at + 4 <= len(attributes):
        size, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if size < 4 or at + size > len(attributes):
            break
        if kind & _TYPE == _PAYLOAD:
            return attributes[at + 4 : at + size]
        at += size + -size % 4
    return b""

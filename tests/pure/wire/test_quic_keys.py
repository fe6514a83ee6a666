"""Keys and protection of Initial packets, against the vectors of the RFCs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.wire.quic import DRAFT_29, V1, V2, QuicError, packets
from interceptor.wire.quic_frames import HelloStream
from interceptor.wire.quic_keys import client_keys, payload
from tests.quic_packets import DCID, crypto, hello, long_packet, opening

# RFC 9001 appendix A.2: the client's Initial packet.
PACKET = bytes.fromhex(
    """
    c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11
    d242b123dc9bd8bab936b47d92ec356c0bab7df5976d27cd449f63300099f399
    1c260ec4c60d17b31f8429157bb35a1282a643a8d2262cad67500cadb8e7378c
    8eb7539ec4d4905fed1bee1fc8aafba17c750e2c7ace01e6005f80fcb7df6212
    30c83711b39343fa028cea7f7fb5ff89eac2308249a02252155e2347b63d58c5
    457afd84d05dfffdb20392844ae812154682e9cf012f9021a6f0be17ddd0c208
    4dce25ff9b06cde535d0f920a2db1bf362c23e596d11a4f5a6cf3948838a3aec
    4e15daf8500a6ef69ec4e3feb6b1d98e610ac8b7ec3faf6ad760b7bad1db4ba3
    485e8a94dc250ae3fdb41ed15fb6a8e5eba0fc3dd60bc8e30c5c4287e53805db
    059ae0648db2f64264ed5e39be2e20d82df566da8dd5998ccabdae053060ae6c
    7b4378e846d29f37ed7b4ea9ec5d82e7961b7f25a9323851f681d582363aa5f8
    9937f5a67258bf63ad6f1a0b1d96dbd4faddfcefc5266ba6611722395c906556
    be52afe3f565636ad1b17d508b73d8743eeb524be22b3dcbc2c7468d54119c74
    68449a13d8e3b95811a198f3491de3e7fe942b330407abf82a4ed7c1b311663a
    c69890f4157015853d91e923037c227a33cdd5ec281ca3f79c44546b9d90ca00
    f064c99e3dd97911d39fe9c5d0b23a229a234cb36186c4819e8b9c5927726632
    291d6a418211cc2962e20fe47feb3edf330f2c603a9d48c0fcb5699dbfe58964
    25c5bac4aee82e57a85aaf4e2513e4f05796b07ba2ee47d80506f8d2c25e50fd
    14de71e6c418559302f939b0e1abd576f279c4b2e0feb85c1f28ff18f58891ff
    ef132eef2fa09346aee33c28eb130ff28f5b766953334113211996d20011a198
    e3fc433f9f2541010ae17c1bf202580f6047472fb36857fe843b19f5984009dd
    c324044e847a4f4a0ab34f719595de37252d6235365e9b84392b061085349d73
    203a4a13e96f5432ec0fd4a1ee65accdd5e3904df54c1da510b0ff20dcc0c77f
    cb2c0e0eb605cb0504db87632cf3d8b4dae6e705769d1de354270123cb11450e
    fc60ac47683d7b8d0f811365565fd98c4c8eb936bcab8d069fc33bd801b03ade
    a2e1fbc5aa463d08ca19896d2bf59a071b851e6c239052172f296bfb5e724047
    90a2181014f3b94a4e97d117b438130368cc39dbb2d198065ae3986547926cd2
    162f40a29f0c3c8745c0f50fba3852e566d44575c29d39a03f0cda721984b6f4
    40591f355e12d439ff150aab7613499dbd49adabc8676eef023b15b65bfc5ca0
    6948109f23f350db82123535eb8a7433bdabcb909271a6ecbcb58b936a88cd4e
    8f2e6ff5800175f113253d8fa9ca8885c2f552e657dc603f252e1a8e308f76f0
    be79e2fb8f5d5fbbe2e30ecadd220723c8c0aea8078cdfcb3868263ff8f09400
    54da48781893a7e49ad5aff4af300cd804a6b6279ab3ff3afb64491c85194aab
    760d58a606654f9f4400e8b38591356fbf6425aca26dc85244259ff2b19c41b9
    f96f3ca9ec1dde434da7d2d392b905ddf3d1f9af93d1af5950bd493f5aa731b4
    056df31bd267b6b90a079831aaf579be0a39013137aac6d404f518cfd4684064
    7e78bfe706ca4cf5e9c5453e9f7cfd2b8b4c8d169a44e55c88d4a9a7f9474241
    e221af44860018ab0856972e194cd934
    """
)
FRAMES = bytes.fromhex(
    """
    060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868
    04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578
    616d706c652e636f6dff01000100000a00080006001d00170018001000070005
    04616c706e000500050100000000003300260024001d00209370b2c9caa47fba
    baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400
    0d0010000e0403050306030203080408050806002d00020101001c0002400100
    3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000
    75300901100f088394c8f03e51570806048000ffff
    """
)


@pytest.mark.parametrize(
    ("version", "key", "iv", "hp"),
    [
        (  # RFC 9001 appendix A.1
            V1,
            "1f369613dd76d5467730efcbe3b1a22d",
            "fa044b2f42a3fd3b46fb255c",
            "9f50449e04a0e810283a1e9933adedd2",
        ),
        (  # RFC 9369 appendix A.1
            V2,
            "8b1a0bc121284290a29e0971b5cd045d",
            "91f73e2351d8fa91660e909f",
            "45b95e15235d6f45a6b19cbcb0294ba9",
        ),
        (  # draft-ietf-quic-tls-29 appendix A.1
            DRAFT_29,
            "175257a31eb09dea9366d8bb79ad80ba",
            "6b26114b9cba2b63a9e8dd4f",
            "9ddd12c994c0698b89374a9c077a3077",
        ),
    ],
    ids=["v1", "v2", "draft-29"],
)
def test_keys(version: int, key: str, iv: str, hp: str) -> None:
    keys = client_keys(version, DCID)
    assert (keys.key.hex(), keys.iv.hex(), keys.hp.hex()) == (key, iv, hp)


def test_the_packet_of_the_rfc() -> None:
    (packet,) = packets(PACKET)
    frames = payload(PACKET, packet, client_keys(packet.version, packet.dcid))
    assert frames[: len(FRAMES)] == FRAMES
    assert frames[len(FRAMES) :].strip(b"\0") == b""
    stream = HelloStream()
    stream.feed(frames)
    found = stream.hello()
    assert found is not None
    assert (found.server_name, found.alpn) == ("example.com", ("alpn",))


def test_the_builder_of_the_other_tests_makes_the_packet_of_the_rfc() -> None:
    made = long_packet(FRAMES, scid=b"", number=2, number_size=4, size=1200)
    assert made == PACKET


@pytest.mark.parametrize("version", [V1, V2, DRAFT_29])
@pytest.mark.parametrize("number_size", [1, 2, 3, 4])
@pytest.mark.parametrize("dcid", [b"", DCID, b"d" * 20])
def test_what_was_sealed_is_opened(version: int, number_size: int, dcid: bytes) -> None:
    frames = crypto(hello())
    number = (1 << 8 * number_size) - 2
    data = b"".join(
        (
            long_packet(frames, version=version, number=number, number_size=number_size, dcid=dcid),
            long_packet(b"\1" * 20, version=version, number=1, dcid=dcid),
        )
    )
    keys = client_keys(version, dcid)
    assert [payload(data, packet, keys) for packet in packets(data)] == [frames, b"\1" * 20]


def test_reserved_bits_are_an_error() -> None:
    data = long_packet(crypto(hello()), reserved=1)
    with pytest.raises(QuicError, match="reserved"):
        payload(data, packets(data)[0], client_keys(V1, DCID))


def test_a_packet_without_room_for_a_sample_is_an_error() -> None:
    data = long_packet(b"\1" * 4)
    (packet,) = packets(data)
    short = data[: packet.number - 2] + b"\x40\x13" + data[packet.number : packet.number + 19]
    with pytest.raises(QuicError, match="too short"):
        payload(short, packets(short)[0], client_keys(V1, DCID))


@given(st.integers(0, 1199), st.integers(1, 255))
def test_whatever_was_changed_is_an_error(at: int, change: int) -> None:
    data = bytearray(opening())
    data[at] ^= change
    try:
        (packet,) = packets(bytes(data))
        frames = payload(bytes(data), packet, client_keys(V1, packet.dcid))
    except (QuicError, KeyError):  # KeyError: of a version that has no keys
        return
    pytest.fail(f"{len(frames)} bytes were opened")

"""Which names say that a value is a secret, and which values are worth looking for.

A value that is short or ordinary would be met everywhere; guarding it would only stop work. What
is not guarded gets a reason in plain words, which the run prints.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from interceptor.scan.validators import entropy_of

_Fits = Callable[[bytes], bool]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHORTEST: Final = 8
LONGEST: Final = 65_536

_SECRET_WORDS: Final = _words(
    "key keys apikey apikeys token tokens authtoken secret secrets pass passwd password passwords "
    "passphrase pwd pw credential credentials cred creds auth authorization bearer dsn cookie "
    "cookies private pat jwt sas salt pepper signature webhook otp pin mnemonic secretkey "
    "privatekey accesskey accesstoken oauth pgpassword mysqlpwd sessiontoken"
)
_PLAIN_ENDS: Final = _words(
    "file files path dir directory url uri host hostname port name user username id ids type mode "
    "algorithm alg ttl expiry expires expiration timeout size length count limit max min enabled "
    "disabled version provider method endpoint region scope scopes audience issuer header prefix "
    "fingerprint parallelism sock socket command cmd helper bindir store storage backend env "
    "rotation interval layout board map mapping repeat ring server domain realm format"
)
_PLAIN_WORDS: Final = frozenset(("public", "max", "min", "num", "disable", "enable", "use"))
_PLAIN_NAMES: Final = _words(
    "pwd oldpwd gpg_key ssh_auth_sock xauthority sshkey_algorithms public_key"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")

_NUMBER = re.compile(rb"[+-]?[0-9][0-9_,]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?[a-zA-Z%]{0,2}\Z")
_HEX_NUMBER = re.compile(rb"0x[0-9a-fA-F]{1,16}\Z")
_VERSION = re.compile(rb"[vV]?[0-9]{1,5}(?:\.[0-9]{1,5}){1,4}(?:[-+.~][0-9A-Za-z.]{1,20})?\Z")
_DATE = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.]{5,15}(?:Z|[+-][0-9:]{2,6})?)?\Z")
_MAIL = re.compile(rb"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}\Z")
_HOST = re.compile(
    rb"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,18}\.?(?::[0-9]{1,5})?\Z"
)
_LOCALE = re.compile(rb"[a-z]{2,3}_[A-Z]{2}(?:[.@][A-Za-z0-9@-]{1,20})?\Z|C\.[A-Za-z0-9-]{1,8}\Z")
_ADDRESS = re.compile(
    rb"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[?(?=[^:]*:[^:]*:)[0-9a-fA-F:.]{3,45}\]?)"
    rb"(?::[0-9]{1,5}|/[0-9]{1,3})?\Z"
)
_URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]{1,20}://")
_PATH = re.compile(rb"(?:~|\.{0,2})/|[A-Za-z]:[\\/]|\$HOME|%[A-Za-z]{3,20}%")
_REFERENCE = re.compile(
    rb"\$\{[^}]{1,100}\}|\$\(|\$[A-Za-z_]\w{0,60}\Z|\{\{.{1,100}\}\}|<[A-Za-z][\w -]{0,60}>\Z"
    rb"|%\([a-z_]{1,40}\)s|(?:op|vault|aws|gcp|azure|keychain|env|file|secretref)(?:://|:)",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    rb"example|placeholder|change[_ -]?me|change[_ -]?this|redacted|your[_ -]|insert[_ -]"
    rb"|[_ -]here\b|dummy|sample|replace|(?:^|[_-])(?:fake|test|todo|none|null|nil|undefined)"
    rb"(?:$|[_-])|x{5}|0{6}|\*{3}|\.{3}|12345678|87654321|abcdefgh|qwerty|not[_ -]set|unset",
    re.IGNORECASE,
)
_BOOLEANS: Final = frozenset(
    b"true false yes no on off enabled disabled always never required optional default auto "
    b"automatic manual inherit".split()
)
_WEAK: Final = frozenset(
    b"password passw passwd passphrase postgres postgresql mysql mariadb mongo mongodb redis root "
    b"admin administrator guest user secret supersecret topsecret mysecret letmein welcome hunter "
    b"development production staging testing minio rabbitmq elastic kibana grafana toor pass "
    b"mypassword mysecretpassword yourpassword password1 changeit master keycloak oracle sa".split()
)

_LEET: Final = bytes.maketrans(b"013457@$", b"olieasas")

# Pairs of letters that make up 93 % of English words (counted over the words of the documentation
# on a Debian machine): first letter, and what follows it.
_PAIRS: Final = {
    first: frozenset(rest)
    for first, rest in (
        row.split(":")
        for row in _words(
            "a:bcdfgiklmnprstuvwy b:aeilorsu c:acehiklorstu d:adeilorsu "
            "e:abcdefgilmnopqrstvwxy f:aefilorstu g:aehilnorsu h:aeiort i:abcdefglmnoprstvxz "
            "k:aeis l:adeilostuy m:abeilmopsu n:acdefgiklnostuv o:abcdfgiklmnoprstuvw "
            "p:aehiloprstuy q:u r:acdefgiklmnoprstuy s:acehiklmopstuy t:acdefhilmoprstuy "
            "u:abcdefgilmnprst v:aeio w:aeio x:ept y:ps z:e"
        )
    )
}
_RUNS = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+")


def says_secret(name: str) -> bool:
    """Say whether the name of a variable or key promises a secret: `OPENAI_API_KEY`, `authToken`.

    Names that describe one, such as `KEY_FILE` or `TOKEN_TTL`, do not.
    """
    if name.lower() in _PLAIN_NAMES:
        return False
    words = [word.lower() for word in _CAMEL.split(name) if word]
    if not words or words[-1].rstrip("0123456789") in _PLAIN_ENDS or _PLAIN_WORDS & set(words):
        return False
    for word in words:
        if word in _SECRET_WORDS or word.rstrip("0123456789") in _SECRET_WORDS:
            return True
    joined = "".join(words)
    return joined.endswith(("password", "passwd", "secret", "apikey", "token", "secretkey"))


def worth(value: bytes, name: str = "") -> str:
    """Say why `value` is not guarded, in a few words; empty if it is.

    Args:
        value: the secret, without what surrounds it.
        name: of its variable or key, which it may not simply repeat.
    """
    value = value.strip()
    if not value:
        return "empty"
    if len(value) < SHORTEST:
        return "too short"
    if len(value) > LONGEST:
        return "too long"
    for reason, fits in _REASONS:
        if fits(value):
            return reason
    if name and value.lower() in {name.lower().encode(), name.lower().replace("_", "-").encode()}:
        return "placeholder"
    return ""


def looks_random(value: bytes) -> bool:
    """Say whether a value looks like a key even without a name that says so."""
    return (
        20 <= len(value) <= 512
        and value.isascii()
        and b" " not in value
        and _kinds(value) == 3
        and entropy_of(value) >= 3.5
        and not _wordy(value)
        and not worth(value)
    )


def _kinds(value: bytes) -> int:
    """Count which of digits, capitals and small letters there are."""
    return sum(
        any(low <= byte <= high for byte in value) for low, high in ((48, 57), (65, 90), (97, 122))
    )


def _number(value: bytes) -> bool:
    digits = sum(48 <= byte <= 57 for byte in value)
    plain = _NUMBER.match(value) and digits < 16
    return bool(plain or _HEX_NUMBER.match(value) or _DATE.match(value))


def _boolean(value: bytes) -> bool:
    return value.lower() in _BOOLEANS


def _path(value: bytes) -> bool:
    if not _PATH.match(value):
        return False
    # Base64 may begin with a slash; no path is that varied and has no dot, dash or underscore.
    random = _kinds(value) == 3 and len(value) >= 24 and not set(value) & set(b"._-~: ")
    return not (random and not _wordy(value))


def _url(value: bytes) -> bool:
    """A URL; what is secret in one is taken out before."""
    return bool(_URL.match(value)) and b"@" not in value and b"?" not in value


def _placeholder(value: bytes) -> bool:
    return bool(_PLACEHOLDER.search(value) or _REFERENCE.match(value))


def _low_entropy(value: bytes) -> bool:
    return len(set(value)) < 5 or entropy_of(value) < 2.0


def _word(value: bytes) -> bool:
    """Words, alone or joined, and at most a short number behind them."""
    core = value.rstrip(b"0123456789!.?_-#$@%&*+=")
    if {core.lower(), value.lower(), value.lower().translate(_LEET).rstrip(b"!")} & _WEAK:
        return True
    tail = value[len(core) :]
    digits, marks = tail.strip(b"!.?_-#$@%&*+="), tail.strip(b"0123456789._-")
    if not core or len(tail) > 5 or (digits and marks):  # a password by the book
        return False
    letters = sum(map(len, _RUNS.findall(core)))
    others = sum(byte not in b" -_./:" for byte in core) - letters
    return others <= 0 and _wordy(value)


def _wordy(value: bytes) -> bool:
    """Say whether the letters follow each other as in English.

    Of words in lower case or CamelCase, alone or joined, 97 % do; of eight letters drawn at random
    3.5 %, of sixteen 0.7 %.
    """
    runs = [run.lower().decode("ascii") for run in _RUNS.findall(value)]
    pairs = [run[i : i + 2] for run in runs for i in range(len(run) - 1)]
    # Capitals at random make many short runs.
    if len(pairs) < max(3, 2 * len(runs)):
        return False
    return sum(second in _PAIRS.get(first, ()) for first, second in pairs) >= 0.75 * len(pairs)


def _matched(pattern: re.Pattern[bytes]) -> _Fits:
    return lambda value: bool(pattern.match(value))


_REASONS: Final[tuple[tuple[str, _Fits], ...]] = (
    ("boolean", _boolean),
    ("number", _number),
    ("version", _matched(_VERSION)),
    ("placeholder", _placeholder),
    ("locale", _matched(_LOCALE)),
    ("e-mail address", _matched(_MAIL)),
    ("host name", _matched(_HOST)),
    ("address", _matched(_ADDRESS)),
    ("path", _path),
    ("URL without a password", _url),
    ("low entropy", _low_entropy),
    ("dictionary word", _word),
)

r"""Words that an injection can hardly do without, in the forms that encodings give them.

A gate that looks for `[A-Za-z0-9+/]{40}` fires on every picture and digest. These fire where an
encoded text holds one of the words, which is one of three strings in base64, five in base32, one in
hexadecimal, however it is grouped.
"""

from __future__ import annotations

from base64 import b32encode, b64encode
from typing import Final

from interceptor.scan.mirror import ROT13

WORDS: Final = (
    *("ignore", "disregard", "previous", "instruction", "override", "prompt", "system"),
    *("password", "secret", "credential", "assistant", "reveal", "forget", "conversation"),
)
"""Words of six letters and more, in lower case."""
_CORE: Final = WORDS[:8]
_MORE: Final = (
    *("upload", "forward", "contents", "without", "execute", "https", "database", "customer"),
    *("private", "wallet", "transfer", "environment", "personal", "agents", "answer", "remember"),
)
"""Words that are told by their coded forms, yet too common in halves: `for ward`."""
_CODED: Final = (*WORDS, *_MORE)
_COMMON: Final = ("the", "your", "you", "and", "from", "with", "this", "that", "user", "send")
"""Words that hardly an English sentence does without, with a blank at either end."""
_BLANKED: Final = tuple(f" {word} " for word in _COMMON)
_SPACED: Final = (*_CODED, "send", "user", "upload", "developer", "unrestricted")
LEET: Final = {
    "a": "4@",
    "b": "8",
    "e": "3",
    "g": "9",
    "i": "1!|",
    "l": "1|",
    "o": "0",
    "s": "5$",
    "t": "7+",
}
"""What is written for a letter."""
_LONG: Final = 12
"""Characters of a form that are enough to tell it."""


def _cased(words: tuple[str, ...]) -> list[str]:
    return [form for word in words for form in (word, word.capitalize(), word.upper())]


def _grouped(data: bytes, bits: int, offset: int, text: bytes) -> bytes:
    """Characters of an encoding that depend on `data` alone, which stands at `offset` bytes."""
    first = -(-8 * offset // bits)
    return text[first : 8 * (offset + len(data)) // bits]


def base64_forms(data: bytes) -> list[bytes]:
    """What `data` may look like within base64, at each alignment."""
    return [_grouped(data, 6, at, b64encode(b"\0" * at + data + b"\0\0")) for at in range(3)]


def _base32_forms(data: bytes) -> list[bytes]:
    return [_grouped(data, 5, at, b32encode(b"\0" * at + data + b"\0" * 5)) for at in range(5)]


def _escaped(form: bytes) -> str:
    return "".join(f"\\x{byte:02x}" if not chr(byte).isalnum() else chr(byte) for byte in form)


def base64_gates() -> tuple[str, ...]:
    """Base64 of a word, and base64 of that; also turned round."""
    forms: set[bytes] = set()
    for word in (*_cased(_CODED), *_BLANKED):
        forms.update(form[:_LONG] for form in base64_forms(word.encode()))
    for word in _CORE:
        for form in base64_forms(word.encode()):
            forms.update(inner[:_LONG] for inner in base64_forms(form))
    forms |= {form[::-1] for form in forms}
    return tuple(sorted(_escaped(form) for form in forms if len(form) >= 6))


def base32_gates() -> tuple[str, ...]:
    """Base32 of a word; to be matched in either case."""
    forms = {
        form[:_LONG]
        for word in (*_CODED, *(word.capitalize() for word in _CODED), *_BLANKED)
        for form in _base32_forms(word.encode())
    }
    return tuple(sorted(_escaped(form) for form in forms if len(form) >= 7))


def code_gates(form: str, between: str) -> tuple[str, ...]:
    """Words written as the numbers of their letters.

    Args:
        form: of one number, for `format`: `02x`.
        between: pattern of what stands between two.
    """
    words = (*_CODED, *(word.capitalize() for word in _CODED), *_BLANKED)
    return tuple(between.join(format(ord(letter), form) for letter in word[:6]) for word in words)


def turned_gates() -> tuple[str, ...]:
    """Words backwards, and the sign that turns text round."""
    common = (rf"\b{word[::-1]}\b" for word in _COMMON if word != "and")
    return ("\\xe2\\x80\\xae", *(word[::-1] for word in _CODED), *common)


def rot13_gates() -> tuple[str, ...]:
    """Words in ROT13."""
    common = (rf"\b{_rot13(word)}\b" for word in _COMMON)
    return (*map(_rot13, _CODED), *common)


def _rot13(word: str) -> str:
    return word.encode().translate(ROT13).decode()


def leet_gates() -> tuple[str, ...]:
    """Words with a digit or a sign for one letter or more."""
    gates = []
    for word in (*_CODED, *_COMMON):
        edge = r"\b" if word in _COMMON else ""
        letters = [_either(letter) for letter in word]
        for at, letter in enumerate(word[:6]):
            if letter in LEET:
                signs = "".join(
                    f"\\x{ord(sign):02x}" for sign in LEET[letter] if sign.isalnum() or not edge
                )
                gates.append(f"{edge}{word[:at]}[{signs}]{''.join(letters[at + 1 :])}{edge}")
    return tuple(gates)


def _either(letter: str) -> str:
    signs = "".join(f"\\x{ord(sign):02x}" for sign in LEET.get(letter, ""))
    return f"[{letter}{signs}]" if signs else letter


_APART: Final = ("send", "user", "from", "with", "this", "your", "that", "into")
_BETWEEN: Final = (" ", "-", ".", "_", "*", "|", "/", ",", "~", "+", "  ", " - ")
_BROKEN: Final = (" ", "-", "_", ".", "*", "\n", "- ", "  ")


def spaced_gates() -> tuple[str, ...]:
    """Words whose letters stand apart: literals, which cost nothing."""
    words = dict.fromkeys((*_APART, *(word[:5] for word in _SPACED)))
    long = (_escaped(sign.join(word).encode()) for word in words for sign in _BETWEEN)
    short = (
        _escaped(sign.join(word).encode()) for word in ("the", "and", "you") for sign in _BETWEEN
    )
    return (*long, *(rf"\b{form}\b" for form in short))


def split_gates() -> tuple[str, ...]:
    """Words with a gap at one place."""
    return tuple(
        _escaped((word[:at] + sign + word[at:]).encode())
        for word in WORDS
        for at in range(2, len(word) - 1)
        for sign in _BROKEN
    )


_SKELETONS: Final = (
    *("ignore", "disregard", "forget", "previous", "prior", "instruction", "instructions"),
    *("password", "passwords", "secret", "secrets", "credentials", "token", "tokens", "send"),
    *("upload", "forward", "contents", "execute", "conversation", "environment", "variables"),
    *("system", "prompt", "reveal", "assistant", "agent", "agents", "model", "language", "user"),
    *("without", "asking", "telling", "tell", "never", "mention", "confirmation", "command"),
    *("remember", "future", "always", "private", "customer", "before", "after", "following"),
    *("immediately", "everything", "override", "your", "from", "message", "terminal", "token"),
    *("delete", "files", "transfer", "account", "address", "recommend", "hidden", "include"),
    *("personal", "session", "cookie", "wallet", "recovery", "phrase", "database", "history"),
    *("attach", "deliver", "answer", "every", "request", "these", "rules", "orders", "task"),
    *("that", "this", "with", "them", "must", "then", "into", "what", "which", "open", "post"),
    *("print", "show", "output", "chat", "tool", "call", "link", "image", "silently", "quietly"),
    *("secretly", "inform", "notify", "administrator", "developer", "approved", "restrictions"),
    *("restricted", "pretend", "urgent", "emergency", "deleted", "share", "email", "write", "read"),
    *("download", "install", "script", "server", "webhook", "the", "and", "key", "keys", "all"),
)


def _skeleton(word: str) -> str:
    return word[0] + "".join(letter for letter in word[1:] if letter not in "aeiou")


SKELETONS: Final = {
    _skeleton(word).encode(): word.encode()
    for word in _SKELETONS
    if len(_skeleton(word)) >= 2 and _skeleton(word) != word
}
"""English words by what is left of them without vowels."""


_TELLING: Final = ("with", "that", "this", "which", "every", "before", "what", "should", "from")
"""Words whose skeletons are no words, though short."""


def vowelless_gates() -> tuple[str, ...]:
    """Words without their vowels that no other word looks like."""
    long = [word for word in dict.fromkeys(_SKELETONS) if len(_skeleton(word)) >= 5]
    return tuple(
        rf"\b{_skeleton(word)}\b" for word in (*long, *_TELLING) if _skeleton(word) != word
    )


def glued_gates() -> tuple[str, ...]:
    """Words that stand next to each other without a gap."""
    return (
        *("ignoreall", "ignoreprevious", "ignoreprior", "ignoreabove", "ignorethe", "ignoreyour"),
        *("disregardall", "disregardprevious", "disregardthe", "disregardyour", "forgetall"),
        *("forgetprevious", "forgetyour", "forgeteverything", "overrideall", "previousinstruction"),
        *("priorinstruction", "aboveinstruction", "yourinstruction", "donottellthe", "sendthe"),
        *("systemprompt[a-z]", "[a-z]systemprompt", "revealyour", "youarenow", "actasan"),
        *("withouttelling", "nevertellthe", "theuser"),
    )


_WORD_PIECES: Final = tuple(dict.fromkeys((*_SPACED, "instructions", "credentials", "prompts")))
WORD_PIECES: Final = sorted(_WORD_PIECES, key=len, reverse=True)
"""Words that are made whole where gaps stand within them, the longest first."""

"""The Agent2Agent protocol: what is asked for, and where in it text and addresses stand.

Releases 0.2, 0.3 and 1.0 of the specification (a2a-protocol.org), in their bindings to JSON-RPC and
to HTTP with JSON; the third, gRPC, is messages of gRPC like all others. Releases name the same
operation differently (`message/send`, `SendMessage`, `POST /v1/message:send`) and the same field in
two spellings (`contextId`, `context_id`); what is read here is what any of them allows.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from interceptor.model import Setting
from interceptor.wire.jsonrpc import INVALID_REQUEST, JsonRpcError, Message, refuse_lookalikes
from interceptor.wire.mcp import Text, is_base64, is_name

CARDS: Final = ("/.well-known/agent-card.json", "/.well-known/agent.json")
"""Paths of agents' public cards (RFC 8615); the second until release 0.3."""
MEDIA_TYPE: Final = b"application/a2a+json"
"""Of the binding to HTTP with JSON, since release 1.0."""


class Operation(enum.Enum):
    """What can be asked of an agent."""

    SEND = "send"
    STREAM = "stream"
    GET_TASK = "get_task"
    LIST_TASKS = "list_tasks"
    CANCEL_TASK = "cancel_task"
    SUBSCRIBE = "subscribe"
    SET_PUSH = "set_push"
    GET_PUSH = "get_push"
    LIST_PUSH = "list_push"
    DELETE_PUSH = "delete_push"
    CARD = "card"


METHODS: Final[dict[str, Operation]] = {
    "message/send": Operation.SEND,
    "message/stream": Operation.STREAM,
    "tasks/get": Operation.GET_TASK,
    "tasks/list": Operation.LIST_TASKS,
    "tasks/cancel": Operation.CANCEL_TASK,
    "tasks/resubscribe": Operation.SUBSCRIBE,
    "tasks/pushNotificationConfig/set": Operation.SET_PUSH,
    "tasks/pushNotificationConfig/get": Operation.GET_PUSH,
    "tasks/pushNotificationConfig/list": Operation.LIST_PUSH,
    "tasks/pushNotificationConfig/delete": Operation.DELETE_PUSH,
    "agent/getAuthenticatedExtendedCard": Operation.CARD,
    "SendMessage": Operation.SEND,
    "SendStreamingMessage": Operation.STREAM,
    "GetTask": Operation.GET_TASK,
    "ListTasks": Operation.LIST_TASKS,
    "CancelTask": Operation.CANCEL_TASK,
    "SubscribeToTask": Operation.SUBSCRIBE,
    "CreateTaskPushNotificationConfig": Operation.SET_PUSH,
    "GetTaskPushNotificationConfig": Operation.GET_PUSH,
    "ListTaskPushNotificationConfigs": Operation.LIST_PUSH,
    "ListTaskPushNotificationConfig": Operation.LIST_PUSH,
    "DeleteTaskPushNotificationConfig": Operation.DELETE_PUSH,
    "GetExtendedAgentCard": Operation.CARD,
    "GetAgentCard": Operation.CARD,
}
"""Methods of the binding to JSON-RPC."""

SHARED: Final = frozenset(("tasks/get", "tasks/list", "tasks/cancel"))
"""Methods that MCP has, too; there they name the task `taskId`."""

_SENT: Final = (("/message:send", Operation.SEND), ("/message:stream", Operation.STREAM))
_TASK: Final = re.compile(
    r"/tasks/[^/?#]{1,256}(?:(:cancel)|(:subscribe)|/pushNotificationConfigs(/[^/?#]{1,256})?)\Z"
)
_PARAMS: Final = frozenset(("message", "configuration", "metadata", "id", "tenant", "url"))
_URL_ROLES: Final = {
    "url": "endpoint",
    "uri": "file",
    "fileWithUri": "file",
    "file_with_uri": "file",
    "documentationUrl": "link",
    "documentation_url": "link",
    "iconUrl": "link",
    "icon_url": "link",
    "authorizationUrl": "login",
    "authorization_url": "login",
    "tokenUrl": "login",
    "token_url": "login",
    "refreshUrl": "login",
    "refresh_url": "login",
    "openIdConnectUrl": "login",
    "open_id_connect_url": "login",
    "oauth2MetadataUrl": "login",
    "oauth2_metadata_url": "login",
    "deviceAuthorizationUrl": "login",
    "device_authorization_url": "login",
}
_PUSH: Final = frozenset(("pushnotificationconfig", "taskpushnotificationconfig"))
_PARTS: Final = frozenset(("parts", "content", "file"))
_BYTES: Final = ("bytes", "raw", "fileWithBytes", "file_with_bytes")
_TYPES: Final = ("mimeType", "mime_type", "mediaType", "media_type")
_UNREAD: Final = ("image/", "audio/", "video/", "font/")
_UNSIGNED: Final = frozenset(("signatures",))
_SORTED = msgspec.json.Encoder(order="sorted").encode


class Url(msgspec.Struct, frozen=True, gc=False):
    """An address in a message or a card."""

    where: str
    """Path to it, such as `params.configuration.pushNotificationConfig.url`."""
    url: str
    role: str
    """`push`: a server will post there what becomes of a task; `file`: content lies there;
    `endpoint`: an agent answers there; `login`: of OAuth; `link`: for people."""


class Card(msgspec.Struct, frozen=True, gc=False):
    """What an agent says of itself."""

    name: str
    value: dict[str, Any]
    """All of it."""

    @property
    def digest(self) -> str:
        """32 hex digits over all but the signatures; the order of keys means nothing."""
        said = {key: item for key, item in self.value.items() if key not in _UNSIGNED}
        return hashlib.blake2b(_SORTED(said), digest_size=16).hexdigest()

    @property
    def skills(self) -> tuple[str, ...]:
        """Names of its skills, as far as they have any."""
        listed = self.value.get("skills")
        if not isinstance(listed, list):
            return ()
        names = (skill.get("name") for skill in listed if isinstance(skill, dict))
        return tuple(name for name in names if isinstance(name, str))


def is_card(path: str) -> bool:
    """Tell whether a path, perhaps below a prefix and with a query, is that of a public card."""
    return path.partition("?")[0].endswith(CARDS)


def operation(message: Message) -> Operation | None:
    """Return what a request of JSON-RPC asks for; None: it is not A2A's.

    Raises:
        JsonRpcError: parameters that parsers may read differently.
    """
    found = METHODS.get(message.method)
    if found is None:
        return None
    params = message.params
    if not isinstance(params, dict):
        return None
    if message.method in SHARED and "taskId" in params:
        return None
    if found in (Operation.SEND, Operation.STREAM) and not is_message(params.get("message")):
        return None
    refuse_lookalikes(params, _PARAMS)
    return found


def operation_at(method: str, path: str) -> Operation | None:
    """Return what a request of the binding to HTTP with JSON asks for; None: it is not A2A's.

    Operations whose path says nothing (`GET /tasks/1`) are left out: such a path may be anybody's.

    Args:
        method: of HTTP.
        path: and query, at any prefix.
    """
    path = path.partition("?")[0]
    if method == "POST":
        for end, sent in _SENT:
            if path.endswith(end):
                return sent
    at = path.rfind("/tasks/")
    found = _TASK.match(path, at) if at >= 0 else None
    if found is None:
        return None
    cancel, subscribe, config = found.groups()
    if cancel:
        return Operation.CANCEL_TASK if method == "POST" else None
    if subscribe:
        return Operation.SUBSCRIBE if method in ("GET", "POST") else None
    one = {"GET": Operation.GET_PUSH, "DELETE": Operation.DELETE_PUSH}
    all_of = {"GET": Operation.LIST_PUSH, "POST": Operation.SET_PUSH}
    return (one if config else all_of).get(method)


def is_message(value: object) -> bool:
    """Tell whether a value is a message of A2A: a role, and parts."""
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        return False
    return isinstance(value.get("parts"), list) or isinstance(value.get("content"), list)


def card(value: object) -> Card:
    """Read a card.

    Args:
        value: decoded JSON.

    Raises:
        JsonRpcError: not a card, or a name that is none.
    """
    if not isinstance(value, dict):
        raise JsonRpcError(INVALID_REQUEST, "a card that is no object")
    name = value.get("name")
    if not is_name(name):
        raise JsonRpcError(INVALID_REQUEST, "a card without a name, or with one that is none")
    if not looks_like_card(value):
        raise JsonRpcError(INVALID_REQUEST, "a card without skills, capabilities and address")
    refuse_lookalikes(value, frozenset(("name", "description", "skills", "url", "capabilities")))
    return Card(name, value)


def looks_like_card(value: object) -> bool:
    """Tell whether decoded JSON is a card, wherever it came from."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return False
    said = sum(
        isinstance(value.get(name), kind)
        for name, kind in (("skills", list), ("capabilities", dict), ("url", str))
    )
    said += any(name in value for name in ("supportedInterfaces", "supported_interfaces"))
    return said >= 2 or "protocolVersion" in value


def texts(value: Any, where: str = "", *, schema: bool = False) -> Iterator[Text]:
    """Give every text of a value, keys and values, at any depth; see `interceptor.wire.mcp.texts`.

    Files of parts are left out where they are pictures, sound or film; others stand in base64,
    which the decoders of the scanners undo.

    Args:
        value: decoded JSON, no deeper than `jsonrpc.read` lets through.
        where: path to it.
        schema: it is a card, whose texts describe: only an agent reads them.
    """
    described = Setting.ATTRIBUTE if schema else Setting.SHOWN
    pending: list[tuple[str, str, Any]] = [(where, "", value)]
    while pending:
        place, name, found = pending.pop()
        if isinstance(found, str):
            yield Text(place, found, Setting.LINK if name in _URL_ROLES else described)
        elif isinstance(found, dict):
            unread = _media(found)
            below = f"{place}." if place else ""
            inner = []
            for key, item in found.items():
                yield Text(place, key, Setting.ATTRIBUTE, key=True)
                if key != unread:
                    inner.append((below + key[:64], key, item))
            pending += reversed(inner)
        elif isinstance(found, list):
            below = f"{place}." if place else ""
            pending += [(f"{below}{i}", name, found[i]) for i in range(len(found) - 1, -1, -1)]


def urls(value: Any, where: str = "") -> Iterator[Url]:
    """Give every address that stands where one belongs; others are texts.

    Args:
        value: decoded JSON: parameters, a result, a card.
        where: path to it.
    """
    pending: list[tuple[str, str, str, Any]] = [(where, "", "", value)]
    while pending:
        place, name, around, found = pending.pop()
        if isinstance(found, str):
            role = _URL_ROLES.get(name)
            if role is not None and found:
                if role == "endpoint":
                    role = _role(around)
                yield Url(place, found, role)
        elif isinstance(found, dict):
            below = f"{place}." if place else ""
            said = around if name == "" else name
            if _is_push(found):
                said = "pushNotificationConfig"
            inner = [(below + key[:64], key, said, item) for key, item in found.items()]
            pending += reversed(inner)
        elif isinstance(found, list):
            below = f"{place}." if place else ""
            at = range(len(found) - 1, -1, -1)
            pending += [(f"{below}{i}", name, around, found[i]) for i in at]


def _role(around: str) -> str:
    """What a `url` is for, by the name of what holds it."""
    if around.replace("_", "").lower() in _PUSH:
        return "push"
    if around in _PARTS:
        return "file"
    return "link" if around == "provider" else "endpoint"


def _is_push(found: dict[str, Any]) -> bool:
    """A configuration of push notifications: its address stands beside a token, or a task."""
    if "url" not in found or "name" in found:
        return False
    return any(key in found for key in ("token", "authentication", "taskId", "task_id"))


def _media(found: dict[str, Any]) -> str:
    """Name of the member that is the bytes of a picture, sound or film; empty if there is none."""
    for name in _BYTES:
        if name in found:
            kind = next((found[key] for key in _TYPES if isinstance(found.get(key), str)), "")
            if kind.lower().startswith(_UNREAD) and is_base64(found[name]):
                return name
    return ""

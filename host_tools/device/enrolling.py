"""Enrolling from the technician's side: a token and a board's id in, the board's identity out."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from host_tools.build.identity import Identity, to_json
from host_tools.errors import EXIT_ENVIRONMENT, EXIT_INPUT, UserError
from host_tools.formats import enrolment
from host_tools.formats.enrolment import NotForUs
from host_tools.formats.keys import KEY_BYTES, RefusedKey
from host_tools.text import say

_TIMEOUT_S = 20


def enrol(url: str, token_text: str, device_id: bytes, board_url: str | None = None) -> tuple[Identity, str]:
    """(identity, checkpoint) of the board that the token enrols at the collector at `url`; `board_url` is what the board
    is to call it, if that differs. The key is made at both ends; it does not go over the wire. UserError says why not."""
    token = enrolment.parse_token(token_text)
    public = _ask(url, "GET", b"")
    if len(public) != KEY_BYTES or enrolment.fingerprint(public) != token.fingerprint:
        raise UserError(
            say(f"{url}: không phải trung tâm đã tạo mã này", f"{url} is not the collector that made this token"),
            hint=say("xem lại --collector, hoặc ai đó xen vào giữa", "check --collector; or somebody stands in between"),
            exit_code=EXIT_INPUT,
        )
    try:
        body, session = enrolment.build_request(public, token, {"device_id": device_id.hex()})
        said = enrolment.parse_reply(session, _ask(url, "POST", body))
    except (NotForUs, RefusedKey):
        raise UserError(
            say(f"{url}: trả lời không xác thực được", f"{url}: the answer cannot be proved"),
            hint=say("thử lại; nếu vẫn thế, hỏi người giữ trung tâm", "try again; then ask whoever runs the collector"),
            exit_code=EXIT_ENVIRONMENT,
        ) from None
    if "refused" in said:
        raise UserError(
            say(*map(str, said["refused"][:2])),
            hint=say("xin mã mới: 'chot collector token'", "ask for a new one: 'chot collector token'"),
        )
    list_key = bytes.fromhex(said["list_key"])
    identity = Identity(device_id, session.device_key, public, board_url or url, list_key)
    to_json(identity)  # refuses an address that the firmware could not reach
    return identity, str(said["checkpoint"])


def _ask(url: str, method: str, body: bytes) -> bytes:
    """The body of a 200 from the collector; UserError for everything else."""
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        if not parts.hostname:
            raise OSError("not a URL")
        connection = make(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, enrolment.PATH, body or None, {"Content-Type": enrolment.CONTENT_TYPE})
            answer = connection.getresponse()
            content = answer.read(enrolment.MAX_REQUEST_BYTES)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UserError(
            say(f"không tới được trung tâm {url}: {error}", f"cannot reach the collector at {url}: {error}"),
            hint=say("xem lại --collector và mạng", "check --collector and the network"),
            exit_code=EXIT_ENVIRONMENT,
        ) from None
    if answer.status != 200:
        raise UserError(
            say(f"trung tâm {url} trả lời {answer.status}", f"the collector at {url} answers {answer.status}"),
            hint=say("có đúng là trung tâm Chốt không?", "is it a Chốt collector, and a current one?"),
            exit_code=EXIT_ENVIRONMENT,
        )
    return content

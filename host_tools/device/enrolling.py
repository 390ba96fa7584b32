"""Enrolling from the technician's side: a token and a board's id in, the board's identity out."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from host_tools.build.identity import CA_MAX_BYTES, Identity, check_transport, load_authority, to_json
from host_tools.errors import EXIT_ENVIRONMENT, EXIT_INPUT, UserError
from host_tools.formats import enrolment
from host_tools.formats.enrolment import NotForUs
from host_tools.formats.keys import KEY_BYTES, RefusedKey
from host_tools.text import say

_TIMEOUT_S = 20


@dataclass(frozen=True)
class Centre:
    """The collector: its address here, what the boards are to call it, and under https whom to believe that it is it (DER
    certificates one behind the other; b"": whom this computer believes)."""

    url: str
    board_url: str
    authority: bytes = b""

    def check(self, config: Any) -> None:
        """UserError where a board with this config would send nothing there."""
        one = b"\1" * KEY_BYTES
        known = Identity(b"\1" * 8, one, one, self.board_url, one, collector_ca=self.authority)
        to_json(known)  # refuses an address that the firmware could not reach
        check_transport(known, config, b"")


def centre(url: str, board_url: str | None, authority: Path | None) -> Centre:
    """A collector as the options of a command name it; UserError when the certificates are none, or too many for a board."""
    found = b"" if authority is None else load_authority(authority)
    if len(found) > CA_MAX_BYTES:
        raise UserError(
            say(f"{authority}: {len(found)} byte chứng chỉ", f"{authority}: {len(found)} bytes of certificates"),
            hint=say(f"chỉ lấy nơi cấp cần thiết: {CA_MAX_BYTES} byte", f"take the one that is needed: {CA_MAX_BYTES} bytes"),
        )
    return Centre(url, board_url or url, found)


def enrol(at: Centre, token_text: str, device_id: bytes) -> tuple[Identity, str]:
    """(identity, checkpoint) of the board that the token enrols. The key is made at both ends; it does not go over the wire.
    UserError says why not."""
    token = enrolment.parse_token(token_text)
    url = at.url
    public = _ask(at, "GET", b"")
    if len(public) != KEY_BYTES or enrolment.fingerprint(public) != token.fingerprint:
        raise UserError(
            say(f"{url}: không phải trung tâm đã tạo mã này", f"{url} is not the collector that made this token"),
            hint=say("xem lại --collector, hoặc ai đó xen vào giữa", "check --collector; or somebody stands in between"),
            exit_code=EXIT_INPUT,
        )
    try:
        body, session = enrolment.build_request(public, token, {"device_id": device_id.hex()})
        said = enrolment.parse_reply(session, _ask(at, "POST", body))
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
    identity = Identity(device_id, session.device_key, public, at.board_url, list_key, collector_ca=at.authority)
    return identity, str(said["checkpoint"])


def _ask(at: Centre, method: str, body: bytes) -> bytes:
    """The body of a 200 from the collector; UserError for everything else."""
    url = at.url
    parts = urlsplit(url)
    try:
        if not parts.hostname:
            raise OSError("not a URL")
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        if parts.scheme == "https":
            context = ssl.create_default_context(cadata=at.authority or None)
            connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S, context=context)
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

"""People whose pictures are their payloads, for runs that are about flash or time: drawing takes longer than such a run."""

from __future__ import annotations

from host_tools.simulator.crowd import Album, Showing


class Payloads(Album):
    """An album that draws nothing."""

    def picture(self, showing: Showing) -> bytes:
        return showing.payload

    def decode(self, picture: bytes) -> bytes | None:
        return picture


def texts(board: str, first: int, moments_ms: list[int]) -> str:
    """Scenario lines: free text of 59 bytes at each moment, a different one each time, numbered from `first` on."""
    return "".join(
        f'[[show]]\nboard = "{board}"\nat_ms = {at_ms}\nhold_ms = 700\ntext = "{number:04d} {"khach " * 9}"\n'
        for number, at_ms in enumerate(moments_ms, first)
    )

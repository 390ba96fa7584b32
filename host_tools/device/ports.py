"""Which serial ports may have a board behind them, and what a port that cannot be used means for a person."""

from __future__ import annotations

import errno
import glob
import re
from dataclasses import dataclass

from serial.tools import list_ports

from host_tools.errors import EXIT_DEVICE, UserError
from host_tools.text import say


@dataclass(frozen=True)
class Port:
    """A serial port: its name for the tools, and what its USB bridge calls itself."""

    name: str
    description: str


def usb_ports() -> list[Port]:
    """The serial ports that hang on USB, by name."""
    found = [port for port in list_ports.comports() if port.vid is not None]
    return [Port(port.device, f"{port.vid:04x}:{port.pid:04x} {port.description}") for port in sorted(found)]


def matching(pattern: str | None) -> list[str]:
    """The names of the ports that match a pattern like "/dev/ttyUSB*"; without one, all on USB."""
    return sorted(glob.glob(pattern)) if pattern else [port.name for port in usb_ports()]


def trouble(error: BaseException, port: str) -> UserError:
    """What went wrong at a port, in one line, and what to do; by what esptool, mpremote and pyserial say of it."""
    text = str(error)
    code = getattr(error, "errno", None)
    for pattern, number, said, advice in _MEANINGS:
        if (number is not None and code == number) or re.search(pattern, text, re.IGNORECASE):
            return UserError(f"{port}: {say(*said)}", hint=say(*advice), exit_code=EXIT_DEVICE)
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    again = say("cắm lại rồi thử lần nữa", "plug it in again and try once more")
    return UserError(f"{port}: {line}", hint=again, exit_code=EXIT_DEVICE)


# What the message of a tool has in it (or the number of an OSError), what that means, what to do.
_MEANINGS = (
    (
        r"exclusively lock|Errno 11\b|Errno 16\b|resource busy|may be in use|Access is denied",
        errno.EBUSY,
        ("cổng đang bị chương trình khác giữ", "the port is busy: another program has it open"),
        ("đóng mpremote, màn hình serial hay chot khác", "close mpremote, the serial monitor or the other chot"),
    ),
    (
        r"Errno 13\b|Permission denied",
        errno.EACCES,
        ("không có quyền mở cổng", "no permission to open the port"),
        (
            "sudo usermod -aG dialout $USER, rồi đăng nhập lại",
            "sudo usermod -aG dialout $USER, then log in again",
        ),
    ),
    (
        r"Errno 2\b|No such file|Errno 6\b|no such device|failed to access",
        errno.ENOENT,
        ("không có cổng ấy", "there is no such port"),
        ("'chot ports' liệt kê các cổng", "'chot ports' lists the ports"),
    ),
    (
        r"device disconnected|returned no data|Lost connection|Errno 5\b|Input/output error|write failed|could not exclusively",
        errno.EIO,
        ("mất kết nối giữa chừng", "the connection broke off"),
        ("xem lại cáp và nguồn, cắm lại rồi chạy lại lệnh", "look at cable and supply, plug in again and run it again"),
    ),
    (
        r"is not an? .* image|This chip is|wrong chip|requires chip revision",
        None,
        ("sai loại chip", "wrong chip"),
        ("lấy bản MicroPython dành cho chip của bo mạch này", "take the MicroPython made for this board's chip"),
    ),
    (
        r"MD5 of file does not match|written flash region is empty|digest mismatch",
        None,
        ("flash không giữ đúng những gì đã ghi", "the flash does not hold what was written"),
        ("ghi lại; nếu vẫn thế thì bo mạch hỏng", "write again; if it stays so, the board is defective"),
    ),
    (
        r"Failed to connect|No serial data|boot mode|no sync reply|noise or corruption|Invalid head",
        None,
        ("bo mạch không trả lời", "the board does not answer"),
        (
            "cáp chỉ sạc không có dây dữ liệu? thử cáp khác; hoặc giữ nút BOOT khi cắm",
            "a charging cable without data wires? try another one; or hold BOOT while plugging in",
        ),
    ),
)

"""What the pins of the chips can do, and why a part must not hang on one: the rules that a board description is held to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a member of a board description asks of its pin; UART is a number and no pin."""

    OUTPUT = "output"
    INPUT = "input"
    SWITCH = "switch"  # a contact to ground: an input that is pulled up
    ANALOG = "analog"
    UART = "uart"


@dataclass(frozen=True)
class Chip:
    """What a chip's pins can do: which exist, can only be read, measure beside Wi-Fi (adc1) or do not (adc2).

    `strapping` and `taken` say why not, in Vietnamese and in English; `psram` is what each kind of it takes.
    """

    pins: frozenset[int]
    input_only: frozenset[int]
    adc1: frozenset[int]
    adc2: frozenset[int]
    strapping: dict[int, tuple[str, str]]
    taken: dict[int, tuple[str, str]]
    psram: dict[str, frozenset[int]]
    uarts: frozenset[int]


_FLASH = ("chân của bộ nhớ flash", "that pin belongs to the flash")
_CONSOLE = ("chân của console (UART0)", "that pin belongs to the console (UART0), which flashing needs")
_USB = ("chân của USB", "that pin belongs to the USB port, which flashing needs")

# ESP32 and ESP32-S3 data sheets (pin lists, strapping pins), and the GPIO pages of ESP-IDF 5.2. ESP32: no GPIO 20,
# 24, 28-31; 34-39 have no output driver and no pull resistors. ESP32-S3: no GPIO 22-25.
CHIPS = {
    "esp32": Chip(
        pins=frozenset(range(40)) - {20, 24, 28, 29, 30, 31},
        input_only=frozenset(range(34, 40)),
        adc1=frozenset(range(32, 40)),
        adc2=frozenset({0, 2, 4, 12, 13, 14, 15, 25, 26, 27}),
        strapping={
            0: ("thấp lúc khởi động thì vào chế độ nạp", "low at reset starts the boot loader instead of the board"),
            2: ("cao lúc khởi động thì không nạp được", "high at reset makes flashing impossible"),
            5: ("bật cao và phát xung lúc khởi động", "it is high and pulses at reset"),
            12: ("cao lúc khởi động thì flash chạy 1,8 V, máy không lên", "high at reset sets the flash to 1.8 V: no start"),
            15: ("bật cao và phát xung lúc khởi động", "it is high and pulses at reset"),
        },
        taken={**dict.fromkeys(range(6, 12), _FLASH), 1: _CONSOLE, 3: _CONSOLE},
        psram={"quad": frozenset({16, 17})},
        uarts=frozenset({1, 2}),
    ),
    "esp32s3": Chip(
        pins=frozenset(range(49)) - {22, 23, 24, 25},
        input_only=frozenset(),
        adc1=frozenset(range(1, 11)),
        adc2=frozenset(range(11, 21)),
        strapping={
            0: ("thấp lúc khởi động thì vào chế độ nạp", "low at reset starts the boot loader instead of the board"),
            3: ("chọn đường JTAG lúc khởi động", "it selects the JTAG source at reset"),
            45: ("cao lúc khởi động thì flash chạy 1,8 V, máy không lên", "high at reset sets the flash to 1.8 V: no start"),
            46: ("cao lúc khởi động thì không nạp được", "high at reset makes flashing impossible"),
        },
        taken={**dict.fromkeys(range(26, 33), _FLASH), 19: _USB, 20: _USB, 43: _CONSOLE, 44: _CONSOLE},
        psram={"octal": frozenset(range(33, 38))},
        uarts=frozenset({1, 2}),
    ),
}


@dataclass(frozen=True)
class Pinout:
    """A chip on a board: `header` pins can be reached, `wired` ones the board's maker has connected already.

    `psram` is a key of the chip's; `resistors` are pins with a 10 kΩ resistor to 3.3 V in the wiring.
    """

    chip: Chip
    psram: str | None
    header: frozenset[int]
    wired: dict[int, str]
    resistors: frozenset[int]

    def fault(self, pin: int, what: str, kind: Kind) -> tuple[str, str] | None:
        """Why the part `what` (section.member) cannot hang on this pin, in Vietnamese and in English; None if it can."""
        chip = self.chip
        if pin not in chip.pins:
            return "không có chân ấy", "no such pin"
        if pin in chip.taken:
            return chip.taken[pin]
        if self.psram and pin in chip.psram[self.psram]:
            return "chân của PSRAM", "that pin belongs to the PSRAM"
        if self.wired.get(pin, what) != what:
            return f"trên bo đã nối với: {self.wired[pin]}", f"the board has it wired to: {self.wired[pin]}"
        if pin not in self.wired:
            if pin in chip.strapping:
                vi, en = chip.strapping[pin]
                return f"chân strapping: {vi}", f"a strapping pin: {en}"
            if pin not in self.header:
                return "chân ấy không ra hàng rào cắm", "that pin is on no header of this board"
        if pin in chip.input_only:
            if kind is Kind.OUTPUT:
                return "chân chỉ vào", "an input-only pin"
            if kind is Kind.SWITCH and pin not in self.resistors:
                return (
                    "chân chỉ vào, không có điện trở kéo lên bên trong (nối 10 kΩ lên 3,3 V rồi ghi vào 'resistors')",
                    "an input-only pin, without pull-up (fit 10 kΩ to 3.3 V and list it in 'resistors')",
                )
        if kind is Kind.ANALOG and pin not in chip.adc1:
            if pin in chip.adc2:
                return "ADC2 không đo được khi Wi-Fi chạy", "ADC2 cannot measure while Wi-Fi is on"
            return "chân ấy không đo điện áp được", "that pin cannot measure"
        return None

    def fitting(self, what: str, kind: Kind, used: Iterable[int]) -> list[int]:
        """The pins that `what` could hang on instead, none of them in `used`."""
        return [pin for pin in sorted(self.chip.pins - set(used)) if self.fault(pin, what, kind) is None]

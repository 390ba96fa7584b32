"""The chips a loader can be asked about: registers, eFuses and flash id, as unmodified esptool reads them."""

from __future__ import annotations

from dataclasses import dataclass

# JEDEC id of a Winbond W25Q (vendor, type); its third byte says the size as a power of two.
_VENDOR, _TYPE = 0xEF, 0x40
_SFDP_SIGNATURE = 0x50444653
_SPI_USR_COMMAND = 1 << 18
_READ_ID, _READ_SFDP = 0x9F, 0x5A
_XTAL_HZ = 40_000_000
_ROM_BAUD = 115_200


@dataclass(frozen=True)
class Chip:
    """What tells one chip from another: addresses of esptool's targets/esp32.py and esp32s3.py, chip ids of
    ESP-IDF's esp_chip_id_t."""

    name: str
    chip_id: int
    boot_offset: int  # where the boot loader lies in flash
    spi_base: int
    spi_usr: int
    spi_usr2: int
    spi_addr: int
    spi_w0: int
    security_info: bool


ESP32 = Chip("esp32", 0, 0x1000, 0x3FF42000, 0x1C, 0x24, 0x04, 0x80, False)
ESP32_S3 = Chip("esp32s3", 9, 0x0, 0x60002000, 0x18, 0x20, 0x04, 0x58, True)
CHIPS = {chip.name: chip for chip in (ESP32, ESP32_S3)}

_MAGIC_REGISTER = 0x40001000
_MAGIC = {"esp32": 0x00F01D83, "esp32s3": 0x9}
_ESP32_EFUSE = 0x3FF5A000
_ESP32_DATE = 0x3FF6607C
_ESP32_CALIBRATION = 0x3FF5F06C
_ESP32_UART_DIVIDER = 0x3FF40014
_S3_EFUSE_MAC = 0x60007044
_S3_UART_DIVIDER = 0x60000014


class Registers:
    """The registers of one chip with its `mac` (6 bytes) and a flash of `flash_bytes`. What was written reads back."""

    def __init__(self, chip: Chip, mac: bytes, flash_bytes: int) -> None:
        self._chip = chip
        self._flash_id = _VENDOR | _TYPE << 8 | (flash_bytes.bit_length() - 1) << 16
        high, low = int.from_bytes(mac[:2], "big"), int.from_bytes(mac[2:], "big")
        self._values = {_MAGIC_REGISTER: _MAGIC[chip.name]}
        divider = _XTAL_HZ // _ROM_BAUD
        if chip is ESP32:
            # An ESP32-D0WD-V3, revision 3: package 1 and the three revision bits (esp32.py, get_major_chip_version).
            self._values |= {
                _ESP32_EFUSE + 4: low,
                _ESP32_EFUSE + 8: high,
                _ESP32_EFUSE + 12: 1 << 9 | 1 << 15,
                _ESP32_EFUSE + 16: 100,
                _ESP32_EFUSE + 20: 1 << 20,
                _ESP32_DATE: 1 << 31,
                _ESP32_CALIBRATION: 1024 << 7,
                _ESP32_UART_DIVIDER: divider,
            }
        else:
            self._values |= {_S3_EFUSE_MAC: low, _S3_EFUSE_MAC + 4: high, _S3_UART_DIVIDER: divider}

    def read(self, address: int) -> int:
        """The 32-bit word there; one that nothing is known of reads 0."""
        return self._values.get(address, 0)

    def write(self, address: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Write a word under a mask; a write to the SPI command register runs the flash command set up before."""
        chip = self._chip
        self._values[address] = self.read(address) & ~mask | value & mask
        if address == chip.spi_base and value & _SPI_USR_COMMAND:
            self._values[address] = 0  # done at once
            self._values[chip.spi_base + chip.spi_w0] = self._flash_answers()

    def _flash_answers(self) -> int:
        command = self.read(self._chip.spi_base + self._chip.spi_usr2) & 0xFF
        if command == _READ_ID:
            return self._flash_id
        if command == _READ_SFDP:
            address = self.read(self._chip.spi_base + self._chip.spi_addr)
            if self._chip is ESP32:
                address >>= 8  # its 24 address bits stand at the top of the register
            return _SFDP_SIGNATURE if address == 0 else _VENDOR
        return 0

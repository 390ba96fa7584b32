"""Pins and parts of the board esp32-devkitc; made from hardware/boards/esp32-devkitc.toml, not by hand."""

NAME = "esp32-devkitc"
CHIP = "esp32"
BUILT_S = 0
SCANNER_UART = 1
SCANNER_TX = 17
SCANNER_RX = 16
LAMP_RED = 25
LAMP_GREEN = 26
LAMP_BLUE = 27
BUZZER_PIN = 32
PARTS = ()

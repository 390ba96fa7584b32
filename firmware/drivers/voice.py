"""The voice: a DFPlayer Mini that speaks the prompts on its card by number; nothing here waits for it."""

# Frame of the module's manual (DFRobot DFR0299, "Serial Control Format"): 7E FF 06 command feedback DH DL checksum EF, at 9600
# baud; the checksum is 0 less the sum of FF to DL, as the maker's library computes it (the manual's examples have it wrong).
# After power on it takes 1.5 to 3 s, during which what it is sent is lost, and its volume is 30 of 30.
from micropython import const

_VOLUME = const(0x06)
_PLAY = const(0x12)  # of folder mp3, by the number in the file's name
_LOUDEST = const(30)


class Voice:
    """`uart` at 9600 baud, whose buffer holds two frames of 10 bytes: writing does not wait."""

    def __init__(self, uart):
        self._uart = uart
        self._frame = bytearray(b"\x7e\xff\x06\0\0\0\0\0\0\xef")

    def _send(self, command, value):
        frame = self._frame
        frame[3] = command
        frame[5] = value >> 8
        frame[6] = value & 255
        check = -(0x105 + command + frame[5] + frame[6]) & 0xFFFF
        frame[7] = check >> 8
        frame[8] = check & 255
        self._uart.write(frame)

    def say(self, prompt):
        """Speak a prompt (its file is mp3/0001.mp3 and so on), cutting short what is being said."""
        self._send(_PLAY, prompt)

    def volume(self, percent):
        self._send(_VOLUME, percent * _LOUDEST // 100)


def make(board, machine, station, signals, buzzer, clock, settings):
    """Give the signals their Voice; it has no task."""
    signals.voice = Voice(machine.UART(board.VOICE_UART, baudrate=9600, tx=board.VOICE_TX, rx=board.VOICE_RX))

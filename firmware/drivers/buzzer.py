"""The buzzer: a passive piezo on one PWM output."""

from micropython import const

_HALF = const(32768)  # duty of a square wave, of 65536


class Buzzer:
    """`pwm`: a machine.PWM on the buzzer's pin, its duty 0."""

    def __init__(self, pwm):
        self._pwm = pwm

    def tone(self, freq_hz):
        """Sound until the next call; 0 is silence."""
        if freq_hz:
            self._pwm.freq(freq_hz)
            self._pwm.duty_u16(_HALF)
        else:
            self._pwm.duty_u16(0)

"""The buzzer: a passive piezo on one PWM output."""

from micropython import const

_HALF = const(32768)  # duty of a square wave, of 65536: the loudest


class Buzzer:
    """`pwm`: a machine.PWM on the buzzer's pin, its duty 0."""

    def __init__(self, pwm):
        self._pwm = pwm
        self._duty = _HALF

    def loudness(self, percent):
        """Of the loudest; the ear hears a tenth of the duty as half as loud or so, hence the square."""
        self._duty = _HALF * percent * percent // 10000

    def tone(self, freq_hz):
        """Sound until the next call; 0 is silence."""
        if freq_hz:
            self._pwm.freq(freq_hz)
            self._pwm.duty_u16(self._duty)
        else:
            self._pwm.duty_u16(0)

"""The modem driver inside MicroPython: its dialogue with echoes, messages unasked and silence; the network's time; PINs."""

import asyncio

import drivers.modem
from drivers.modem import PROFILES, Modem, network_time

# 2026-03-02 00:00:00 UTC, and a build of the day before.
NOON_S = 1772409600
BUILT_S = NOON_S - 86400


class Time:
    """Time that passes only where somebody waits."""

    ms = 0

    async def sleep_ms(self, ms):
        self.ms += ms

    def ticks_ms(self):
        return self.ms

    def ticks_diff(self, a, b):
        return a - b


drivers.modem.time = drivers.modem.asyncio = now = Time()


class Uart:
    """A modem by a table: command -> what comes back, or a list of it, one for each time it is asked. It takes AT+IPR
    unless the table says otherwise, and hears nothing at another rate than its own."""

    def __init__(self, answers):
        self.rate = self.own_rate = 115200
        self.answers = answers
        self.sent = []
        self.times = []  # when each was sent
        self.out = b""

    def any(self):
        return len(self.out)

    def readinto(self, buffer):
        n = min(len(buffer), len(self.out))
        buffer[:n] = self.out[:n]
        self.out = self.out[n:]
        return n

    def write(self, data):
        self.sent.append(bytes(data))
        self.times.append(now.ms)
        if self.rate != self.own_rate:
            return
        command = bytes(data).rstrip(b"\r").decode()
        found = self.answers.get(command, b"")
        if isinstance(found, list):
            found = found.pop(0) if found else b""
        if command.startswith("AT+IPR=") and command not in self.answers:
            found = b"\r\nOK\r\n"
            self.own_rate = int(command[7:])
        self.out += found

    def init(self, baudrate):
        self.rate = baudrate


class Pin:
    def __init__(self):
        self.levels = []

    def __call__(self, level):
        self.levels.append(level)




def make(answers, dtr=None, reset=None):
    uart = Uart(answers)
    key = Pin()
    return Modem(uart, PROFILES["a7670" if reset else "sim7600"], (key, reset, dtr)), uart, key


def ask(command, answer):
    modem, uart, _ = make({command: answer})
    return asyncio.run(modem.ask(command, 60)), modem.info


def test_answers_with_echo_and_messages_unasked():
    for answer, found, info in (
        (b"\r\nOK\r\n", True, ""),
        (b"AT+CSQ\r\r\n+CSQ: 18,99\r\n\r\nOK\r\n", True, "18,99"),
        (b"\r\nPB DONE\r\n\r\n+CSQ: 5,0\r\n\r\nSMS DONE\r\n\r\nOK\r\n", True, "5,0"),
        (b"\r\n+CPIN: READY\r\n\r\nOK\r\n", True, ""),
        (b"\r\nERROR\r\n", False, ""),
        (b"\r\n+CME ERROR: 10\r\n", False, ""),
        (b"\r\nNO CARRIER\r\n", False, ""),
        (b"\r\nO", None, ""),
        (b"", None, ""),
        (b"\xff\x00\xfe~\r\n\r\nOK\r\n", True, ""),
        (b"x" * 5000 + b"\r\nOK\r\n", True, ""),
        (b"+CSQ: \xff\xfe\r\nOK\r\n", True, ""),
        (b"\r\nOK", None, ""),
    ):
        assert ask("AT+CSQ", answer) == (found, info), answer[:40]


def test_an_answer_that_came_too_late_is_not_the_next_ones():
    modem, uart, _ = make({"AT+CSQ": b"\r\n+CSQ: 7,0\r\n\r\nOK\r\n"})
    uart.out = b"\r\nERROR\r\n+CSQ: 31,0\r\n"
    assert asyncio.run(modem.ask("AT+CSQ", 60)) is True and modem.info == "7,0"


def test_what_follows_connect_is_left_for_ppp():
    lcp = bytes(range(0x7E, 0x9E))
    modem, uart, _ = make({'AT+CGDCONT=1,"IP","v-internet"': b"\r\nOK\r\n", "ATD*99#": b"\r\nCONNECT 115200\r\n" + lcp})
    assert asyncio.run(modem.dial("v-internet"))
    assert uart.out == b"\n" + lcp


OK = b"\r\nOK\r\n"


def woken(answers, own_rate=115200, dtr=None, fast=True):
    """(taken, modem, its UART, power key) of a modem found in some state."""
    for command in ("ATE0", "AT+CMEE=1", "AT&D2", "ATH"):
        answers.setdefault(command, OK)
    modem, uart, key = make(answers, dtr)
    uart.own_rate = own_rate
    modem.fast = fast
    return asyncio.run(modem.wake(lambda: None)), modem, uart, key


def test_a_modem_in_a_call_is_taken_out_by_plus_signs_with_silence_around():
    """At whatever rate it was called: plus signs at the other one are noise to it."""
    for own_rate, before in ((115200, [b"", b"", b""]), (921600, [b"", b"", b""])):
        taken, _, uart, key = woken({"AT": before + [OK] * 9}, own_rate)
        assert taken and key.levels == [] and uart.rate == uart.own_rate == 921600
        signs = [i for i, data in enumerate(uart.sent) if data == b"+++"]
        assert len(signs) == 2 and b"ATH\r" in uart.sent
        for at in signs:
            assert uart.times[at] - uart.times[at - 1] >= 1000 and uart.times[at + 1] - uart.times[at] >= 1000


def test_a_modem_that_hears_no_plus_signs_is_taken_out_by_dtr():
    dtr = Pin()
    answers = {"AT": [b""] * 5 + [OK] * 9, "AT+CMEE=1": b"\r\nERROR\r\n", "AT&D2": b"\r\nERROR\r\n"}
    taken, _, _, key = woken(answers, 115200, dtr)
    assert taken and dtr.levels == [1, 0] and key.levels == []


def test_a_modem_is_made_as_fast_as_it_goes_and_found_at_either_rate():
    for own_rate, ipr, fast, rate in (
        (115200, None, True, 921600),
        (921600, None, True, 921600),  # told so by the boot before
        (115200, b"\r\nERROR\r\n", True, 115200),  # it knows no such rate
        (115200, b"", True, 115200),  # it says nothing, and stays
        (115200, None, False, 115200),  # the wires do not carry it
    ):
        answers = {"AT": OK}
        if ipr is not None:
            answers["AT+IPR=921600"] = ipr
        taken, modem, uart, key = woken(answers, own_rate, fast=fast)
        assert taken and uart.rate == uart.own_rate == rate and key.levels == [], (own_rate, ipr)
        assert modem.fast is fast


def test_wires_that_do_not_carry_the_faster_rate_are_not_asked_to_for_ever():
    answers = {"AT": [OK]}  # and nothing once it has been told to be fast
    taken, modem, uart, _ = woken(answers)
    assert not taken and uart.own_rate == 921600 and modem.fast, "it may have restarted just then"
    uart.own_rate = uart.rate = modem._rate = 115200  # it was restarted
    answers["AT"].append(OK)
    taken = asyncio.run(modem.wake(lambda: None))
    assert not taken and modem.fast is False
    uart.own_rate = 115200
    answers["AT"] = OK
    assert asyncio.run(modem.wake(lambda: None)) and uart.rate == 115200


def test_a_modem_that_restarted_as_it_was_made_fast_is_made_fast_again():
    answers = {"AT": [OK]}
    taken, modem, uart, _ = woken(answers)
    assert not taken
    uart.own_rate = 115200
    answers["AT"] = OK
    assert asyncio.run(modem.wake(lambda: None)) and uart.rate == uart.own_rate == 921600 and modem._lost == 0


def silent(reset):
    """(power key, pulses, ms) of a modem that answers nothing, whatever is done to it."""
    modem, _, key = make({}, None, reset)
    began, pulses = now.ms, []
    assert not asyncio.run(modem.wake(lambda: pulses.append(now.ms)))
    return key, pulses, now.ms - began


def test_a_silent_modem_is_switched_on_and_then_restarted():
    key, pulses, took_ms = silent(None)
    assert key.levels == [1, 0] * 3, "on; off, on"
    reset = Pin()
    key, more, _ = silent(reset)
    assert key.levels == [1, 0] and reset.levels == [1, 0]
    for seen in (pulses, more):
        assert max([b - a for a, b in zip(seen, seen[1:])]) < 20000 and len(seen) == 60, "the supervisor hears of it"
    assert took_ms < 90000


def test_the_sim_says_what_it_wants():
    for answer, wants in (
        (b"\r\n+CPIN: READY\r\n\r\nOK\r\n", "READY"),
        (b"\r\n+CPIN: SIM PIN\r\n\r\nOK\r\n", "SIM PIN"),
        (b"\r\n+CPIN: SIM PUK\r\n\r\nOK\r\n", "SIM PUK"),
    ):
        modem, _, _ = make({"AT+CPIN?": answer})
        assert asyncio.run(modem.sim()) == wants


def test_a_pin_is_not_tried_after_a_wrong_one():
    for tries, taken, asked in (
        (b"\r\n+SPIC: 3,10,0,10\r\n\r\nOK\r\n", True, 1),
        (b"\r\n+SPIC: 2,10,0,10\r\n\r\nOK\r\n", False, 0),
        (b"\r\nERROR\r\n", True, 1),
    ):
        modem, uart, _ = make({"AT+SPIC": tries, 'AT+CPIN="1234"': b"\r\nOK\r\n"})
        assert asyncio.run(modem.unlock("1234")) is taken
        assert uart.sent.count(b'AT+CPIN="1234"\r') == asked


def test_registration_home_and_roaming_in_either_domain():
    ok = b"\r\n\r\nOK\r\n"
    for packet, line, taken in (
        (b"0,1", b"0,0", True), (b"0,5", b"0,0", True), (b"0,2", b"0,1", True), (b"0,2", b"0,3", False),
        (b"0,0", b"0,4", False), (b"0,1,\"1A2B\",\"0123\",7", b"0,0", True), (b"", b"", False), (b"x,y", b"0", False),
    ):  # fmt: skip
        modem, _, _ = make(
            {"AT+CEREG?": b"+CEREG: " + packet + ok, "AT+CGREG?": b"+CGREG: " + line + ok, "AT+CSQ": b"+CSQ: 18,99" + ok}
        )
        assert asyncio.run(modem.registered()) is taken, packet
        assert modem.signal == (-77 if taken else None)


def test_signal():
    ok = b"\r\n\r\nOK\r\n"
    for said, dbm in ((b"0,0", -113), (b"1,0", -111), (b"31,0", -51), (b"99,99", None), (b"", None)):
        modem, _, _ = make({"AT+CEREG?": b"+CEREG: 0,1" + ok, "AT+CSQ": b"+CSQ: " + said + ok})
        assert asyncio.run(modem.registered()) and modem.signal == dbm


def test_the_networks_time():
    for text, seconds in (
        ('"26/03/02,07:00:00+28"', NOON_S),
        ('"26/03/02,00:00:00+00"', NOON_S),
        ('"26/03/01,20:30:00-14"', NOON_S),
        ('"26/03/02,05:45:00+23"', NOON_S),
        ('"26/03/02,14:00:00+56"', NOON_S),
        ('"28/02/29,12:00:00+00"', 1835438400),
    ):
        assert network_time(text, BUILT_S) == seconds, text
    for text in (
        '"70/01/01,00:00:17+00"', '"80/01/06,00:00:17+00"', '"14/01/01,02:14:36+08"', '"26/02/01,00:00:00+28"',
        '"26/13/02,07:00:00+28"', '"26/03/00,07:00:00+28"', '"26/03/02,25:00:00+28"', '"26/03/02,07:61:00+28"',
        '"26/03/02,07:00:00+99"', '"26/03/02,07:00:00"', '"26/03/02,07:00:00 28"', '"2a/03/02,07:00:00+28"', '""', "",
        '"26/03/02,07:00:00+2"', '"26/03/02,07:00:00+288"', '"26-03-02,07:00:00+28"'[:10], '"++/++/++,++:++:++++++"',
    ):  # fmt: skip
        assert network_time(text, BUILT_S) is None, text


def test_profiles_press_as_long_as_the_data_sheets_want():
    for name, on_ms, off_ms in (("sim7600", 500, 2500), ("a7670", 50, 2500), ("a7672", 50, 2500)):
        profile = PROFILES[name]
        assert profile[0] >= on_ms and profile[1] >= off_ms and profile[5] == "ATD*99#"


def test_what_keeps_the_networks_time_is_not_told_to_again():
    ok = b"\r\nOK\r\n"
    for said, told in ((b"\r\n+CTZU: 1\r\n" + ok, 0), (b"\r\n+CTZU: 0\r\n" + ok, 1), (b"\r\nERROR\r\n", 1)):
        modem, uart, _ = make({"AT+CTZU?": said, "AT+CTZU=1": ok, "AT+CEREG?": b"+CEREG: 0,1\r\n" + ok, "AT+CSQ": ok})
        for _ in range(3):
            assert asyncio.run(modem.register(lambda: None))
        assert uart.sent.count(b"AT+CTZU=1\r") == told, "each time writes its flash"


def test_denied_in_one_domain_is_denied():
    ok = b"\r\n\r\nOK\r\n"
    for packet, line, found in ((b"3", b"0", 3), (b"0", b"3", 3), (b"3", b"1", 1), (b"2", b"0", 0), (b"0", b"2", 2)):
        modem, _, _ = make({"AT+CEREG?": b"+CEREG: 0," + packet + ok, "AT+CGREG?": b"+CGREG: 0," + line + ok})
        asyncio.run(modem.registered())
        assert modem.registration == found, (packet, line)


def test_a_line_that_never_rests_does_not_keep_the_board():
    class Babble(Uart):
        reads = 0

        def any(self):
            return 100

        def readinto(self, buffer):
            self.reads += 1
            buffer[0] = 0x55
            return 1

    uart = Babble({})
    modem = Modem(uart, PROFILES["a7670"], (Pin(), None, None))
    began = now.ms
    assert asyncio.run(modem.ask("AT", 500)) is None and 500 <= now.ms - began < 1000
    assert uart.reads < 200000


def test_a_pin_of_which_nothing_is_heard_is_not_taken_for_a_wrong_one():
    for answer, taken in ((b"\r\nOK\r\n", True), (b"\r\n+CME ERROR: 16\r\n", False), (b"", None)):
        modem, _, _ = make({"AT+SPIC": b"\r\n+SPIC: 3,10,0,10\r\n\r\nOK\r\n", 'AT+CPIN="1234"': answer})
        assert asyncio.run(modem.unlock("1234")) is taken


def test_a_modem_that_is_never_heard_is_restarted_less_and_less():
    modem, _, key = make({}, None, None)
    presses = []
    for _ in range(16):
        key.levels.clear()
        assert not asyncio.run(modem.wake(lambda: None))
        presses.append(len(key.levels) // 2)
    assert presses == [3, 3, 1, 3, 1, 1, 1, 3] + [1] * 7 + [3], presses


def test_a_modem_that_never_connects_is_given_up():
    for answer, limit_ms in ((b"", 15000), (b"\r\nNO CARRIER\r\n", 100)):
        modem, _, _ = make({'AT+CGDCONT=1,"IP","x"': OK, "ATD*99#": answer})
        began = now.ms
        assert not asyncio.run(modem.dial("x")) and limit_ms <= 15000 and now.ms - began <= limit_ms + 100

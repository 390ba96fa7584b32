"""`network` of the chip: the Wi-Fi station and PPP; what they reach and when is the world's link model."""

import struct

import _chip
import _ops

STA_IF = 0
AP_IF = 1
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_BEACON_TIMEOUT = 200
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_ASSOC_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204

_status = STAT_IDLE
_rssi = 0
# Whether the radio runs: only then are the chip's random numbers more than pseudo-random.
radio_runs = False


def _status_is(value):
    global _status
    _status = value


def _rssi_is(value):
    global _rssi
    _rssi = value


_chip.handlers[_ops.EVENT_WLAN * 256] = _status_is
_chip.handlers[_ops.EVENT_RSSI * 256] = _rssi_is


class WLAN:
    """The station (the access point exists but nobody joins it)."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2
    _active = [False, False]
    _static = ()
    _settings = {"ssid": "", "hostname": "mpy-esp32", "reconnects": -1, "pm": 1, "txpower": 20, "channel": 6}

    def __init__(self, interface=STA_IF):
        self._interface = interface

    def active(self, on=None):
        global _status, radio_runs
        if on is None:
            return WLAN._active[self._interface]
        if bool(on) != WLAN._active[self._interface]:
            WLAN._active[self._interface] = bool(on)
            radio_runs = WLAN._active[0] or WLAN._active[1]
            if on:
                _chip.spend(_RADIO_START_US)
            _status = STAT_IDLE
            _chip.act(_ops.POST_WLAN_ACTIVE, bytes((self._interface, bool(on))))
        return bool(on)

    def connect(self, ssid=None, key=None, *, bssid=None):
        global _status
        if not self.active():
            raise OSError("Wifi Not Started")
        if _status == STAT_CONNECTING:
            raise OSError("Wifi Internal State Error")
        if ssid is not None:
            WLAN._settings["ssid"] = ssid
            WLAN._settings["key"] = key or ""
        _status = STAT_CONNECTING
        credentials = WLAN._settings["ssid"] + "\0" + WLAN._settings.get("key", "")
        _chip.act(_ops.POST_WLAN_CONNECT, bytes((WLAN._settings["reconnects"] & 255,)) + credentials.encode())

    def disconnect(self):
        global _status
        if not self.active():
            raise OSError("Wifi Not Started")
        _status = STAT_IDLE
        _chip.act(_ops.POST_WLAN_DISCONNECT)

    def isconnected(self):
        _look()
        return self._interface == STA_IF and _status == STAT_GOT_IP

    def status(self, what=None):
        _look()
        if what is None:
            return _status
        if what == "rssi":
            return _rssi
        raise ValueError("unknown status param")

    def config(self, what=None, **settings):
        if what is None:
            WLAN._settings.update(settings)
            return None
        if what == "mac":
            return _mac
        if what == "rssi":
            return _rssi
        if what == "essid":
            what = "ssid"
        if what not in WLAN._settings:
            raise ValueError("unknown config param")
        return WLAN._settings[what]

    def ifconfig(self, value=None):
        if value == "dhcp":
            if not WLAN._static:
                raise RuntimeError("Wifi Unknown Error 0x5004")  # DHCP runs already
            value = ()
        if value is not None:
            WLAN._static = tuple(value)
            _chip.post(_ops.POST_WLAN_STATIC, bytes((bool(value),)))
        elif WLAN._static:
            return WLAN._static
        elif self.isconnected():
            return ("192.168.4.2", "255.255.255.0", "192.168.4.1", "192.168.4.1")
        else:
            return ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")

    def ipconfig(self, what=None, **settings):
        if what == "addr4":
            return self.ifconfig()[:2]
        return None

    def scan(self):
        data = _chip.call(_ops.OP_WLAN_SCAN)[1]
        found, at = [], 0
        while at < len(data):
            size, rssi = struct.unpack_from("<Bb", data, at)
            found.append((bytes(data[at + 2 : at + 2 + size]), _mac, 6, rssi, 3, size == 0))
            at += 2 + size
        return found


class PPP:
    """PPP over a UART: what the modem at its other end makes of it is the world's to say."""

    SEC_NONE = 0
    SEC_PAP = 1
    SEC_CHAP = 2

    def __init__(self, stream):
        self._stream = stream
        self._status = 0

    def _status_is(self, value):
        self._status = value

    def connect(self, security=0, user=None, key=None):
        if self._status in (3, 4):
            raise OSError(114)
        self._status = 3
        _chip.handlers[_ops.EVENT_PPP * 256] = self._status_is
        while self._stream.any():
            self._stream.read()
        _chip.act(_ops.POST_PPP_CONNECT, ("%d%s:%s" % (security, user or "", key or "")).encode())

    def disconnect(self):
        if self._status in (3, 4):
            _chip.act(_ops.POST_PPP_DISCONNECT)

    def isconnected(self):
        _look()
        return self._status == 4

    def status(self):
        _look()
        return self._status

    def ifconfig(self, value=None):
        if self.isconnected():
            return ("10.64.0.2", "255.255.255.255", "10.64.0.1", "10.64.0.1")
        return ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")


def _look():
    if _chip.now_us >= _chip.horizon_us:
        _chip.wait(_chip.now_us, _ops.WAIT_POLL)


_RADIO_START_US = 90000
_mac = b"\0\0\0\0\0\0"


def hostname(name=None):
    if name is None:
        return WLAN._settings["hostname"]
    WLAN._settings["hostname"] = name


def country(code=None):
    return "VN"

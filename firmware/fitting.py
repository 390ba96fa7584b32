"""Fits what only some boards have: modem, clock chip, a time server. Loaded where config asks for one of them."""

import gc

import board
import machine
import network
from drivers.calendar import civil
from esp32 import NVS
from kept import Kept


def _part(name):
    gc.collect()  # code takes the heap in large pieces
    return __import__(name, None, None, ("make",))


def fit(settings, ways, clock, station, random, report):
    """Adds to `ways`, the links in order; returns (tasks to supervise, budget of metered bytes).

    A task is (name, run, limit in ms), its run called with the links. What the board has no pins for is reported and left out.
    """
    kept = Kept(NVS("chot"), clock, station.hold)
    tasks = [("kept", lambda links: kept.run, 150000)]
    budget = None
    if settings.clock_chip != "none":
        if hasattr(board, "I2C_SCL"):
            chip = _part("drivers." + settings.clock_chip).make(board, machine, clock, kept, board.BUILT_S)
            chip_s = chip.read()
            if chip_s:  # the chip's own clock, by which TLS checks dates: right, or at least not far from it
                date = civil(chip_s)
                machine.RTC().datetime(date[:3] + (date[6],) + date[3:6] + (0,))
            station.extras.append(chip.health)
            tasks.append(("clock", lambda links: chip.run, 150000))
        else:
            report("clock_chip: this board has no I2C pins")
    if settings.cellular:
        if hasattr(board, "MODEM_UART"):
            uplink = _part("uplink.cellular")
            link = uplink.make(board, machine, network.PPP, settings.cellular, board.BUILT_S, clock.reading, report)
            budget = uplink.budget(settings.cellular, kept, clock)
            if settings.links[:1] == ["cellular"]:
                ways.insert(0, link)
            else:
                ways.append(link)
            tasks.append(("cellular", lambda links: link.run, 150000))
        else:
            report("cellular: this board has no modem pins")
    if settings.ntp:

        ntp = _part("uplink.ntp")  # now, while there is room

        def ask(links):
            return ntp.make(settings.ntp.decode(), links, clock, random, board.BUILT_S).run

        tasks.append(("ntp", ask, 60000))
    return tasks, budget

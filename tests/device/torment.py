"""The runs of the torture: a workload forked at its flash operations, each fork torn, recovered, checked, carried on.

CHOT_SEED (a number) draws the workload and the cuts, CHOT_TORTURE=full cuts at every operation in every kind, and
CHOT_CUT="overwrite 17 inside" repeats one cut.
"""

import os
import random
import sys

from torn import BEFORE, TornNor
from torture import KINDS, SECTORS, Lost, Model, Sealed, World

OPERATIONS = 1_000  # of the journal, under each policy
SHORT_CUTS = 200
_AFTER_OPERATIONS = 8
_EARLY = 3  # flash operations after a recovery that are torn too


def draw(count, rng=random):
    """A workload: cards mostly; shipping, boots and new keys; twice nobody answers until the ring is full."""
    ops = []
    outages = [range(count // 8, count * 7 // 16), range(count * 9 // 16, count * 7 // 8)]
    for n in range(count):
        outage = any(n in outage for outage in outages)
        dice = rng.randrange(100)
        if n in (count // 2, count * 9 // 10):
            op = "f"
        elif dice < (45 if outage else 30):
            op = "s"
        elif dice < (70 if outage else 55):
            op = "n%d" % rng.randrange(100 if outage else 1, 227)
        elif dice < 74:
            op = "i"
        elif dice < 77:
            op = "c"
        elif dice < 80:
            op = "b"
        elif dice < 83:
            op = "k"
        elif dice < 86:
            op = "p"
        elif dice < 88:
            op = "r"
        elif dice < 90:
            op = "h%d" % rng.randrange(256, 3000)
        elif dice < 92:
            op = "l"
        elif outage:
            op = "u4"
        else:
            op = "u%d" % rng.randrange(5)
        ops.append(op)
    return ops


class Torment:
    """One workload under one policy, with what was cut in it."""

    def __init__(self, seed, overwrite, wanted, only=None):
        self.seed = seed
        self.policy = "overwrite" if overwrite else "refuse"
        self.overwrite = overwrite
        self.wanted = wanted  # function of (operation number, kind): is this point cut?
        self.only = only
        self.operation = -1
        self.points = {kind: 0 for kind in KINDS}
        self.early = self.double = self.programs = self.erases = 0

    def run(self, ops):
        self.sealed = Sealed()
        self.world = World(TornNor(SECTORS), Model(), self.sealed, self.overwrite)
        self.world.on_operation = self.fork_all
        self.world.run(ops)
        if not self.world.refused and not self.world.model.overwritten:
            raise Lost("the workload never filled the ring")
        self.world.check()
        self.world.goes_on()
        self.world.on_operation = None

    def fork_all(self, world, index, data, offset):
        self.operation += 1
        if data is None:
            self.erases += 1
        else:
            self.programs += 1
        for kind in KINDS:
            if not self.wanted(self.operation, kind):
                continue
            point = "%s %d %s" % (self.policy, self.operation, kind)
            if self.only in (None, point):
                self.points[kind] += 1
                try:
                    self.fork(world, kind, index, data, offset)
                except Exception as error:
                    print('failed: rerun with CHOT_SEED=%d CHOT_CUT="%s"' % (self.seed, point))
                    raise error

    def fork(self, world, kind, index, data, offset):
        """The world as it is when this operation is torn: recover, compare, go on with a workload of its own."""
        random.seed(self.seed * 100_003 + self.operation * 3 + KINDS.index(kind))
        flash, model, sealed = world.flash.copy(), world.model.copy(), self.sealed.copy()
        if data is None and kind != BEFORE and not world.formatting:
            World(flash.copy(), model, sealed, self.overwrite).erasing(index)
        flash.tear(index, data, offset, kind)
        fork = World(flash, model, sealed, self.overwrite)
        fork.check()
        # The power goes again at one of the first operations after the recovery, or somewhere later.
        ops = ["s"] + draw(_AFTER_OPERATIONS) + ["s"]  # noqa: RUF005 - MicroPython has no stars in a list
        dice = random.randrange(4)
        if dice == 0:
            self.early += 1
            ops.insert(0, "x%d" % random.randrange(_EARLY * 3))
        elif dice == 1:
            self.double += 1
            ops.insert(0, "x%d" % random.randrange(_EARLY * 3, 30))
        fork.run([op for op in ops if op != "f"])
        fork.check()
        fork.goes_on()
        fork.drain()
        fork.check()


def even(total, share):
    """Which points are cut when `share` of `total` are: evenly spread, the kinds in turn."""

    def wanted(operation, kind):
        place = operation * 3 + KINDS.index(kind)
        return place * share // total != (place + 1) * share // total

    return wanted


def torture():
    """Both policies; prints what was done. Lost, or what the flash raised, when a promise broke."""
    seed = int(os.getenv("CHOT_SEED") or 1)
    full = os.getenv("CHOT_TORTURE") == "full"
    only = os.getenv("CHOT_CUT")
    cuts = int(os.getenv("CHOT_CUTS") or SHORT_CUTS)
    for overwrite in (False, True):
        random.seed(seed * 2 + overwrite)
        ops = draw(OPERATIONS)
        count = Torment(seed, overwrite, lambda operation, kind: False)
        count.run(ops)
        total = count.operation + 1
        wanted = even(total * 3, cuts) if not (full or only) else lambda operation, kind: True
        run = Torment(seed, overwrite, wanted, only)
        run.run(ops)
        cut = sum(run.points.values())
        print(
            "%s, seed %d: %d journal operations, %d flash operations (%d programs, %d erases), %d cut points of %d %s, "
            "cut again right after recovery in %d, later in %d; full ring: %d cards refused, %d sectors overwritten"
            % (run.policy, seed, len(ops), total, run.programs, run.erases, cut, total * 3, run.points, run.early, run.double,
               run.world.refused, run.world.model.overwritten)
        )
        if only is None and cut < (total if full else cuts):
            raise Lost("only %d points were cut" % cut)


def serve():
    """Lists of operations from stdin, one a line ("refuse s n20 x1 u0"): each runs on a flash of its own; ok or why not."""
    while True:
        line = sys.stdin.readline().split()
        if not line:
            return
        random.seed(int(line[1]))
        try:
            world = World(TornNor(SECTORS), Model(), Sealed(), line[0] == "overwrite")
            world.run(line[2:])
            world.check()
            world.goes_on()
            world.drain()
            world.check()
            print("ok")
        except Exception as error:
            print("%s: %s" % (type(error).__name__, error))

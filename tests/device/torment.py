"""The runs of the torture: a workload forked at its flash operations, each fork torn, recovered, checked, carried on.

CHOT_SEED (a number) draws the workload and the cuts; CHOT_TORTURE=full cuts every operation at every point and goes on in
three ways, CHOT_TORTURE=thin cuts one operation in four; CHOT_POLICY names one policy; CHOT_CUT="overwrite 17 inside 0" repeats
one cut.
"""

import os
import random
import sys

import plain_list
from plain_list import Lost, Model, Sealed, Tally
from torn import BEFORE, INSIDE, KINDS, MARK, TornNor, points
from torture import SECTORS, World

LENGTH = 800  # of a workload, under each policy
OPERATIONS = 1_000  # of the journal that it must come to
_AFTER_OPERATIONS = 8
_EARLY = 3  # flash operations after a recovery among which the second cut falls first
_READS = 120  # of flash in a recovery, about
_HEADER_BYTES = 56
_STAY_UP, _CUT_AT_ONCE, _CUT_LATER = range(3)  # what a fork does after its recovery


def any_operation(outage=False):
    """One operation of a workload; while nobody answers, more of what fills the ring."""
    dice = random.randrange(200)
    if dice < (80 if outage else 60):
        return "s"
    if dice < (130 if outage else 105):
        return "n%d" % random.randrange(100 if outage else 1, 227)
    if dice < 142:
        return "i"
    if dice < 149:
        return "c"
    if dice < 155:
        return "b"
    if dice < 157:
        return "y%d" % random.randrange(_READS)
    if dice < 163:
        return "k"
    if dice < 169:
        return "p"
    if dice < 172:
        return "r"
    if dice < 176:
        return "h%d" % random.randrange(256, 3000)
    if dice < 179:
        return "l"
    if dice < 181:
        return "w%d" % random.randrange(1, 3)
    if dice < 184:
        return "v%d" % (random.randrange(20) if random.randrange(3) else 0)
    return "u%d" % (random.randrange(4, 6) if outage else random.randrange(6))


def draw(count):
    """A workload: two outages until the ring is full and overtakes requests, torn erases, two formats."""
    outages = (range(count // 8, count * 7 // 16), range(count * 9 // 16, count * 7 // 8))
    ops = [any_operation(any(n in outage for outage in outages)) for n in range(count)]
    for n in range(count * 45 // 100, count // 2, count // 50):
        ops[n : n + 2] = ["e", "g"]
    for n in (count // 2, count * 9 // 10):
        ops[n] = "f"
    for outage in outages:
        for n in range(outage.stop - 20, outage.stop, 5):
            ops[n] = "o"
    return ops


class Torment:
    """One workload under one policy, with what was cut in it."""

    def __init__(self, seed, overwrite, wanted, only=None):
        self.seed = seed
        self.policy = "overwrite" if overwrite else "refuse"
        self.overwrite = overwrite
        self.wanted = wanted  # function of (operation, place, places of it): the forks of this point
        self.only = only
        self.tally = Tally()
        self.operation = -1
        self.cuts = {kind: 0 for kind in KINDS}
        self.points = self.programs = self.erases = 0
        self.forks = [0, 0, 0]

    def run(self, ops):
        self.sealed = Sealed()
        self.world = World(TornNor(SECTORS), Model(), self.sealed, self.overwrite, self.tally)
        self.world.on_operation = self.fork_all
        self.world.run(ops)
        self.world.check()
        self.world.goes_on()
        self.world.on_operation = None

    def fork_all(self, world, index, data, offset):
        self.operation += 1
        if data is None:
            self.erases += 1
        else:
            self.programs += 1
        places = points(data, offset)
        for place, point in enumerate(places):
            self.points += 1
            name = "%s %d %s %d" % (self.policy, self.operation, point[0], point[1])
            if self.only not in (None, name):
                continue
            forks = self.wanted(self.operation, place, len(places))
            if forks:
                self.cuts[point[0]] += 1
                self.tally.cut(Tally.WORKLOAD, world.kinds)
            for then in forks:
                self.forks[then] += 1
                try:
                    random.seed((self.seed * 100_003 + self.operation) * 64 + place * 3 + then)
                    self.fork(world, point, index, data, offset, then)
                except Exception as error:
                    print('failed: rerun with CHOT_SEED=%d CHOT_CUT="%s"' % (self.seed, name))
                    raise error
        random.seed(self.seed * 100_003 + self.operation)  # the workload goes on the same whatever was cut

    def fork(self, world, point, index, data, offset, then):
        """The world as it is when this operation is torn: recover, compare, go on with a workload of its own."""
        flash, model, sealed = world.flash.copy(), world.model.copy(), self.sealed.fork()
        before = [number for _, _, numbers in world.contents() for number in numbers] if world.formatting else None
        gone = world.holds(index) if data is None else ()
        if point[0] != BEFORE:
            model.forget(gone)
        flash.tear(index, data, offset, point)
        if point[0] == INSIDE and data is not None:
            self.note_undecided(flash.loose.get(index, {}))
        fork = World(flash, model, sealed, self.overwrite, self.tally, Tally.AFTER_CUT)
        there = fork.check()
        if before is not None:
            left = [number for number in before if number not in gone]
            if left[len(left) - len(there.difference(gone)) :] != sorted(there.difference(gone)):
                raise Lost("formatting left %s of %s" % (there, before))
        ops = ["y%d" % random.randrange(_READS), "s"]
        ops.extend(any_operation() for _ in range(_AFTER_OPERATIONS))
        if then == _CUT_AT_ONCE:
            # One of the first operations after the recovery, then again in an erase at boot, then in what follows.
            ops.insert(1, "x%d" % (random.randrange(_EARLY) + 16 * random.randrange(5)))
            ops.insert(3, "z%d" % random.choice((1, 1, 2, SECTORS)))
            ops.insert(4, "x%d" % random.randrange(16 * 5))
        elif then == _CUT_LATER:
            ops.insert(1, "x%d" % random.randrange(_EARLY, 16 * 5))
        fork.run(ops)
        fork.check()
        fork.goes_on()

    def note_undecided(self, loose):
        if any(bits and at < _HEADER_BYTES for at, bits in loose.items()):
            self.tally.done(Tally.AFTER_CUT, plain_list.UNDECIDED_HEADER)
        if loose.get(MARK):
            self.tally.done(Tally.AFTER_CUT, plain_list.UNDECIDED_MARK)

    def report(self, thin):
        """Print what was done and cut; Lost where something is missing, unless little was to be cut."""
        rows, missing = self.tally.table(self.overwrite)
        flash_operations = self.operation + 1
        print(
            "%s, seed %d: %d journal operations, %d flash operations (%d programs, %d erases), %d points to cut at; "
            "%d cut %s;\nthen %d stayed up, %d were cut again at once and in the erase at boot, %d later"
            % (self.policy, self.seed, self.tally.operations(), flash_operations, self.programs, self.erases, self.points,
               sum(self.cuts.values()), self.cuts, self.forks[0], self.forks[1], self.forks[2])
        )
        print("\n".join(rows))
        if thin:
            return
        if self.tally.operations() < OPERATIONS:
            raise Lost("only %d operations" % self.tally.operations())
        if sum(self.cuts.values()) < flash_operations or not all(self.cuts.values()):
            raise Lost("too few points were cut")
        if missing:
            raise Lost("done too rarely, or never cut: %s" % ", ".join(missing))


def one_of_each(operation, place, places):
    """Every operation once: inside it mostly, at its other points in turn; what follows, in turn."""
    chosen = 1 if operation % 3 else operation // 3 % places
    return (operation // 2 % 3,) if place == chosen else ()


def one_in_four(operation, place, places):
    return one_of_each(operation // 4, place, places) if operation % 4 == 0 else ()


def each(operation, place, places):
    return (_STAY_UP, _CUT_AT_ONCE, _CUT_LATER)


def torture():
    """Both policies; prints what was done. Lost, or what the flash raised, when a promise broke."""
    seed = int(os.getenv("CHOT_SEED") or 2)
    only = os.getenv("CHOT_CUT")
    thin = os.getenv("CHOT_TORTURE") == "thin"
    wanted = each if only or os.getenv("CHOT_TORTURE") == "full" else one_in_four if thin else one_of_each
    policy = only.split()[0] if only else os.getenv("CHOT_POLICY")
    for overwrite in (False, True):
        if policy in (None, "overwrite" if overwrite else "refuse"):
            random.seed(seed * 2 + overwrite)
            run = Torment(seed, overwrite, wanted, only)
            run.run(draw(LENGTH))
            if only is None:
                run.report(thin)


def run_list(line, survive=True):
    """One list of operations ("refuse 7 s n20 x1 u0": policy, seed, operations) on a flash of its own; ok, or why not."""
    line = line.split()
    random.seed(int(line[1]))
    try:
        world = World(TornNor(SECTORS), Model(), Sealed(), line[0] == "overwrite")
        world.run(line[2:])
        world.check()
        world.goes_on()
        return "ok"
    except Exception as error:
        if not survive:
            raise
        return "%s: %s" % (type(error).__name__, error)


def again(line):
    """One list again, with what stopped it."""
    print(run_list(line, False))


def serve():
    """Runs the list of operations in each line from stdin."""
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        print(run_list(line))

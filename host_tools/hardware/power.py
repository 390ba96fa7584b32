"""The power budget of a board: what its parts draw on 12 V and 5 V, and the supply, fuses and capacitor that follow."""

from __future__ import annotations

from dataclasses import dataclass

from host_tools.build.boards import Board
from host_tools.hardware.catalogue import Part, catalogue, loads

# Ratings that are to be had: 5 V and 12 V supplies (A), slow fuses (A, IEC 60127), low-ESR capacitors (µF).
SUPPLIES_5V_A = (2, 3, 4, 5)
SUPPLIES_12V_A = (2, 3, 5, 8.5)
FUSES_A = (0.5, 0.63, 0.8, 1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3)
CAPACITORS_UF = (470, 1000, 2200, 4700)

SUPPLY_MARGIN = 1.25  # a supply is not run above four fifths of its rating
FUSE_MARGIN = 1.5  # a slow fuse carries two thirds of its rating for ever, in a warm box too; peaks stay below it
BUCK_EFFICIENCY = 0.85
DROOP_V = 0.3  # A7670 hardware design 3.1: its supply may sink by no more
REACTION_S = 200e-6  # a converter's loop and a metre or two of cable: until then the capacitor alone gives (assumed)
CABLE_DROP_V = 0.25  # of 5 V, both wires, at the peak
CABLE_OHM_M = 0.0245  # one wire of 0.75 mm²


@dataclass(frozen=True)
class State:
    """The currents of one state (rest, work or peak), mA: by part on the 5 V rail and on the 12 V rail."""

    five: dict[str, float]
    twelve: dict[str, float]

    @property
    def five_ma(self) -> float:
        """The whole 5 V rail, mA."""
        return sum(self.five.values())

    @property
    def buck_ma(self) -> float:
        """What a step-down module takes of 12 V for the 5 V rail, mA."""
        return self.five_ma * 5 / 12 / BUCK_EFFICIENCY

    @property
    def twelve_ma(self) -> float:
        """The whole 12 V rail with what the step-down module takes of it, mA."""
        return sum(self.twelve.values()) + self.buck_ma


@dataclass(frozen=True)
class Budget:
    """A board's states and the choices that follow; `twelve`: there is a 12 V supply and a step-down module."""

    board: str
    twelve: bool
    rest: State
    work: State
    peak: State
    supply_a: float
    main_fuse_a: float
    lock_fuse_a: float | None
    buck: Part | None
    capacitor_uf: int
    cable_m: float

    @property
    def supply_v(self) -> int:
        """The voltage of the supply."""
        return 12 if self.twelve else 5

    def supply_ma(self, state: State) -> float:
        """What a state takes from the supply, mA."""
        return state.twelve_ma if self.twelve else state.five_ma


def _at_least(ratings: tuple[float, ...], wanted: float, what: str) -> float:
    for rating in ratings:
        if rating >= wanted:
            return rating
    raise ValueError(f"no {what} of {wanted:.2f}: the largest is {ratings[-1]}")


def _state(parts: list[Part], attribute: str) -> State:
    five: dict[str, float] = {}
    twelve: dict[str, float] = {}
    for part in parts:
        rail = twelve if part.volts == 12 else five
        rail[part.key] = rail.get(part.key, 0) + getattr(part, attribute)
    return State(five, twelve)


def budget(board: Board) -> Budget:
    """The budget of a board; ValueError if no rating in the lists is enough."""
    parts = loads(board)
    rest, work, peak = (_state(parts, name) for name in ("rest_ma", "work_ma", "peak_ma"))
    twelve = "relay" in board.parts
    if twelve:
        supply = _at_least(SUPPLIES_12V_A, peak.twelve_ma / 1000 * SUPPLY_MARGIN, "12 V supply")
    else:
        supply = _at_least(SUPPLIES_5V_A, peak.five_ma / 1000 * SUPPLY_MARGIN, "5 V supply")
    buck = None
    if twelve:
        work_a, peak_a = work.five_ma * SUPPLY_MARGIN / 1000, peak.five_ma * SUPPLY_MARGIN / 1000
        modules = (catalogue()[key] for key in ("buck-3a", "buck-5a"))
        buck = next((part for part in modules if part.amps >= work_a and part.peak_amps >= peak_a), None)
        if buck is None:
            raise ValueError(f"no step-down module of {peak_a:.2f} A")
    steady_a, most_a = ((state.twelve_ma if twelve else state.five_ma) / 1000 for state in (work, peak))
    step_a = (peak.five_ma - rest.five_ma) / 1000
    capacitor = _at_least(CAPACITORS_UF, step_a * REACTION_S / DROOP_V * 1e6, "capacitor")
    lock_ma = peak.twelve.get("lock")
    return Budget(
        board=board.name,
        twelve=twelve,
        rest=rest,
        work=work,
        peak=peak,
        supply_a=supply,
        main_fuse_a=_at_least(FUSES_A, max(steady_a * FUSE_MARGIN, most_a), "fuse"),
        lock_fuse_a=_at_least(FUSES_A, lock_ma / 1000 * FUSE_MARGIN, "fuse") if lock_ma else None,
        buck=buck,
        capacitor_uf=int(capacitor),
        cable_m=CABLE_DROP_V / (2 * CABLE_OHM_M * peak.five_ma / 1000),
    )

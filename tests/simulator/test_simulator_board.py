"""The board on a PC: time, asyncio, resets, watchdog, console and randomness as on the chip."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from host_tools.errors import UserError
from host_tools.simulator import board_process
from host_tools.simulator.board import _ops
from host_tools.simulator.kernel import Kernel


def test_kernel_runs_in_order_of_time_then_of_scheduling() -> None:
    kernel, order = Kernel(), []
    for name, at_us in (("b", 20), ("a", 10), ("c", 20), ("late", 999)):
        kernel.at(at_us, lambda name=name: order.append(name))  # type: ignore[misc]
    cancelled = kernel.at(15, lambda: order.append("never"))
    cancelled.cancel()
    kernel.run(100)
    assert order == ["a", "b", "c"]
    assert kernel.now_us == 100


def test_the_image_boots_and_time_starts_in_2000(rig: Any) -> None:
    board = rig(
        "import time, machine, sys\nprint(time.gmtime()[:3], machine.reset_cause(), sys.implementation.name)\n"
        "print(machine.unique_id().hex(), time.mktime((2026, 3, 2, 0, 0, 0, 0, 0)))\n"
        "import helper\nprint(helper.WORD)",
        helper="WORD = 'littlefs'",
    )
    assert board.run(1000).splitlines() == ["(2000, 1, 1) 1 micropython", "020000000001 825724800", "littlefs"]
    assert "micropython" in board.board.runtime_name.lower()


def test_sleeping_takes_exactly_its_virtual_time_and_ticks_wrap(rig: Any) -> None:
    board = rig(
        # Reading a clock takes its microseconds: from early in a millisecond they never add up to another one.
        "import time\nwhile time.ticks_us() % 1000 > 500: pass\n"
        "previous = time.ticks_ms()\nwraps = 0\nfor _ in range(26):\n    time.sleep(43200)\n"
        "    now = time.ticks_ms()\n    assert time.ticks_diff(now, previous) == 43200000, time.ticks_diff(now, previous)\n"
        "    wraps += now < previous\n    previous = now\nprint(wraps, time.time() // 86400)"
    )
    assert board.run(14 * 86_400_000) == "1 13\n"


def test_ticks_arithmetic_is_that_of_30_bits(rig: Any) -> None:
    board = rig(
        "import time\nprint(time.ticks_diff(5, (1 << 30) - 5), time.ticks_add((1 << 30) - 5, 10),\n"
        " time.ticks_diff(0, 1 << 29), time.ticks_add(3, -5) == (1 << 30) - 2)"
    )
    assert board.run(1000) == "10 5 -536870912 True\n"


def test_asyncio_wakes_in_order_and_first_come_first_served(rig: Any) -> None:
    board = rig(
        """
import asyncio
async def say(word, ms):
    await asyncio.sleep_ms(ms)
    print(word)
async def main():
    event = asyncio.Event()
    async def waiter(word):
        await event.wait()
        print(word)
    tasks = [asyncio.create_task(say(w, ms)) for w, ms in (("d", 30), ("b", 20), ("c", 20), ("a", 10))]
    tasks += [asyncio.create_task(waiter(w)) for w in ("w1", "w2")]
    await asyncio.sleep_ms(50)
    event.set()
    await asyncio.gather(*tasks)
    slow = asyncio.create_task(say("never", 1000))
    try:
        await asyncio.wait_for_ms(slow, 20)
    except asyncio.TimeoutError:
        print("timeout")
    async def fails():
        raise ValueError("x")
    try:
        await asyncio.create_task(fails())
    except ValueError:
        print("caught")
    sleeper = asyncio.create_task(say("never", 1000))
    await asyncio.sleep_ms(0)
    sleeper.cancel()
    try:
        await sleeper
    except asyncio.CancelledError:
        print("cancelled", sleeper.done())
    lock = asyncio.Lock()
    async def locked(word):
        async with lock:
            await asyncio.sleep_ms(1)
            print(word)
    await asyncio.gather(locked("l1"), locked("l2"), locked("l3"))
asyncio.run(main())
"""
    )
    words = board.run(5000).split("\n")[:-1]
    assert words == ["a", "b", "c", "d", "w1", "w2", "timeout", "caught", "cancelled True", "l1", "l2", "l3"]


def test_the_watchdog_resets_a_board_that_does_not_feed_it(rig: Any) -> None:
    board = rig(
        "import machine, time\nprint(machine.reset_cause())\nwdt = machine.WDT(timeout=2000)\n"
        "for _ in range(3):\n    time.sleep(1)\n    wdt.feed()\ntime.sleep(60)"
    )
    assert board.run(6500).splitlines() == ["1", "3"]
    assert board.board.boots == 2


def test_the_watchdog_bites_in_a_busy_loop_too(rig: Any, monkeypatch: Any) -> None:
    board = rig(
        "import machine, time\nprint(machine.reset_cause())\nif machine.reset_cause() == 3: time.sleep(9)\n"
        "wdt = machine.WDT(timeout=1000)\nwhile True: pass"
    )
    monkeypatch.setattr(board_process, "HANG_S", 0.3)
    assert board.run(2500).splitlines() == ["1", "3"]
    assert board.board.faults == []


def test_a_hang_without_a_watchdog_is_reported(rig: Any, monkeypatch: Any) -> None:
    board = rig("while True: pass")
    monkeypatch.setattr(board_process, "HANG_S", 0.3)
    board.run(2000)
    assert board.board.state == board_process.STUCK
    assert "no watchdog" in board.board.faults[0]


def test_rtc_memory_lives_through_a_reset_and_dies_with_the_power(rig: Any) -> None:
    board = rig(
        "import machine, time\nrtc = machine.RTC()\nprint(machine.reset_cause(), rtc.memory(), time.time())\n"
        "if machine.reset_cause() == 1:\n    rtc.memory(b'kept')\n    time.sleep(5)\n    machine.reset()\ntime.sleep(1000)"
    )
    assert board.run(8000).splitlines() == ["1 b'' 0", "2 b'kept' 5"]
    board.board.power_cut()
    board.board.power_on()
    assert board.run(1000).splitlines()[2] == "1 b'' 0"


def test_a_crystal_that_is_off_counts_other_seconds(rig: Any) -> None:
    main = "import time\nwhile True:\n    time.sleep_ms(100000)\n    print(time.time())"
    seconds = [int(rig(main, drift_ppm=ppm).run(20_000_000).splitlines()[-1]) for ppm in (0, 500, -500)]
    assert seconds[0] == 19900
    assert [value - seconds[0] for value in seconds[1:]] == [9, -10]


def test_another_runtime_can_be_chosen(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Path(sys.executable).with_name("micropython")
    monkeypatch.setenv("MICROPYTHON", str(chosen))
    if chosen.exists():
        assert rig("print('here')").run(1000) == "here\n"
    monkeypatch.setenv("MICROPYTHON", "/nowhere/micropython")
    with pytest.raises(UserError):
        rig("print('here')")


def test_soft_reset_and_the_end_of_main(rig: Any) -> None:
    board = rig(
        "import machine, sys\nprint(machine.reset_cause())\nif machine.reset_cause() == 1: machine.soft_reset()\n"
        "raise RuntimeError('at the prompt')"
    )
    output = board.run(5000)
    assert output.startswith("1\n5\nTraceback") and "at the prompt" in output
    assert board.board.state == board_process.ENDED


def test_ctrl_c_is_raised_where_the_board_waits(rig: Any) -> None:
    board = rig(
        "import asyncio, time\nasync def main():\n    await asyncio.sleep(3600)\ntry:\n    asyncio.run(main())\n"
        "except KeyboardInterrupt:\n    print('interrupted', time.time())\ntime.sleep(1)\nprint('on')"
    )
    board.kernel.at(5_000_000, board.board.interrupt)
    assert board.run(7000) == "interrupted 4\non\n"


def test_random_bytes_are_the_same_at_every_boot_until_the_radio_runs(rig: Any) -> None:
    board = rig(
        "import os, network, machine\nprint(os.urandom(8).hex())\nnetwork.WLAN(network.STA_IF).active(True)\n"
        "print(os.urandom(8).hex())\nif machine.reset_cause() == 1: machine.reset()"
    )
    poor_1, rich_1, poor_2, rich_2 = board.run(5000).split()
    assert poor_1 == poor_2
    assert rich_1 != rich_2 and rich_1 != poor_1


def test_input_pins_outputs_and_pwm_reach_the_world(rig: Any) -> None:
    board = rig(
        "import machine, time\nlamp = machine.Pin(26, machine.Pin.OUT, value=0)\nhelp_ = machine.Pin(4, machine.Pin.IN,\n"
        " machine.Pin.PULL_UP)\nbuzzer = machine.PWM(machine.Pin(32), freq=1000, duty_u16=0)\n"
        "while help_.value():\n    time.sleep_ms(10)\nlamp.on()\nbuzzer.freq(2700)\nbuzzer.duty_u16(32768)\nprint('pressed')"
    )
    seen: list[tuple[int, ...]] = []
    board.board.on_pin = lambda pin, level, at_us: seen.append((pin, level))
    board.board.on_pwm = lambda pin, hz, duty, at_us: seen.append((pin, hz, duty))
    board.kernel.at(2_000_000, lambda: board.board.set_input(4, 0))
    assert board.run(3000) == "pressed\n"
    assert seen == [(26, 0), (32, 1000, 0), (26, 1), (32, 2700, 0), (32, 2700, 32768)]


def test_nvs_keeps_what_was_committed(rig: Any) -> None:
    board = rig(
        "import esp32, machine\nn = esp32.NVS('chot')\nif machine.reset_cause() == 1:\n    n.set_i32('a', -7)\n"
        "    n.commit()\n    n.set_i32('a', 9)\n    machine.reset()\nprint(n.get_i32('a'))\n"
        "try:\n    n.get_i32('b')\nexcept OSError as e:\n    print('none')"
    )
    assert board.run(3000) == "-7\nnone\n"


def test_two_runs_are_the_same(rig: Any) -> None:
    main = (
        "import os, time, random, network\nnetwork.WLAN(0).active(True)\n"
        "print(os.urandom(4), random.random(), time.ticks_us())"
    )
    first, second, other = rig(main), rig(main), rig(main, seed=2)
    assert first.run(1000) == second.run(1000) != other.run(1000)


def test_the_operation_numbers_are_all_different() -> None:
    for prefix in (("OP_", "POST_"), ("EVENT_",), ("FLAG_",)):
        numbers = [value for name, value in vars(_ops).items() if name.startswith(prefix)]
        assert len(numbers) == len(set(numbers))

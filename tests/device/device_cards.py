"""Payloads to cards inside MicroPython: every scheme, everything refused, and mutations that must never raise."""

import random

import records
from scanner import cards, verdict

NATIONAL = b"001093029317|NGUYEN VAN A|1987-01-18|0|162979388586171100|<1<00<0123232422"
MASKED = b"******029317|NGUYEN VAN A|1987-**-**|0|162979388586171100|<1<GD4877*******<0943******"
CITIZEN = "046099012345|191234567|Nguyễn Thị Ánh|18011987|Nữ|12 Lê Lợi, Huế|01052021".encode()
CITIZEN_2024 = "046099012345||Nguyễn Thị Ánh|18011987|Nữ|12 Lê Lợi, Huế|01082024|||Cha|Mẹ".encode()
BHYT_OLD = b"GD4460000012345|4e677579e1bb856e|18/01/1987|1|487565|46 - 001|01/01/2021|-|01/01/2021|$"
BHYT_NEW = b"4600012345|4e677579e1bb856e|18/01/1987|2|-|46 - C01|01/04/2021|-|02/04/2021|4600|-|4|01/2026|ab| x|487565|$\0"
PAYMENT = b"00020101021138570010A00000072701270006970403011300110123456780208QRIBFTTA53037045802VN63049E6F"

ALL = cards.Cards(["qrqg", "cccd", "bhyt"])


def digits(text):
    return records.id_digits(text)


def test_schemes():
    assert ALL.identify(NATIONAL) == (1, digits(b"162979388586171100"))
    assert ALL.identify(MASKED) == (1, digits(b"162979388586171100"))
    assert ALL.identify(CITIZEN) == (2, digits(b"046099012345"))
    assert ALL.identify(CITIZEN_2024) == (2, digits(b"046099012345"))
    assert ALL.identify(CITIZEN[: CITIZEN.rindex(b"|")]) == (2, digits(b"046099012345"))
    assert ALL.identify(BHYT_OLD) == (3, b"\0GD4460000012345")
    assert ALL.identify(BHYT_NEW) == (3, digits(b"4600012345"))


def test_leading_zeros_are_part_of_an_id():
    first = ALL.identify(NATIONAL.replace(b"162979388586171100", b"000079388586171100"))
    second = ALL.identify(NATIONAL.replace(b"162979388586171100", b"79388586171100"))
    assert first[0] == second[0] == 1 and first[1] != second[1]


def test_never_a_card():
    assert ALL.identify(PAYMENT) == (9, b"\0")
    for link in (b"https://qr.pccovid.gov.vn/abcdef", b"HTTP://X.VN", b"www.hue.vn", b"NZCOVIDTRACER:eyJ", b"HKEN:0ABC"):
        assert ALL.identify(link) == (10, b"\0"), link


def test_everything_else_is_text_or_digest():
    import hashlib

    assert ALL.identify("HUES-Thẻ-0042".encode()) == (0, b"\0" + "HUES-Thẻ-0042".encode())
    for payload in (b"x" * 65, b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xe2\x82"):
        assert ALL.identify(payload) == (0, b"\x40" + hashlib.sha256(payload).digest()[:16]), payload
    for payload in (b"x" * 64, b"\x00", b"\r", "é€😀".encode()):
        assert ALL.identify(payload) == (0, b"\0" + payload), payload


def test_only_what_config_asks_for_is_a_scheme():
    some = cards.Cards(["cccd"])
    assert some.identify(CITIZEN)[0] == 2
    assert some.identify(NATIONAL)[0] == 0


def test_only_the_id_leaves():
    for payload in (NATIONAL, CITIZEN, BHYT_OLD, BHYT_NEW):
        _, packed = ALL.identify(payload)
        assert len(packed) <= 16 and b"NGUYEN" not in packed and b"Nguy" not in packed


def test_near_misses_are_no_scheme():
    for payload in (
        NATIONAL.replace(b"|0|", b"|2|"),
        NATIONAL.replace(b"1987-01-18", b"1987/01/18"),
        NATIONAL.replace(b"162979388586171100", b"16297938858617110x"),
        NATIONAL.replace(b"162979388586171100", b""),
        NATIONAL + b"|",
        CITIZEN.replace(b"046099012345", b"04609901234"),
        CITIZEN.replace(b"18011987", b"1801198"),
        BHYT_OLD.replace(b"|$", b"|"),
        BHYT_OLD.replace(b"GD4460", b"4D4460"),
        BHYT_NEW.replace(b"|2|", b"|3|"),
    ):
        assert ALL.identify(payload)[0] == 0, payload


def test_mutations_never_raise():
    random.seed(11)
    for i in range(6000):
        payload = bytearray((NATIONAL, MASKED, CITIZEN, BHYT_OLD, BHYT_NEW, PAYMENT)[i % 6])
        for _ in range(random.randint(1, 4)):
            kind = random.randint(0, 3)
            at = random.randint(0, len(payload) - 1)
            if kind == 0:
                payload[at] = random.getrandbits(8)
            elif kind == 1:
                payload = payload[:at] + payload[at + random.randint(1, 9) :] or bytearray(b"0")
            elif kind == 2:
                payload = payload[:at] + b"|" + payload[at:]
            else:
                payload = payload[: at + 1]
        scheme, packed = ALL.identify(bytes(payload))
        assert scheme in (0, 1, 2, 3, 9, 10)
        assert 1 <= len(packed) <= 65
        if scheme == 1:
            assert packed[0] in range(8, 25)
            assert digits(bytes(payload).split(b"|")[4]) == packed
        if scheme == 2:
            assert digits(bytes(payload).split(b"|")[0]) == packed


def test_no_payload_costs_more_memory_than_it_has():
    """Three kilobytes of separators must not become thousands of fields."""
    import gc

    payload = b"a|" * 1450
    gc.collect()
    before = gc.mem_alloc()
    gc.disable()
    assert ALL.identify(payload)[0] == 0
    assert gc.mem_alloc() - before < 2000
    gc.enable()


def test_two_frames_run_into_one_are_no_card():
    lost = NATIONAL[:60] + b"\x04\x00\x4a" + NATIONAL[:8]
    assert ALL.identify(lost)[0] == 0
    assert ALL.identify(b"001093029317|A|1987-01-18|0|1629793\x04\x00|x")[0] == 0


def test_repeat_window():
    rules = verdict.Rules(60000)
    key = b"\x01card"
    assert rules.decide(1, key, 1000) == verdict.RECORDED
    rules.recorded(key, 1000)
    assert rules.decide(1, key, 2000) == verdict.REPEAT
    assert rules.decide(1, key, 60999) == verdict.REPEAT
    assert rules.decide(1, key, 61000) == verdict.RECORDED, "the window counts from the record"
    assert rules.decide(2, b"\x02card", 2000) == verdict.RECORDED
    assert rules.decide(9, b"\x09\0", 2000) == verdict.NOT_A_CARD


def test_repeat_window_forgets_the_oldest():
    rules = verdict.Rules(60000)
    for i in range(100):
        rules.recorded(b"%d" % i, 1000 + i)
    assert rules.decide(1, b"0", 2000) == verdict.RECORDED, "recorded again rather than lost"
    assert rules.decide(1, b"99", 2000) == verdict.REPEAT
    rules.recorded(b"99", 70000)
    rules.recorded(b"99", 80000)
    assert rules._keys.count(b"99") == 1


def test_no_window():
    rules = verdict.Rules(0)
    rules.recorded(b"k", 5)
    assert rules.decide(1, b"k", 5) == verdict.RECORDED


def test_the_window_holds_sixty_four_cards():
    rules = verdict.Rules(60000)
    for i in range(64):
        rules.recorded(b"%d" % i, 1000)
    assert [rules.decide(1, b"%d" % i, 2000) for i in range(64)] == [verdict.REPEAT] * 64

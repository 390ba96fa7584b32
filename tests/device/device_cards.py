"""Payloads to cards inside MicroPython: every scheme, everything refused, near misses; tests/cards has the mutants."""

import records
from scanner import cards

NATIONAL = b"001093029317|NGUYEN VAN A|1987-01-18|0|162979388586171100|<1<00<0123232422"
MASKED = b"******029317|NGUYEN VAN A|1987-**-**|0|162979388586171100|<1<GD4877*******<0943******"
CITIZEN = "046099012345|191234567|Nguyễn Thị Ánh|18011987|Nữ|12 Lê Lợi, Huế|01052021".encode()
CITIZEN_2024 = "046099012345||Nguyễn Thị Ánh|18011987|Nữ|12 Lê Lợi, Huế|01082024|||Cha|Mẹ".encode()
BHYT_OLD = b"GD4460000012345|4e677579e1bb856e|18/01/1987|1|487565|46 - 001|01/01/2021|-|01/01/2021|$"
BHYT_NEW = b"4600012345|4e677579e1bb856e|18/01/1987|2|-|46 - C01|01/04/2021|-|02/04/2021|4600|-|4|01/2026|ab| x|487565|$\0"
PAYMENT = b"00020101021138570010A00000072701270006970403011300110123456780208QRIBFTTA53037045802VN63049E6F"

PASSES = (
    (4, b"HC1:" + b"6BFOXN*TS0BI$ZD4N9:" * 20),
    (5, b"shc:/" + b"5676290952432060" * 40),
    (6, b"NZCP:/1/" + b"2KCEVIQEIVVWK6JN" * 37),
    (7, b'{"data":{"hdr":{"t":"icao.vacc","v":1,"is":"UTO"},"msg":{"uvci":"U32870"}},"sig":{"cer":"%s"}}' % (b"MA" * 700)),
    (7, b'{"data":{"hdr":{"is":"UTO","t":"icao.test","v":1},"msg":{"utci":"U32870"}},"sig":{"cer":"%s"}}' % (b"MA" * 700)),
    (8, b"PK\3\4\n\0\0\0\0\0\4" + bytes(range(256)) * 3 + b"PK\5\6" + bytes(18)),
)

ALL = cards.Cards(["qrqg", "cccd", "bhyt", "passes"])


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


def test_cards_of_people_whose_day_of_birth_nobody_knows():
    for born in (b"1987", b"011987"):
        assert ALL.identify(CITIZEN.replace(b"18011987", born)) == (2, digits(b"046099012345"))
    assert ALL.identify(BHYT_OLD.replace(b"18/01/1987", b"1987")) == (3, b"\0GD4460000012345")


def test_an_identity_card_without_the_field_for_the_old_number():
    assert ALL.identify(CITIZEN.replace(b"|191234567|", b"|")) == (2, digits(b"046099012345"))


def test_passes_are_known_by_their_digest():
    import hashlib

    for scheme, payload in PASSES:
        assert ALL.identify(payload) == (scheme, b"\x40" + hashlib.sha256(payload).digest()[:16])


def test_what_only_begins_like_a_pass_is_other_text():
    for scheme, payload in PASSES:
        start = payload[: payload.index(b":") + 1]
        for other in (start, payload[:99], b" " + payload, payload.replace(start, b"HC2:", 1)):
            assert ALL.identify(other)[0] == 0, other
    for scheme, payload in PASSES[:3]:
        for sign in (b"\4", b"|", b"\n", b"x"):
            assert ALL.identify(payload[:50] + sign + payload[50:])[0] == 0, payload
    assert ALL.identify(PASSES[1][1].replace(b"shc:/", b"shc:/1/3/"))[0] == 0, "a part of a card"
    assert ALL.identify(PASSES[3][1].replace(b"icao.", b"visa."))[0] == 0
    assert ALL.identify(PASSES[3][1] + b"\4\0\5")[0] == 0
    assert ALL.identify(PASSES[5][1][:-22])[0] == 0, "an archive without its end"


def test_leading_zeros_are_part_of_an_id():
    first = ALL.identify(NATIONAL.replace(b"162979388586171100", b"000079388586171100"))
    second = ALL.identify(NATIONAL.replace(b"162979388586171100", b"79388586171100"))
    assert first[0] == second[0] == 1 and first[1] != second[1]


def test_never_a_card():
    assert ALL.identify(PAYMENT) == (9, b"\0")
    assert ALL.identify(PAYMENT[:-4] + b"9e6f") == (9, b"\0")
    for link in (
        b"https://qr.pccovid.gov.vn/abcdef",
        b"HTTP://X.VN",
        b" \r\nhttps://x.vn",
        b"zalo://qr/p/abc",
        b"www.hue.vn",
        b" WWW.hue.vn",
        b"qr.pccovid.gov.vn/abcdef",
        b"QR.tokhaiyte.vn",
        b"NZCOVIDTRACER:eyJ",
        b"UKC19TRACING:1:eyJ",
        b"HKEN:0ABC",
    ):
        assert ALL.identify(link) == (10, b"\0"), link


def test_a_payment_code_is_one_only_with_its_crc():
    for payload in (
        PAYMENT[:-1] + b"0",
        PAYMENT[:-4],
        PAYMENT[:40] + b"9" + PAYMENT[41:],
        PAYMENT[:40] + PAYMENT[44:],
        PAYMENT + b"\n",
        b"000201",
        b"0002016304",
        b"00020163040000",
    ):
        scheme, packed = ALL.identify(payload)
        assert scheme == 0, payload
        assert packed[0] == 0x40 or len(payload) <= 64, "of an account number nothing is kept"


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


def test_no_payload_costs_more_memory_than_it_has():
    """Three kilobytes of separators, or one, must not become thousands of fields."""
    import gc

    for payload in (b"a|" * 1450, b"a|" * 499):
        gc.collect()
        before = gc.mem_alloc()
        gc.disable()
        assert ALL.identify(payload)[0] == 0
        assert gc.mem_alloc() - before < 4000
        gc.enable()


def test_two_frames_run_into_one_are_no_card():
    lost = NATIONAL[:60] + b"\x04\x00\x4a" + NATIONAL[:8]
    assert ALL.identify(lost)[0] == 0
    assert ALL.identify(b"001093029317|A|1987-01-18|0|1629793\x04\x00|x")[0] == 0

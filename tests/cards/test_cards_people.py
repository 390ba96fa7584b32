"""Synthetic people and their payloads have the shapes of the real ones, and are nobody's."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_tools.cards.people import (
    KINDS,
    bhyt,
    can_cuoc,
    cccd,
    crc16_ccitt_false,
    divoc,
    expected,
    expected_text,
    foreign,
    link,
    nzcp,
    payload,
    people,
    person,
    plain,
    poster,
    qrqg,
    shc,
    text,
    vds_nc,
    vietqr,
)

CROWD = people(300, seed=5)


def _fields(data: bytes) -> list[str]:
    return data.decode("utf-8").split("|")


def test_people_are_made_from_the_seed_alone() -> None:
    assert people(50, seed=5) == CROWD[:50]
    assert people(50, seed=6) != CROWD[:50]
    # Written out: people drawn otherwise would change the pictures and ids of every scenario and deck.
    who = person(7)
    assert (who.name, who.id_number, who.qid) == ("Hoàng Minh Lộc", "099072300007", "150181330464900007")
    assert who.bhyt_code == "DN3000024000007"
    assert who.address == "58 Hồ Thí Dụ, Phường Thuận Lộc, Thành phố Huế, Thừa Thiên Huế"
    assert len({who.name for who in CROWD}) > 200


@pytest.mark.parametrize("number", ["id_number", "qid", "phone", "bhyt_number", "bhyt_code"])
def test_nobody_shares_a_number(number: str) -> None:
    assert len({getattr(who, number) for who in CROWD}) == len(CROWD)


def test_numbers_have_their_shapes_and_are_not_assigned_to_anybody() -> None:
    for who in CROWD:
        assert re.fullmatch(r"099[0-3]\d{8}", who.id_number)
        century, female = divmod(int(who.id_number[3]), 2)
        assert (1900 + 100 * century + int(who.id_number[4:6])) == who.born.year and female == who.sex - 1
        assert re.fullmatch(r"(\d{9})?", who.old_id_number)
        assert re.fullmatch(r"\d{18}", who.qid) and int(who.qid[:13]) < 1_600_000_000_000
        assert re.fullmatch(r"0000\d{6}", who.phone)
        assert re.fullmatch(r"00\d{8}", who.bhyt_number)
        assert re.fullmatch(r"[A-Z]{2}[1-5]00\d{10}", who.bhyt_code)
        assert len(who.name.split()) == 3


@given(st.text(alphabet="ĂÂĐÊÔƠƯăâđêôơưắằẳẵặấầẩẫậếềểễệốồổỗộớờởỡợứừửữựỳýỷỹỵ aZ", max_size=30))
def test_plain_is_ascii_capitals(words: str) -> None:
    assert re.fullmatch(r"[A-Z ]*", plain(words))


def test_plain_of_a_name() -> None:
    assert plain("Đặng Hữu Phước") == "DANG HUU PHUOC"
    assert plain("Nguyễn Thị Ánh Tuyết") == "NGUYEN THI ANH TUYET"


def test_national_qr() -> None:
    for who in CROWD:
        fields = _fields(qrqg(who))
        assert qrqg(who).isascii() and len(fields) == 6
        assert fields[0] == who.id_number and fields[4] == who.qid and fields[3] == "0"
        assert re.fullmatch(r"[A-Z]+( [A-Z]+)*", fields[1])
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", fields[2])
        assert fields[5].split("<") == ["", str(who.sex), who.bhyt_code, who.phone]
        assert 70 <= len(qrqg(who)) <= 132


def test_masked_national_qr_hides_numbers_but_not_the_qid() -> None:
    who = CROWD[0]
    fields = _fields(qrqg(who, masked=True))
    assert len(fields) == 6 and fields[4] == who.qid
    assert fields[0] == "******" + who.id_number[6:]
    assert re.fullmatch(r"\d{4}-\*\*-\*\*", fields[2])
    assert re.fullmatch(r"<[12]<[A-Z]{2}\d{4}\*{9}<\d{4}\*{6}", fields[5])


def test_citizen_card() -> None:
    for who in CROWD:
        fields = _fields(cccd(who))
        assert len(fields) == 7
        assert fields[0] == who.id_number and fields[1] == who.old_id_number and fields[2] == who.name
        assert re.fullmatch(r"\d{8}", fields[3]) and re.fullmatch(r"\d{8}", fields[6])
        assert fields[4] in ("Nam", "Nữ")
        assert not cccd(who).isascii(), "the diacritics are the point of this card"
        assert _fields(cccd(who, fields=6)) == fields[:6]
        assert _fields(cccd(who, old_number=False)) == [fields[0], *fields[2:]]
        assert 53 <= len(cccd(who)) <= 219
        extended = _fields(can_cuoc(who))
        assert extended[:7] == fields and extended[7:] == ["", who.father, who.mother]
    with pytest.raises(ValueError):
        cccd(CROWD[0], fields=5)


def test_health_insurance_cards() -> None:
    for who in CROWD:
        old, new = _fields(bhyt(who)), _fields(bhyt(who, new=True))
        assert len(old) == 10 and len(new) == 17
        assert old[0] == who.bhyt_code and len(old[0]) == 15
        assert new[0] == who.bhyt_number and len(new[0]) == 10
        for fields in (old, new):
            assert bytes.fromhex(fields[1]).decode() == who.name
            assert re.fullmatch(r"\d\d/\d\d/\d{4}", fields[2])
            assert fields[3] == str(who.sex) and fields[-1] == "$"
        assert bytes.fromhex(old[4]).decode() == who.address
        assert new[12].startswith(" ")
    assert bhyt(who, trailing_nul=True) == bhyt(who) + b"\0"


def _tlv(data: str) -> dict[str, str]:
    values = {}
    while data:
        tag, length = data[:2], int(data[2:4])
        values[tag], data = data[4 : 4 + length], data[4 + length :]
        assert len(values[tag]) == length
    return values


@pytest.mark.parametrize("amount", [None, 45_000])
def test_payment_qr(amount: int | None) -> None:
    for who in CROWD[:50]:
        data = vietqr(who, amount_vnd=amount)
        assert data.startswith(b"000201")
        values = _tlv(data.decode("ascii"))
        assert values["01"] == ("11" if amount is None else "12")
        assert values.get("54") == (None if amount is None else "45000")
        assert values["53"] == "704" and values["58"] == "VN"
        account = _tlv(values["38"])
        assert account["00"] == "A000000727" and _tlv(account["01"])["00"] == "999999"
        assert list(values)[-1] == "63"
        assert f"{crc16_ccitt_false(data[:-4]):04X}" == values["63"]
        assert 90 <= len(data) <= 163


def test_crc_is_the_one_of_payment_codes() -> None:
    assert crc16_ccitt_false(b"123456789") == 0x29B1  # the check value of CRC-16/CCITT-FALSE
    assert crc16_ccitt_false(b"") == 0xFFFF


def test_codes_that_are_not_vietnamese_cards() -> None:
    for who in CROWD[:50]:
        assert re.fullmatch(rb"https://qr\.pccovid\.gov\.vn/[a-z]{6}", link(who))
        assert re.fullmatch(rb"NZCOVIDTRACER:[0-9A-Za-z+/]+=*", poster(who))
        # Lengths of docs: EU DCC 205 / 555 / 1,093 bytes, SMART Health Card 1,549-1,973, NZ pass 596-600.
        assert re.fullmatch(rb"HC1:[0-9A-Z $%*+\-./:]{551}", foreign(who))
        assert re.fullmatch(rb"shc:/([0-6]\d|7[0-7]){800}", shc(who))
        assert re.fullmatch(rb"NZCP:/1/[A-Z2-7]{592}", nzcp(who))
        seal = json.loads(vds_nc(who))
        assert seal["data"]["hdr"] == {"is": "UTO", "t": "icao.vacc", "v": 1} and list(seal) == ["data", "sig"]
        with zipfile.ZipFile(io.BytesIO(divoc(who))) as archive:
            assert json.loads(archive.read("certificate.json"))["credentialSubject"]["name"] == plain(who.name)
        assert len(text(who)) <= 64 and b"|" not in text(who)


def test_what_must_arrive() -> None:
    who = person(11)
    arrives = {kind: expected(kind, who) for kind in KINDS}
    assert {kind: card.scheme for kind, card in arrives.items()} == {
        "qrqg": 1,
        "qrqg-masked": 1,
        "cccd": 2,
        "cccd-six": 2,
        "cccd-no-old": 2,
        "can-cuoc": 2,
        "bhyt": 3,
        "bhyt-new": 3,
        "vietqr": 9,
        "vietqr-amount": 9,
        "link": 10,
        "poster": 10,
        "foreign": 4,
        "shc": 5,
        "nzcp": 6,
        "vds-nc": 7,
        "divoc": 8,
        "text": 0,
    }
    assert {kind for kind, card in arrives.items() if card.verdict == 4} == {
        *("vietqr", "vietqr-amount", "link", "poster")
    }
    assert {card.verdict for card in arrives.values()} == {3, 4}
    assert arrives["qrqg"] == arrives["qrqg-masked"] and arrives["qrqg"].id == who.qid
    assert arrives["cccd"].id == arrives["cccd-six"].id == arrives["can-cuoc"].id == who.id_number
    assert (arrives["bhyt"].id, arrives["bhyt-new"].id) == (who.bhyt_code, who.bhyt_number)
    assert arrives["vietqr"].id == arrives["link"].id == ""
    assert arrives["text"].id == text(who).decode()
    for kind in ("foreign", "shc", "nzcp", "vds-nc", "divoc"):
        assert arrives[kind].id == hashlib.sha256(payload(kind, who)).digest()[:16]


def test_every_kind_has_a_payload_of_its_own() -> None:
    who = person(11)
    assert len({payload(kind, who) for kind in KINDS}) == len(KINDS)


def test_text_at_the_border_of_a_digest() -> None:
    assert expected_text(b"x" * 64).id == "x" * 64
    # echo -n xxx... (65) | sha256sum | cut -c1-32
    assert expected_text(b"x" * 65).id == bytes.fromhex(SHA_OF_65_X)
    assert isinstance(expected_text(b"\xff").id, bytes)
    assert expected_text("ế".encode() * 21).id == "ế" * 21
    assert isinstance(expected_text("ế".encode() * 22).id, bytes)


SHA_OF_65_X = "9537c5fdf120482f7d58d25e9ed583f5"

"""Synthetic people, made from a seed, and the bytes of the QR codes that such people carry to a door.

Nobody here exists, and nothing can be anybody's number: province code 099 and BHYT province 00 are not assigned,
telephone numbers begin 0000, a QID bears a moment before the national platform began, and 999999 is no bank's code.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

MALE = 1
FEMALE = 2

# Scheme and verdict numbers of formats.md, Records.
SCHEME_TEXT = 0
SCHEME_QRQG = 1
SCHEME_CCCD = 2
SCHEME_BHYT = 3
SCHEME_DCC = 4
SCHEME_SHC = 5
SCHEME_NZCP = 6
SCHEME_VDS_NC = 7
SCHEME_DIVOC = 8
SCHEME_PAYMENT = 9
SCHEME_LINK = 10
VERDICT_RECORDED = 3
VERDICT_NOT_CARD = 4

_TEXT_ID_MAX_BYTES = 64
_DIGEST_BYTES = 16

_FAMILY = (
    *("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Huỳnh", "Phan", "Vũ", "Võ", "Đặng"),
    *("Bùi", "Đỗ", "Hồ", "Ngô", "Dương", "Lý", "Đoàn", "Trương", "Đinh", "Mai"),
)
_MIDDLE = {
    MALE: ("Văn", "Hữu", "Đức", "Quốc", "Minh", "Thanh", "Công", "Xuân"),
    FEMALE: ("Thị", "Ngọc", "Thu", "Thanh", "Diệu", "Kim", "Bích", "Mỹ"),
}
_GIVEN = {
    MALE: ("An", "Bình", "Cường", "Dũng", "Hải", "Hiếu", "Hùng", "Khánh", "Lộc", "Nam", "Phước", "Quý", "Sơn", "Vinh"),
    FEMALE: ("Ánh", "Châu", "Diễm", "Hạnh", "Hương", "Loan", "Nga", "Nhung", "Oanh", "Phượng", "Quỳnh", "Thảo", "Yến"),
}
_STREET = ("Ga Thử", "Bến Mẫu", "Vườn Giả", "Cầu Ví Dụ", "Hồ Thí Dụ", "Đình Mẫu")
_WARD = ("Đông Ba", "Phú Hội", "Vỹ Dạ", "Thuận Lộc", "Kim Long", "Hương Sơ", "An Cựu", "Thuỷ Xuân")
_PLACE = "Thành phố Huế, Thừa Thiên Huế"

_BIRTH_FIRST = date(1938, 1, 1)
_BIRTH_DAYS = 28_000  # to August 2014
_CARD_FIRST = date(2021, 3, 1)
_CARD_DAYS = 1_100
_QID_FIRST_MS = 1_500_000_000_000  # July 2017


@dataclass(frozen=True)
class Person:
    """Somebody who does not exist, with every number that a card may bear."""

    seed: int
    name: str
    sex: int
    born: date
    id_number: str  # 12 digits
    old_id_number: str  # 9 digits, or empty
    issued: date
    address: str
    qid: str  # 18 digits
    phone: str  # 10 digits
    bhyt_number: str  # 10 digits
    bhyt_code: str  # 15 characters: two letters and 13 digits
    father: str
    mother: str


@dataclass(frozen=True)
class Card:
    """What must arrive at the centre when a payload is shown: the scheme, and the id as text, or 16 bytes of digest."""

    scheme: int
    id: str | bytes

    @property
    def verdict(self) -> int:
        """The verdict of a door without lists: recorded, or not a card."""
        return VERDICT_NOT_CARD if self.scheme in (SCHEME_PAYMENT, SCHEME_LINK) else VERDICT_RECORDED


def person(seed: int) -> Person:
    """The person of that seed: always the same one, and for each seed below 100,000 with numbers of their own."""
    rng = random.Random(f"chot person {seed}")
    sex = rng.choice((MALE, FEMALE))
    family = rng.choice(_FAMILY)
    born = _BIRTH_FIRST + timedelta(days=rng.randrange(_BIRTH_DAYS))
    century_and_sex = (0 if born.year < 2000 else 2) + (0 if sex == MALE else 1)
    serial = seed % 100_000
    bhyt_number = f"00{rng.randrange(1000):03d}{serial:05d}"
    ward = rng.choice(_WARD)
    return Person(
        seed=seed,
        name=_name(rng, family, sex),
        sex=sex,
        born=born,
        # Six digits are for chance: five of them carry the serial, so that no two people share a number.
        id_number=f"099{century_and_sex}{born.year % 100:02d}{rng.randrange(10)}{serial:05d}",
        old_id_number=f"00{rng.randrange(100):02d}{serial:05d}" if born.year < 2000 else "",
        issued=_CARD_FIRST + timedelta(days=rng.randrange(_CARD_DAYS)),
        address=f"{rng.randrange(1, 300)} {rng.choice(_STREET)}, Phường {ward}, {_PLACE}",
        qid=f"{_QID_FIRST_MS + rng.randrange(10**10)}{serial:05d}",
        phone=f"0000{rng.randrange(10)}{serial:05d}",
        bhyt_number=bhyt_number,
        bhyt_code=f"{rng.choice(('GD', 'DN', 'HT', 'TE'))}{rng.randrange(1, 6)}00{bhyt_number}",
        father=_name(rng, family, MALE),
        mother=_name(rng, rng.choice(_FAMILY), FEMALE),
    )


def people(count: int, seed: int = 0) -> list[Person]:
    """`count` people with numbers of their own; another seed gives other people."""
    return [person(seed * 1000 + index) for index in range(count)]


def plain(text: str) -> str:
    """Upper case without diacritics, as the national QR and printed machine text want it: "Đỗ Thị" -> "DO THI"."""
    bare = unicodedata.normalize("NFD", text.replace("Đ", "D").replace("đ", "d"))
    return "".join(sign for sign in bare if not unicodedata.combining(sign)).upper()


def qrqg(who: Person, *, masked: bool = False) -> bytes:
    """National personal QR, 6 fields, ASCII; `masked` as the apps show it by default: numbers and birth in stars."""
    paper, born = who.id_number, who.born.isoformat()
    insurance, phone = who.bhyt_code, who.phone
    if masked:
        paper = "*" * 6 + paper[6:]
        born = born[:5] + "**-**"
        insurance = insurance[:6] + "*" * 9
        phone = phone[:4] + "*" * 6
    return f"{paper}|{plain(who.name)}|{born}|0|{who.qid}|<{who.sex}<{insurance}<{phone}".encode("ascii")


def cccd(who: Person, *, fields: int = 7, old_number: bool = True) -> bytes:
    """Citizen identity card, UTF-8 with diacritics: 7 fields, or 6 (no date of issue, or no field for the old number)."""
    parts = _cccd_parts(who)
    if fields not in (6, 7):
        raise ValueError(f"a citizen identity card has 6 or 7 fields, not {fields}")
    return "|".join(parts[:fields] if old_number else [parts[0], *parts[2:fields]]).encode("utf-8")


def can_cuoc(who: Person) -> bytes:
    """Identity card of 2024: the seven fields, then cancelled number, father and mother."""
    return "|".join([*_cccd_parts(who), "", who.father, who.mother]).encode("utf-8")


def bhyt(who: Person, *, new: bool = False, trailing_nul: bool = False) -> bytes:
    """Health-insurance card, name and address as hex of UTF-8: the old one of 10 fields, or the new one of 17.

    A NUL may trail, as real cards were seen to do.
    """
    born, issued = f"{who.born:%d/%m/%Y}", f"{who.issued:%d/%m/%Y}"
    name = who.name.encode("utf-8").hex()
    if new:
        fifth_year = f"{who.issued + timedelta(days=1826):%d/%m/%Y}"
        check = hashlib.sha256(who.bhyt_number.encode()).hexdigest()[:16] + "-7102"
        place = _PLACE.encode("utf-8").hex()
        parts = [who.bhyt_number, name, born, str(who.sex), "-", "00 - C00", issued, "-", issued, "00" + who.id_number]
        parts += ["-", "4", " " + fifth_year, check, "0", place, "$"]
    else:
        address = who.address.encode("utf-8").hex()
        parts = [who.bhyt_code, name, born, str(who.sex), address, "00 - 000", issued, "-", issued, "$"]
    return "|".join(parts).encode("ascii") + (b"\0" if trailing_nul else b"")


def vietqr(who: Person, *, amount_vnd: int | None = None) -> bytes:
    """Payment QR (EMVCo TLV with its CRC): static, or dynamic when it names an amount in đồng."""
    account = _tlv("00", "999999") + _tlv("01", f"00{who.seed % 100_000:05d}")
    text = _tlv("00", "01") + _tlv("01", "11" if amount_vnd is None else "12")
    text += _tlv("38", _tlv("00", "A000000727") + _tlv("01", account) + _tlv("02", "QRIBFTTA")) + _tlv("53", "704")
    if amount_vnd is not None:
        text += _tlv("54", str(amount_vnd))
    text += _tlv("58", "VN") + _tlv("62", _tlv("08", "MUA RAU CHO")) + "6304"
    return (text + f"{crc16_ccitt_false(text.encode()):04X}").encode("ascii")


def link(who: Person) -> bytes:
    """A place code, the link of a poster at a door: `https://qr.pccovid.gov.vn/<six letters>`."""
    rng = random.Random(f"chot link {who.seed}")
    return ("https://qr.pccovid.gov.vn/" + "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6))).encode("ascii")


def poster(who: Person) -> bytes:
    """A place code of the New Zealand kind: `NZCOVIDTRACER:` and base64 of JSON."""
    place = {"gln": f"9429{who.seed:09d}", "ver": "c19:1", "typ": "entry", "opn": "Cho Mau", "adr": who.address}
    return b"NZCOVIDTRACER:" + base64.b64encode(json.dumps(place).encode())


# Passes from abroad have the shape and the length of real ones, and signatures and contents that open to nothing.


def foreign(who: Person) -> bytes:
    """An EU DCC: `HC1:` and base45."""
    return b"HC1:" + _signs(who, "foreign", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:", 551)


def shc(who: Person) -> bytes:
    """A SMART Health Card: `shc:/` and digits, two for each character of a JWS."""
    pairs = random.Random(f"chot shc {who.seed}").choices(range(78), k=800)
    return b"shc:/" + "".join(f"{pair:02d}" for pair in pairs).encode("ascii")


def nzcp(who: Person) -> bytes:
    """A New Zealand COVID Pass: `NZCP:/1/` and base32 without padding."""
    return b"NZCP:/1/" + _signs(who, "nzcp", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 592)


def vds_nc(who: Person) -> bytes:
    """An ICAO VDS-NC: JSON. Its header begins with the type, or, in canonical order, with the issuing state."""
    head = {"t": "icao.vacc", "v": 1, "is": "UTO"} if who.seed % 2 else {"is": "UTO", "t": "icao.vacc", "v": 1}
    person = {"dob": who.born.isoformat(), "i": f"X{who.seed:07d}", "n": plain(who.name), "sex": "MF"[who.sex - 1]}
    dose = {"adm": "Mau", "ctr": "UTO", "dvc": who.issued.isoformat(), "lot": "0000", "seq": 1}
    data = {"hdr": head, "msg": {"pid": person, "uvci": f"U{who.seed:09d}", "ve": [{"des": "XM68M6", "vd": [dose]}]}}
    rng = random.Random(f"chot vds-nc {who.seed}")
    sealed = {"alg": "ES256", "cer": _base64(rng, 780), "sigvl": _base64(rng, 64)}
    return json.dumps({"data": data, "sig": sealed}, separators=(",", ":")).encode("ascii")


def divoc(who: Person) -> bytes:
    """An Indian DIVOC certificate: a zip archive of one file, bytes of every value in it."""
    rng = random.Random(f"chot divoc {who.seed}")
    proof = {"created": who.issued.isoformat(), "jws": _base64(rng, 256), "type": "RsaSignature2018"}
    subject = {"id": f"did:in.gov.uidai:0000{who.seed:08d}", "name": plain(who.name), "type": "Person"}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        content = json.dumps({"credentialSubject": subject, "proof": proof})
        file.writestr(zipfile.ZipInfo("certificate.json"), content, zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def text(who: Person) -> bytes:
    """Something written by its bearer: a name with diacritics and a number, at most 64 bytes."""
    return f"Khách: {who.name} #{who.seed % 100_000}".encode()


def crc16_ccitt_false(data: bytes) -> int:
    """CRC-16/CCITT-FALSE (polynomial 0x1021, from 0xFFFF), the checksum of a payment QR."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def expected_text(payload: bytes) -> Card:
    """What arrives for a payload of no known scheme: its text when it is UTF-8 of at most 64 bytes, else its digest."""
    if len(payload) <= _TEXT_ID_MAX_BYTES:
        try:
            return Card(SCHEME_TEXT, payload.decode("utf-8"))
        except UnicodeDecodeError:
            pass
    return Card(SCHEME_TEXT, _digest(payload))


def _pass(scheme: int, make: Callable[[Person], bytes]) -> Callable[[Person], Card]:
    """What arrives for a pass from abroad: the digest of the whole code."""
    return lambda who: Card(scheme, _digest(make(who)))


# Every kind of code by name: how to make its bytes, and what must arrive. What must arrive is said from the person,
# never by parsing the payload, so a mistake in a parser cannot hide here.
_KINDS: dict[str, tuple[Callable[[Person], bytes], Callable[[Person], Card]]] = {
    "qrqg": (qrqg, lambda who: Card(SCHEME_QRQG, who.qid)),
    "qrqg-masked": (lambda who: qrqg(who, masked=True), lambda who: Card(SCHEME_QRQG, who.qid)),
    "cccd": (cccd, lambda who: Card(SCHEME_CCCD, who.id_number)),
    "cccd-six": (lambda who: cccd(who, fields=6), lambda who: Card(SCHEME_CCCD, who.id_number)),
    "cccd-no-old": (lambda who: cccd(who, old_number=False), lambda who: Card(SCHEME_CCCD, who.id_number)),
    "can-cuoc": (can_cuoc, lambda who: Card(SCHEME_CCCD, who.id_number)),
    "bhyt": (bhyt, lambda who: Card(SCHEME_BHYT, who.bhyt_code)),
    "bhyt-new": (lambda who: bhyt(who, new=True), lambda who: Card(SCHEME_BHYT, who.bhyt_number)),
    "vietqr": (vietqr, lambda who: Card(SCHEME_PAYMENT, "")),
    "vietqr-amount": (lambda who: vietqr(who, amount_vnd=45_000), lambda who: Card(SCHEME_PAYMENT, "")),
    "link": (link, lambda who: Card(SCHEME_LINK, "")),
    "poster": (poster, lambda who: Card(SCHEME_LINK, "")),
    "foreign": (foreign, _pass(SCHEME_DCC, foreign)),
    "shc": (shc, _pass(SCHEME_SHC, shc)),
    "nzcp": (nzcp, _pass(SCHEME_NZCP, nzcp)),
    "vds-nc": (vds_nc, _pass(SCHEME_VDS_NC, vds_nc)),
    "divoc": (divoc, _pass(SCHEME_DIVOC, divoc)),
    "text": (text, lambda who: expected_text(text(who))),
}
KINDS = tuple(_KINDS)


def payload(kind: str, who: Person) -> bytes:
    """The bytes of that person's code of that kind (one of KINDS)."""
    return _KINDS[kind][0](who)


def expected(kind: str, who: Person) -> Card:
    """What must arrive at the centre when that person shows a code of that kind (one of KINDS)."""
    return _KINDS[kind][1](who)


def _digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()[:_DIGEST_BYTES]


def _signs(who: Person, what: str, alphabet: str, count: int) -> bytes:
    return "".join(random.Random(f"chot {what} {who.seed}").choices(alphabet, k=count)).encode("ascii")


def _base64(rng: random.Random, size: int) -> str:
    return base64.b64encode(rng.randbytes(size)).decode("ascii")


def _name(rng: random.Random, family: str, sex: int) -> str:
    return f"{family} {rng.choice(_MIDDLE[sex])} {rng.choice(_GIVEN[sex])}"


def _cccd_parts(who: Person) -> list[str]:
    sex = "Nam" if who.sex == MALE else "Nữ"
    born, issued = f"{who.born:%d%m%Y}", f"{who.issued:%d%m%Y}"
    return [who.id_number, who.old_id_number, who.name, born, sex, who.address, issued]


def _tlv(tag: str, value: str) -> str:
    return f"{tag}{len(value):02d}{value}"

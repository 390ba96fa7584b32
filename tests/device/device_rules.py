"""The rules of the door inside MicroPython: what each asks, which comes first, and that an unknown time refuses nobody."""

import records
from scanner import hours, verdict
from scanner.verdict import Rules

CARD = records.id_digits(b"162979388586171100")
MINUTE = 60000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MONDAY = 1767571200000  # 2026-01-05T00:00:00Z


def judged(rules, packed=CARD, scheme=1, reader=0, now=1000):
    return rules.decide(reader, scheme, packed, now)[0]


def enter(rules, packed=CARD, reader=0, now=1000):
    """Show a card and record it, as the station does."""
    decision, new = rules.decide(reader, 1, packed, now)
    if new:
        rules.recorded(reader, 1, packed, decision, now)
    return decision


def test_repeat_window():
    rules = Rules(60000, True)
    assert rules.decide(0, 1, CARD, 1000) == (verdict.RECORDED, True)
    rules.recorded(0, 1, CARD, verdict.RECORDED, 1000)
    assert rules.decide(0, 1, CARD, 2000) == (verdict.REPEAT, False)
    assert judged(rules, now=60999) == verdict.REPEAT
    assert judged(rules, now=61000) == verdict.RECORDED, "the window counts from the record"
    assert judged(rules, scheme=2, now=2000) == verdict.RECORDED, "another scheme is another card"
    assert rules.decide(0, 9, records.NO_ID, 2000) == (verdict.NOT_A_CARD, True)


def test_the_window_holds_sixty_four_cards_and_forgets_the_oldest():
    rules = Rules(60000, True)
    cards = [records.id_digits(b"%018d" % i) for i in range(100)]
    for i, card in enumerate(cards):
        rules.recorded(0, 1, card, verdict.RECORDED, 1000 + i)
    assert judged(rules, cards[0], now=2000) == verdict.RECORDED, "recorded again rather than lost"
    assert [judged(rules, card, now=2000) for card in cards[36:]] == [verdict.REPEAT] * 64
    rules.recorded(0, 1, cards[99], verdict.RECORDED, 70000)
    rules.recorded(0, 1, cards[99], verdict.RECORDED, 80000)
    assert rules._keys.count(b"\x01" + cards[99]) == 1


def test_no_window():
    rules = Rules(0, True)
    assert enter(rules, now=5) == enter(rules, now=5) == verdict.RECORDED


def test_other_codes():
    for texts, expected in ((True, verdict.RECORDED), (False, verdict.NOT_A_CARD)):
        assert judged(Rules(60000, texts), records.id_text(b"khach"), 0) == expected
        assert judged(Rules(60000, texts), scheme=4) == verdict.RECORDED, "a pass from abroad is a card"
        for scheme in (9, 10):
            assert judged(Rules(60000, texts), records.NO_ID, scheme) == verdict.NOT_A_CARD


def lists(deny=None, allow=None, **more):
    """Rules with these lists, as the station would ask them."""
    denied = None if deny is None else lambda scheme, packed: packed in deny
    allowed = None if allow is None else lambda scheme, packed: packed in allow
    return Rules(60000, True, None, denied, allowed, **more)


def test_lists():
    other = records.id_digits(b"1")
    assert judged(lists([CARD])) == verdict.DENIED
    assert judged(lists([CARD]), other) == verdict.ADMITTED
    assert judged(lists(None, [CARD])) == verdict.ADMITTED
    assert judged(lists(None, [CARD]), other) == verdict.NOT_LISTED
    assert judged(lists([CARD], [CARD])) == verdict.DENIED, "the deny list comes first"
    there_is_none = Rules(60000, True, None, lambda *card: None, lambda *card: None)
    assert judged(there_is_none) == verdict.ADMITTED, "a list that is not there refuses nobody"


def test_refusals_are_new_once():
    deny = [CARD]
    rules = lists(deny)
    assert rules.decide(0, 1, CARD, 1000) == (verdict.DENIED, True)
    rules.recorded(0, 1, CARD, verdict.DENIED, 1000)
    assert rules.decide(0, 1, CARD, 4000) == (verdict.DENIED, False), "the same answer, not the same record"
    deny.clear()
    assert rules.decide(0, 1, CARD, 5000) == (verdict.ADMITTED, True), "never taken for admitted before"


def test_the_limit_and_the_way_out():
    a, b, c = [records.id_digits(b"%d" % i) for i in range(3)]
    rules = Rules(60000, True, most=2)
    assert [enter(rules, card) for card in (a, b, c)] == [verdict.ADMITTED, verdict.ADMITTED, verdict.PLACE_FULL]
    assert rules.inside == 2
    assert enter(rules, a) == verdict.REPEAT, "who is in already is not told that it is full"
    assert enter(rules, a, reader=1) == verdict.RECORDED and rules.inside == 1
    assert enter(rules, a, reader=1) == verdict.REPEAT and rules.inside == 1, "nobody goes out twice"
    assert enter(rules, c) == verdict.ADMITTED and rules.inside == 2, "who waited is asked anew"
    assert enter(rules, a) == verdict.PLACE_FULL and rules.inside == 2
    for card in (b, c, a, records.id_digits(b"9")):
        assert enter(rules, card, reader=1) == verdict.RECORDED
    assert rules.inside == 0, "more go out than were seen coming in"
    assert enter(rules, a, reader=0, now=2000) == verdict.ADMITTED, "and in again within the window"
    for _ in range(3):
        assert enter(rules, a, now=200000 + 100000 * _) == verdict.ADMITTED
    assert rules.inside == 1, "one person, however often the card is shown on the way in"
    rules.recorded(0, 0, records.id_text(b"a text"), verdict.ADMITTED, 900000)
    assert rules.inside == 1, "a text is nobody"


def test_the_way_out_refuses_nobody():
    rules = Rules(60000, True, lambda: False, lambda *card: True, lambda *card: False, 1)
    rules.inside = 1
    assert judged(rules, reader=1) == verdict.RECORDED
    assert judged(rules, records.NO_ID, 10, reader=1) == verdict.NOT_A_CARD


class Clock:
    def __init__(self, unix_ms=None, error_ms=0):
        self.unix_ms, self.error_ms = unix_ms, error_ms

    def known(self):
        return self.unix_ms is not None

    def now(self):
        return self.unix_ms, self.error_ms


def is_open(texts, unix_ms, error_ms=0, offset_min=0):
    return hours.Hours(texts, Clock(unix_ms, error_ms), offset_min).open()


def test_hours():
    day = ["07:30-17:00"]
    for at, expected in ((450, True), (449, False), (1019, True), (1020, False), (0, False)):
        for n in range(7):
            assert is_open(day, MONDAY + n * DAY + at * MINUTE) is expected, at
    assert is_open(day, MONDAY + 30 * MINUTE, offset_min=420), "half past seven in Huế"
    assert not is_open(day, MONDAY + 29 * MINUTE + 59999, offset_min=420)
    assert is_open(day, MONDAY - DAY + 23 * HOUR, offset_min=510)
    week = ["1-5 07:30-11:30", "1-5 13:00-17:00", "6 08:00-12:00"]
    found = [is_open(week, MONDAY + n * DAY + 9 * HOUR) for n in range(7)]
    assert found == [True] * 6 + [False]
    assert not is_open(week, MONDAY + 12 * HOUR) and not is_open(week, MONDAY + 5 * DAY + 14 * HOUR)


def test_hours_over_midnight():
    night = ["7 22:00-02:00"]
    assert is_open(night, MONDAY + 6 * DAY + 23 * HOUR)
    assert is_open(night, MONDAY + 7 * DAY + HOUR), "Monday at one is still Sunday night"
    assert not is_open(night, MONDAY + 7 * DAY + 2 * HOUR) and not is_open(night, MONDAY + 6 * DAY + HOUR)
    assert is_open(["00:00-24:00"], MONDAY + 5 * HOUR) and is_open(["1 06:00-06:00"], MONDAY + DAY + HOUR)


def test_an_unknown_time_refuses_nobody():
    assert hours.Hours(["07:30-17:00"], Clock(), 0).open()
    three = MONDAY + 3 * HOUR
    assert not is_open(["07:30-17:00"], three, HOUR)
    assert is_open(["07:30-17:00"], three, HOUR + 1), "so uncertain that it is not known"
    edge = MONDAY + 7 * HOUR + 29 * MINUTE
    assert is_open(["07:30-17:00"], edge, MINUTE) and not is_open(["07:30-17:00"], edge, MINUTE - 1)


def test_hours_that_are_none():
    wrong = ("", "7:30-17:00", "07:30", "07:30-17:60", "24:01-25:00", "07:30-17:00-18:00", "07.30-17.00", "-1:30-17:00")
    days = ("0-5", "5-1", "1-8", "Mo", "1,5", "1-5 ", "1-", "-", "12")
    for text in wrong + tuple(day + " 07:30-17:00" for day in days):
        try:
            hours.parse(text)
        except ValueError:
            continue
        raise AssertionError(text)
    assert hours.parse("1-5 07:30-17:00") == (0, 4, 450, 570)

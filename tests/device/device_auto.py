"""What `auto` remembers, inside MicroPython: any file will do, a full disk stops nothing, an unused driver leaves the heap."""

import os
import sys

from drivers import auto


class Uart:
    def init(self, **options):
        pass

    def any(self):
        return 0


def found(text=None):
    """A reader of a board whose file says `text`."""
    auto._FOUND = "/tmp/chot-scanner-%d" % id(sys)
    try:
        os.remove(auto._FOUND)
    except OSError:
        pass
    if text is not None:
        with open(auto._FOUND, "w") as file:
            file.write(text)
    return auto.make(Uart(), lambda payload: None, None, None, None)


def written():
    with open(auto._FOUND) as file:
        return file.read()


def test_it_begins_with_what_was_here():
    for text, name in ((None, "Gm65"), ("ssi", "Ssi"), ("newland", "Line"), ("", "Gm65"), ("../main", "Gm65")):
        assert type(found(text).reader).__name__ == name
    os.remove(auto._FOUND)


def test_it_is_the_reader_it_found():
    reader = found("ssi")
    reader.reader.state = 5
    assert reader.reading() and not reader.silent() and reader.state == 5 and reader.dropped == 0
    os.remove(auto._FOUND)


def test_what_is_found_is_written_once():
    reader = found("gm65")
    reader._look_for("ssi")
    reader._remember()
    assert written() == "ssi"
    os.remove(auto._FOUND)
    reader._remember()
    try:
        written()
        raise AssertionError("it is not written again")
    except OSError:
        pass


def test_a_full_disk_stops_nothing():
    reader = found("gm65")
    os.remove(auto._FOUND)
    auto._FOUND = "/no/such/place"
    reader._look_for("ssi")
    reader._remember()
    assert reader._remembered == "ssi"


def test_counts_go_on_and_the_unused_driver_leaves_the_heap():
    reader = found("gm65")
    assert hasattr(sys.modules["drivers"], "gm65")
    reader.reader.dropped, reader.reader.restarts, reader.reader.state = 3, 2, 4
    reader._look_for("ssi")
    assert (reader.dropped, reader.restarts, reader.state) == (3, 2, 4)
    assert not hasattr(sys.modules["drivers"], "gm65"), "nothing refers to it any more"
    assert "drivers.gm65" not in sys.modules and "drivers.ssi" in sys.modules
    os.remove(auto._FOUND)

"""What `auto` remembers, inside MicroPython: any file will do, a full disk stops nothing, an unused driver leaves the heap."""

import os
import sys

from drivers import auto


class Uart:
    def init(self, **options):
        pass

    def any(self):
        return 0


def path():
    return auto._FOUND % 1


def found(text=None):
    """A reader of a board whose file says `text`."""
    auto._FOUND = "/tmp/chot-scanner%%d-%d" % id(sys)
    try:
        os.remove(path())
    except OSError:
        pass
    if text is not None:
        with open(path(), "w") as file:
            file.write(text)
    return auto.make(Uart(), lambda payload: None, None, None, None, 1)


def answers(reader, kind):
    """A module of this kind has answered."""
    reader._look_for(kind)
    reader._found = True


def written():
    with open(path()) as file:
        return file.read()


def test_it_begins_with_what_was_here():
    for text, name in ((None, "Gm65"), ("ssi", "Ssi"), ("newland", "Line"), ("", "Gm65"), ("../main", "Gm65")):
        assert type(found(text).reader).__name__ == name
    os.remove(path())


def test_it_is_the_reader_it_found():
    reader = found("ssi")
    reader.reader.state = 5
    assert reader.reading() and not reader.silent() and reader.state == 5 and reader.dropped == 0
    os.remove(path())


def test_what_is_found_is_written_once():
    reader = found("gm65")
    assert not reader.unsaved(), "nothing has answered"
    answers(reader, "ssi")
    assert reader.unsaved(), "it waits for the flash gate"
    reader.save()
    assert written() == "ssi" and not reader.unsaved()
    os.remove(path())
    assert found("ssi")._path == auto._FOUND % 1, "each reader of a board has its own file"
    again = found("ssi")
    answers(again, "ssi")
    assert not again.unsaved(), "it is not written again"
    os.remove(path())


def test_a_full_disk_stops_nothing():
    reader = found("gm65")
    os.remove(path())
    reader._path = "/no/such/place"
    answers(reader, "ssi")
    reader.save()
    assert reader._remembered == "ssi"


def test_counts_go_on_and_the_unused_driver_leaves_the_heap():
    reader = found("gm65")
    assert hasattr(sys.modules["drivers"], "gm65")
    reader.reader.dropped, reader.reader.restarts, reader.reader.state = 3, 2, 4
    reader._look_for("ssi")
    assert (reader.dropped, reader.restarts, reader.state) == (3, 2, 4)
    assert not hasattr(sys.modules["drivers"], "gm65"), "nothing refers to it any more"
    assert "drivers.gm65" not in sys.modules and "drivers.ssi" in sys.modules
    os.remove(path())

"""`select` over the stand-ins: one place where an idle board waits, so one place where time moves."""

import _chip
import _ops

POLLIN = 1
POLLPRI = 2
POLLOUT = 4
POLLERR = 8
POLLHUP = 16


class _Poll:
    def __init__(self):
        self._entries = []  # [object, mask], in order of registration

    def register(self, obj, mask=POLLIN | POLLOUT):
        for entry in self._entries:
            if entry[0] is obj:
                entry[1] = mask
                return
        if not hasattr(obj, "_ready"):
            raise OSError(1)
        self._entries.append([obj, mask])

    def unregister(self, obj):
        for i in range(len(self._entries)):
            if self._entries[i][0] is obj:
                del self._entries[i]
                return

    def modify(self, obj, mask):
        for entry in self._entries:
            if entry[0] is obj:
                entry[1] = mask
                return
        raise OSError(2)

    def _look(self):
        found = None
        for entry in self._entries:
            bits = entry[0]._ready() & (entry[1] | POLLERR | POLLHUP)
            if bits:
                if found is None:
                    found = []
                found.append((entry[0], bits))
        return found

    def ipoll(self, timeout=-1, flags=0):
        _chip.now_us += _chip.LOOP_US
        until = _chip.FOREVER_US if timeout < 0 else _chip.now_us + timeout * 1000
        if timeout == 0 and _chip.now_us >= _chip.horizon_us:
            _chip.wait(_chip.now_us, _ops.WAIT_POLL)
        while True:
            found = self._look()
            if found:
                if _chip.now_us >= _chip.horizon_us:
                    _chip.wait(_chip.now_us, _ops.WAIT_POLL)
                return found
            if _chip.now_us >= until:
                return ()
            _chip.wait(until, _ops.WAIT_POLL)

    poll = ipoll


def poll():
    return _Poll()

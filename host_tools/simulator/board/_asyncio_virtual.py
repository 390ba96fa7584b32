"""TaskQueue and Task of asyncio on the virtual clock: the runtime's C ones stamp wake-ups with the PC's clock."""

import sys
from time import ticks_diff, ticks_ms


class TaskQueue:
    """Tasks in the order of their keys (ticks), those of one key in the order of their arrival."""

    def __init__(self):
        self._tasks = []

    def peek(self):
        return self._tasks[0] if self._tasks else None

    def push(self, task, key=None):
        task.data = None
        if key is None:
            key = ticks_ms()
        task.ph_key = key
        tasks = self._tasks
        at = len(tasks)
        while at and ticks_diff(tasks[at - 1].ph_key, key) > 0:
            at -= 1
        tasks.insert(at, task)

    def pop(self):
        return self._tasks.pop(0)

    def remove(self, task):
        self._tasks.remove(task)


class Task:
    """A coroutine that the loop runs. `state`: True, a TaskQueue of waiters or a callback: it runs; else it is done."""

    def __init__(self, coro, globals=None):
        self.coro = coro
        self.data = None
        self.state = True
        self.ph_key = 0

    def __iter__(self):
        state = self.state
        if state is True:
            self.state = TaskQueue()
        elif not state:
            self.state = False
        elif not isinstance(state, TaskQueue):
            raise RuntimeError("can't wait")
        return self

    def __next__(self):
        if not self.state:
            raise StopIteration if self.data is None else self.data
        waiter = sys.modules["asyncio.core"].cur_task
        self.state.push(waiter)
        waiter.data = self

    def done(self):
        return not self.state

    def cancel(self):
        core = sys.modules["asyncio.core"]
        if not self.state:
            return False
        if self is core.cur_task:
            raise RuntimeError("can't cancel self")
        task = self
        while isinstance(task.data, Task):
            task = task.data
        queue = core._task_queue
        if hasattr(task.data, "remove"):
            task.data.remove(task)
            queue.push(task)
        elif ticks_diff(task.ph_key, ticks_ms()) > 0:
            queue.remove(task)
            queue.push(task)
        task.data = core.CancelledError
        return True

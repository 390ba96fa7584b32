"""One X25519 from slice to slice; the heap is too small for all of it, so it is collected between two slices."""

# ruff: noqa: F821 - mark, report and the values come from the meter
from journal import x25519

product = b""
steps = x25519.steps(SCALAR, POINT)
while product is not None:
    level()
    mark("slice")
    step = next(steps, None)
    mark("end")
    if step:
        product = step
        break
    if gc.mem_free() < 60000:
        gc.collect()
report("".join("%02x" % byte for byte in product))

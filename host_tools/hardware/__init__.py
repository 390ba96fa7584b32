"""Makes what a workshop builds from: wiring, parts lists, power budget, enclosure and mounting drawing (`make hardware`)."""

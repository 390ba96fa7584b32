"""Host side of the formats: keys, sectors, records and wire messages, as version 1 of the formats fixes them."""

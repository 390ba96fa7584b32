"""The journal: a ring of flash sectors in which every record is sealed before anybody hears a beep."""

"""Named times of the model that are not in a data sheet of flash or scan module: boot, radio, chip work, people."""

# ROM boot loader, second stage and MicroPython's own start on an ESP32, until boot.py could run (boards: 0.3-0.6 s).
BOOT_US = 450_000
# From machine.reset() or a watchdog to the ROM boot loader.
RESET_US = 5_000
# Association, WPA2 handshake and DHCP of an ESP32 near its access point.
ASSOCIATE_US = 1_600_000
# The station notices a vanished access point by missing beacons.
BEACON_TIMEOUT_US = 6_000_000
# A scan of all channels; it blocks.
SCAN_US = 2_200_000
# The IDF tries again on its own after a failed or lost association.
RECONNECT_US = 2_500_000
# Answer of a DNS server; and how long lwIP blocks when none answers.
DNS_US = 40_000
DNS_FAILURE_US = 10_000_000
# First retransmission of a lost TCP segment; later ones double.
RETRANSMIT_US = 1_500_000
# lwIP gives up on an unanswered SYN.
CONNECT_TIMEOUT_US = 18_000_000
# A command typed at the console reaches Python as KeyboardInterrupt at the next moment it looks.
CONSOLE_US = 1_000
# How long a board may compute on the PC without asking the world for anything before it counts as hung (real seconds).
HANG_S = 20.0

"""Real boards on a USB port: what the technician's commands do, with esptool and mpremote."""

"""Numbers of the requests, events and flags that cross between the board process and the world; read by both sides."""

# Requests (the board waits for a reply) and posts (it does not).
OP_HELLO = 1
OP_WAIT = 2
OP_FLASH_READ = 3
OP_FLASH_PROGRAM = 4
OP_FLASH_ERASE = 5
OP_RESET = 6
OP_ENDED = 7
OP_RESOLVE = 8
OP_CONNECT = 9
OP_RECEIVE = 11
OP_NVS_GET = 12
OP_RECEIVE_FROM = 13
OP_SEND_TO = 14
OP_WLAN_SCAN = 15
OP_I2C = 16
# What was typed at the console of a program that has ended.
OP_CONSOLE = 17
POST_FIRST = 32
POST_PIN = 33
POST_PWM = 34
POST_UART_INIT = 35
POST_UART_SENT = 36
POST_UART_TAKEN = 37
POST_RTC_MEMORY = 38
POST_RTC_TIME = 39
POST_WLAN_ACTIVE = 40
POST_WLAN_CONNECT = 41
POST_WLAN_DISCONNECT = 42
POST_CLOSE = 43
POST_NVS_SET = 44
POST_SEND = 45
# Nothing but the deadline in the message's head: the watchdog was armed.
POST_WATCHDOG = 46
POST_WLAN_STATIC = 47
POST_PPP_CONNECT = 48
POST_PPP_DISCONNECT = 49

# What wakes a wait: nothing but its deadline, or any event as well.
WAIT_SLEEP = 0
WAIT_POLL = 1

# Events a reply carries: kind, id, value.
EVENT_UART = 1
EVENT_CONNECTED = 2
EVENT_READABLE = 3
EVENT_CLOSED = 4
EVENT_FAILED = 5
EVENT_ROOM = 6
EVENT_WLAN = 7
EVENT_RSSI = 8
EVENT_PIN = 9
EVENT_PPP = 10

# Flags of a reply.
FLAG_INTERRUPT = 1
FLAG_HELD_BACK = 2
FLAG_ERROR = 4

# Causes of a reset, as MicroPython numbers them on the ESP32.
CAUSE_POWER_ON = 1
CAUSE_HARD = 2
CAUSE_WATCHDOG = 3
CAUSE_SOFT = 5
# With a cause: the boot begins in the raw REPL, so main.py does not run.
RAW_REPL = 0x80

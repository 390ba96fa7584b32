"""Calendar dates, as clock chips and modems tell them, into seconds and back."""

import time


def unix_s(year, month, day, hour, minute, second):
    """Seconds since 1970 of a UTC date of the years 2000 to 2099."""
    years = year - 2000
    days = years * 365 + (years + 3) // 4 + day - 1
    if month > 2:
        days += (month * 153 - 162) // 5 + (years % 4 == 0)
    else:
        days += (month - 1) * 31
    return 946684800 + ((days * 24 + hour) * 60 + minute) * 60 + second


def civil(unix_s):
    """(year, month, day, hour, minute, second, weekday from Monday 0, …) in UTC; time.gmtime() starts in 2000 on the ESP32."""
    return time.gmtime(unix_s - (0 if time.gmtime(0)[0] == 1970 else 946684800))

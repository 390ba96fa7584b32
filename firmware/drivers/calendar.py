"""Calendar dates, as clock chips and modems tell them, into seconds."""


def unix_s(year, month, day, hour, minute, second):
    """Seconds since 1970 of a UTC date of the years 2000 to 2099."""
    years = year - 2000
    days = years * 365 + (years + 3) // 4 + day - 1
    if month > 2:
        days += (month * 153 - 162) // 5 + (years % 4 == 0)
    else:
        days += (month - 1) * 31
    return 946684800 + ((days * 24 + hour) * 60 + minute) * 60 + second

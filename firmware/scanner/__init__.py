"""From a payload to a verdict: cards, rules, signals, and the station that runs the door."""

"""The other end of the wire: takes in journals, keeps them, places them in time, and answers who met whom."""

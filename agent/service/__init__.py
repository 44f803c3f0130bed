"""Living on a box for months: systemd, memory, the clock."""

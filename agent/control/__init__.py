"""What commands do: the state machine, the switch, jobs, and what survives a restart."""

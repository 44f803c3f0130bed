"""The agent as a service: readiness, watchdog, the unit, the installer."""

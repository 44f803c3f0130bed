"""The remote control: sees and commands edgepose agents from any machine that reaches the broker."""

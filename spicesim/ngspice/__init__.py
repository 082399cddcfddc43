"""The only code that starts a simulator."""

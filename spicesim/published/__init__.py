"""Published macros of analog in-memory computing, and those of this package beside them."""

"""Fuzzing: random cases from seeds, each answered rightly or refused clearly; run by ``scripts/fuzz``."""

"""Fuzzing: random cases, made from seeds, that the package answers rightly or refuses clearly; run by ``scripts/fuzz``."""

"""Tests: one file per source file, naive twins, house rules."""

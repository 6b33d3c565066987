"""Helpers that several tiers of tests use; no test lives here."""

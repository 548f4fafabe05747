"""Choosing among heads by samples that they did not see: torch only where settings race."""

"""Measurements that anyone can repeat: one command each, from the root of the repository."""

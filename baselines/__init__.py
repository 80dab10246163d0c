"""Adapters of the methods that PAM is compared with, and the controls."""

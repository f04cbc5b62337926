"""Tests of the processor port and its adapter."""

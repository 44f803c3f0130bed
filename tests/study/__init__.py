"""Tests of agent.benchmark; what measures edgepose's own speed is tests/benchmarks."""

"""Measurements that print ratios, each measured in one run; none of them is a test."""

"""Measurements that print ratios, each measured in one run; none of them is a test."""


def row(*cells: str) -> str:
    """One row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"

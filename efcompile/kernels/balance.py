"""Tasks of a size that keeps every core busy to the end."""


def even_size(total: int, most: int, cores: int, times: int = 1) -> int:
    """How many of `total` equal pieces make one task, at most `most`.

    Every task is there `times` over.  The size is one with which the busiest of `cores` has the
    least to do, and of these the largest: 14 pieces by two are 7 tasks, of which one of two
    cores does 4, so 8 pieces; one by one it does 7.
    """

    def busiest(size: int) -> int:
        tasks = -(-total // size) * times
        return -(-tasks // cores) * size

    sizes = range(1, max(1, min(most, total)) + 1)
    return min(sizes, key=lambda size: (busiest(size), -size))

"""Finding better knobs than the analytic defaults, by measuring: MetaSchedule over our kernels."""

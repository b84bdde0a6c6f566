"""The same program for each system of the crash table; `bench.crash` copies and runs them."""

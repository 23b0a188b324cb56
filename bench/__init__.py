"""What the numbers in the README are made with."""

import pipeline  # noqa: F401 - before numpy, as in the server: it says how many threads that has

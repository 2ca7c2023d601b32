"""What all tests share: property tests without a clock, repeatable and without a database."""

import hypothesis

hypothesis.settings.register_profile("cloister", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("cloister")

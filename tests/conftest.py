"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings

# Kernels compile at their first call and CI machines are slow and shared: time proves nothing.
settings.register_profile("corelane", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("corelane")

# A shell that runs us in the background has SIGINT ignored, for us and for all that we start.
signal.signal(signal.SIGINT, signal.default_int_handler)

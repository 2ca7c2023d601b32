"""Commands that people run beside the server: plan, doctor, generate, bench."""

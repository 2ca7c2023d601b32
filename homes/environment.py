"""The environment that a worker has at home, measured, and the few names the host may set."""

HARMLESS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
"""Names whose value changes speed and nothing else. A host that sets others could load its own code
or take the model's place."""

PYTHON, SITE = "/opt/python", "/opt/site"
CONFIG = "/etc/cloister.toml"

FIXED = {
    "PYTHONHOME": PYTHON,
    "PYTHONPATH": SITE,
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUNBUFFERED": "1",
    "LD_LIBRARY_PATH": f"{PYTHON}/lib",
    "PATH": "/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "TORCHDYNAMO_DISABLE": "1",
    "CLOISTER_CONFIG": CONFIG,
}
"""What every home sets."""

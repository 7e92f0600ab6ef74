"""The cases of ``scripts/gpu_report.py``: one module per process, see ``gpu_cases.promises``."""

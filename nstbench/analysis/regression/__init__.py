"""Baselines, checks and history: did a run become worse?"""
